"""The systems that are compared: how each is started, and which requests it gets."""
