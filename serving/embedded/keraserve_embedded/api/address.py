"""Check that an address to listen on is free, and format addresses."""

import socket

from keraserve_embedded.errors import StartError


def check_port(host: str, port: int) -> None:
    """Check that a port is free before minutes of loading; gRPC opens it later, when the models serve.

    Raises:
        StartError: the address can't be listened on.
    """
    if not port:
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise StartError(f"can't listen on {format_address(host, port)}: {error.strerror}") from error


def format_address(host: str, port: int) -> str:
    """Format `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
