"""What is measured: a module a scenario, with its figures and its goals."""
