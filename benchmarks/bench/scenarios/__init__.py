"""The scenarios: a module each, with its figures and its goals."""
