"""Where images come from, and how a network gets them."""
