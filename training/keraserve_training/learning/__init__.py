"""How one network learns, so that it can be stopped at any moment."""
