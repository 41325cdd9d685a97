"""`make bench`: Keraserve compared with other ways to serve an image."""
