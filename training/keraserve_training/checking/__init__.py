"""A look at a user's own images before a network learns from them: `keraserve check`."""
