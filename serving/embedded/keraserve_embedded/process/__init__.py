"""The server as a process: command line, settings, memory, ports, draining."""
