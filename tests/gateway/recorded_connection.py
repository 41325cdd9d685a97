"""A connection of the gateway's HTTP port whose transport is no socket, but records what is written to it."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from keraserve_gateway.http.server.connection import ConnectionLimits, connection_class
from keraserve_gateway.telemetry.metrics import Metrics

POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


class RecordingTransport(asyncio.Transport):
    """Keeps what is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connect(app: Any, loop: Any, **given: Any) -> tuple[Any, RecordingTransport]:
    """Open a connection to an ASGI application; uvicorn's settings may be given."""
    config = Config(app, lifespan="off", log_config=None, **given)
    config.load()
    make: Any = connection_class(ConnectionLimits(1024, 5, 5, 5, 8), lambda *_: None, Metrics())
    connection, transport = make(config, ServerState(), {}, loop), RecordingTransport()
    connection.connection_made(transport)
    return connection, transport


async def send(connection: Any, data: bytes) -> None:
    """Let the connection receive bytes, and the application handle what is in them."""
    connection.data_received(data)
    for _ in range(20):
        await asyncio.sleep(0)


async def responses(app: Any, *sent: bytes) -> bytes:
    """Give all that is written on a connection that receives these bytes, piece by piece."""
    connection, transport = connect(app, asyncio.get_running_loop())
    for data in sent:
        await send(connection, data)
    connection.connection_lost(None)
    return transport.written
