"""API keys and TLS, as servers see them: over HTTP and over gRPC, sync and async."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from scripted_servers import Certificate, Script, http_server

from keraserve_client import (
    AsyncClient,
    AsyncGrpcClient,
    Client,
    ConnectionFailed,
    GrpcClient,
    InvalidInput,
    NotAuthorized,
)

KEY = "ks_4f9"


@pytest.fixture
def address(kind: Any) -> Iterator[str]:
    """A server that needs the key."""
    with kind[1](Script(KEY)) as address:
        yield address


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
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
        with pytest.raises(NotAuthorized) as caught:
            connect(kind[0], address, **settings).status("m")
        assert caught.value.status_code == 401


@pytest.mark.parametrize("kind", [Client, AsyncClient, GrpcClient, AsyncGrpcClient])
def test_the_gateway_takes_its_key_and_no_other(kind: Any, keyed: Any, connect: Any, red: bytes) -> None:
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
def test_an_invalid_key_is_rejected_without_being_shown(kind: Any, key: str) -> None:
    with pytest.raises(InvalidInput, match="api_key has spaces") as caught:
        kind[0](api_key=key)
    assert key not in str(caught.value)


def test_tls_needs_a_trusted_certificate(kind: Any, certificate: Certificate, connect: Any) -> None:
    client_of, server_of = kind
    if server_of is http_server:
        trusting: dict[str, Any] = {"tls": ssl.create_default_context(cafile=str(certificate[0]))}
        doubting: dict[str, Any] = {}
    else:
        trusting = {"credentials": grpc.ssl_channel_credentials(certificate[0].read_bytes())}
        doubting = {"credentials": grpc.ssl_channel_credentials()}
    with server_of(Script(KEY), certificate=certificate) as address:
        assert connect(client_of, address, api_key=KEY, **trusting).status("m").available == (3,)
        with pytest.raises(
            ConnectionFailed, match=r"not trusted: self-signed|CERTIFICATE_VERIFY_FAILED"
        ) as caught:
            connect(client_of, address, api_key=KEY, timeout=20, **doubting).status("m")
        assert caught.value.lasting
