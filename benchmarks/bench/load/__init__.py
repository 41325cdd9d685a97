"""The load generator, which runs in a process of its own."""
