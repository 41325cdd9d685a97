"""API keys and TLS, as servers see them: over HTTP and over gRPC, sync and async."""

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from keraserve_client import (
    AsyncClient,
    AsyncGrpcClient,
    Client,
    ConnectionFailed,
    GrpcClient,
    InvalidInput,
    NotAuthorized,
)
from keraserve_protocol import messages as m
from keraserve_protocol import services

KEY = "ks_4f9"
EXPECTED = f"Bearer {KEY}"
STATUS = {"model_version_status": [{"version": "3", "state": "AVAILABLE", "status": {}}]}


class Handler(BaseHTTPRequestHandler):
    """Answers whoever has the key."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        allowed = self.headers.get_all("Authorization") == [EXPECTED]
        body = json.dumps(STATUS if allowed else {"error": "no key"}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def get_status(_: m.GetModelStatusRequest, context: grpc.ServicerContext) -> m.GetModelStatusResponse:
    if ("authorization", EXPECTED) not in [(key, value) for key, value in context.invocation_metadata()]:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")
    entry = m.ModelVersionStatus(version=3, state=m.ModelVersionStatus.AVAILABLE)
    return m.GetModelStatusResponse(model_version_status=[entry])


def http_server(certificate: tuple[Path, Path] | None = None) -> tuple[str, Callable[[], None]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # a client that doesn't trust it hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}", stop


def grpc_server(certificate: tuple[Path, Path] | None = None) -> tuple[str, Callable[[], None]]:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(services.handlers({services.GET_MODEL_STATUS: get_status}))
    if certificate:
        public, private = (path.read_bytes() for path in certificate)
        credentials = grpc.ssl_server_credentials([(private, public)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return f"127.0.0.1:{port}", lambda: server.stop(None).wait() and None


KINDS = {
    "http": (Client, http_server),
    "async-http": (AsyncClient, http_server),
    "grpc": (GrpcClient, grpc_server),
    "async-grpc": (AsyncGrpcClient, grpc_server),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return KINDS[request.param]


@pytest.fixture
def address(kind: tuple[Any, Any]) -> Iterator[str]:
    address, stop = kind[1]()
    yield address
    stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody but these tests trusts, and its private key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here; on Debian: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    public, private = folder / "public.pem", folder / "private.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=here"
    )
    extension = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(private), "-out", str(public)]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True, timeout=30)
    return public, private


def test_a_key_is_sent(kind: Any, address: str, connect: Any) -> None:
    assert connect(kind[0], address, api_key=KEY).status("m").available == (3,)


def test_the_key_may_come_from_the_environment(
    kind: Any, address: str, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERASERVE_API_KEY", f"{KEY}\n")
    assert connect(kind[0], address).status("m").available == (3,)
    with pytest.raises(NotAuthorized):
        connect(kind[0], address, api_key="").status("m")


def test_a_wrong_key_and_none_are_rejected(kind: Any, address: str, connect: Any) -> None:
    for settings in ({}, {"api_key": "ks_other"}):
        with pytest.raises(NotAuthorized, match="no key") as caught:
            connect(kind[0], address, **settings).status("m")
        assert caught.value.status_code == 401


@pytest.mark.parametrize("kind", [Client, AsyncClient, GrpcClient, AsyncGrpcClient])
def test_the_gateway_knows_its_key(kind: Any, keyed: Any, connect: Any, red: bytes) -> None:
    address = keyed.url if kind in (Client, AsyncClient) else keyed.grpc
    allowed = connect(kind, address, api_key=keyed.key)
    assert allowed.classify("colours", red)[0].best.label == "red"
    assert allowed.ready()
    with pytest.raises(NotAuthorized) as caught:
        connect(kind, address, api_key="ks_wrong").classify("colours", red)
    assert caught.value.status_code == 401
    with pytest.raises(NotAuthorized) as caught:
        allowed.classify("another", red)
    assert caught.value.status_code == 403


@pytest.mark.parametrize("key", ["two words", "größe", "a\nb"])
def test_what_is_no_key_is_rejected_without_being_shown(kind: Any, key: str) -> None:
    with pytest.raises(InvalidInput, match="api_key has spaces") as caught:
        kind[0](api_key=key)
    assert key not in str(caught.value)


def test_tls(kind: Any, certificate: tuple[Path, Path], connect: Any) -> None:
    client_of, server_of = kind
    address, stop = server_of(certificate)
    try:
        if server_of is http_server:
            trusting: dict[str, Any] = {"tls": ssl.create_default_context(cafile=str(certificate[0]))}
            doubting: dict[str, Any] = {}
        else:
            trusting = {"credentials": grpc.ssl_channel_credentials(certificate[0].read_bytes())}
            doubting = {"credentials": grpc.ssl_channel_credentials()}
        assert connect(client_of, address, api_key=KEY, **trusting).status("m").available == (3,)
        with pytest.raises(
            ConnectionFailed, match=r"not trusted: self-signed|CERTIFICATE_VERIFY_FAILED"
        ) as caught:
            connect(client_of, address, api_key=KEY, timeout=20, **doubting).status("m")
        assert caught.value.lasting
    finally:
        stop()
