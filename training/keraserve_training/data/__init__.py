"""Data sets: where their images come from, and how a network gets them."""
