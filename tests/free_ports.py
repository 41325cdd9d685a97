"""Find ports of the loopback interface that are free."""

import socket


def free_ports(count: int) -> list[int]:
    """Find `count` different ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def free_port() -> int:
    """Find one port."""
    [port] = free_ports(1)
    return port
