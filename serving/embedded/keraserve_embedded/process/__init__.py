"""The server process: command line, settings, memory, ports, draining."""
