"""Servers over HTTP and gRPC that respond to each request as a test says; they know one call, the status."""

import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc

from keraserve_protocol import messages as m
from keraserve_protocol import services

OK, HANG = "ok", "hang"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
STATUS = json.dumps({"model_version_status": [{"version": "3", "state": "AVAILABLE", "status": {}}]}).encode()
Certificate = tuple[Path, Path]
"""Files of a certificate and its private key."""


class Script:
    """What a server does, request by request; the last act is repeated. Counts the requests.

    Attributes:
        acts: OK, HANG (a response after 5 s), an HTTP status, or over HTTP a function of the handler.
        headers: of every response; gRPC's trailing metadata.
        key: an API key that requests need.
    """

    def __init__(self, key: str | None = None) -> None:
        self.acts: list[Any] = [OK]
        self.headers: dict[str, str] = {}
        self.key = key
        self.requests = 0
        self.over = threading.Event()

    def play(self, *acts: Any, **headers: str) -> None:
        self.acts, self.requests = list(acts), 0
        self.headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}

    def next(self, authorization: list[Any]) -> Any:
        self.requests += 1
        if self.key and authorization != [f"Bearer {self.key}"]:
            return 401
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if act == HANG:
            self.over.wait(5)
        return OK if act == HANG else act


@contextmanager
def http_server(script: Script, port: int = 0, certificate: Certificate | None = None) -> Iterator[str]:
    """Run one; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            act = script.next(self.headers.get_all("Authorization", []))
            if callable(act):
                act(self)
                self.close_connection = True
                return
            body = STATUS if act == OK else b'{"error": "not now"}'
            self.send_response(200 if act == OK else act)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # a client that doesn't trust it closes the connection
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_server(script: Script, port: int = 0, certificate: Certificate | None = None) -> Iterator[str]:
    """Run one; gives its target."""

    def status(_: m.GetModelStatusRequest, context: grpc.ServicerContext) -> m.GetModelStatusResponse:
        act = script.next([value for key, value in context.invocation_metadata() if key == "authorization"])
        if act != OK:
            context.set_trailing_metadata(tuple(script.headers.items()))
            context.abort(CODES[act], "not now")
        entry = m.ModelVersionStatus(version=3, state=m.ModelVersionStatus.AVAILABLE)
        return m.GetModelStatusResponse(model_version_status=[entry])

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(services.handlers({services.GET_MODEL_STATUS: status}))
    if certificate:
        public, private = (path.read_bytes() for path in certificate)
        bound = server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(private, public)]))
    else:
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        script.over.set()
        server.stop(None).wait()
