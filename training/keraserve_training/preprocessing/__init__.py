"""Encoded images to pixels, and pixels to what a network takes, inside the graph."""
