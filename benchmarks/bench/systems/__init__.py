"""The systems that are compared: how each is started, and how it is asked."""
