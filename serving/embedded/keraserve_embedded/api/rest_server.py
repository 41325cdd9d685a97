"""The HTTP server of the REST port, on a thread of its own."""

import logging
import socket
import threading

import uvicorn

from keraserve_embedded.api.address import format_address
from keraserve_embedded.api.rest_app import RestApp
from keraserve_embedded.api.rest_connection import RestConnection
from keraserve_embedded.errors import StartError

log = logging.getLogger(__name__)

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75  # longer than clients and proxies keep an idle connection: they close it, not we
_SHUTDOWN_SECONDS = 1


class RestServer:
    """Serves the application of the REST port from `start` to `stop`.

    Attributes:
        port: its number.
    """

    def __init__(self, app: RestApp, host: str, port: int) -> None:
        """Open the port; requests wait until `start`.

        Raises:
            StartError: the port can't be opened.
        """
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._address = format_address(host, self.port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=RestConnection,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,  # the drain has waited before
            )
        )
        self._thread = threading.Thread(target=self._run, name="REST", daemon=True)

    def start(self) -> None:
        """Serve requests."""
        self._thread.start()
        log.info("REST on http://%s/v1/models", self._address)

    def stop(self) -> None:
        """Close the port, and end the requests that still run."""
        self._server.should_exit = True
        self._thread.join(_SHUTDOWN_SECONDS + 2)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(
            f"can't listen on {format_address(host, port)}: {error.strerror or error}"
        ) from error
