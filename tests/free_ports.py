"""Ports on loopback that nobody listens on."""

import socket


def free_ports(count: int) -> list[int]:
    """Give the numbers of as many different ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def free_port() -> int:
    """Give the number of one."""
    [port] = free_ports(1)
    return port
