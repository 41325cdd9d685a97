"""An HTTP/2 client of a few frames, for what no gRPC client sends."""

import struct

SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The beginning of a connection."""
NO_WINDOW = SETTINGS[:24] + bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + struct.pack(">HI", 4, 0)
"""The same, with a window that allows no byte of a response."""


def call(path: str, message: bytes | None, stream: int = 1) -> bytes:
    """Write a gRPC call without a deadline: its headers, and its message if there is one."""
    pairs = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    head = b"".join(
        b"\0%c%b%c%b" % (len(name), name.encode(), len(value), value.encode())
        for name, value in {**pairs, "content-type": "application/grpc"}.items()
    )
    frames = _frame(1, 4, stream, head)
    if message is not None:
        frames += _frame(0, 1, stream, b"\0" + struct.pack(">I", len(message)) + message)
    return frames


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload
