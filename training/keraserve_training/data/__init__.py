"""Where pictures come from, and how a network gets them."""
