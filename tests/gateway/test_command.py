"""The command: settings, ports, logs, draining; real processes and sockets."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway.test_http_connection import http_port

from keraserve_gateway import cli, settings_page
from keraserve_gateway.serve import PortUnavailable, serve
from keraserve_gateway.settings import ENV_PREFIX, Settings
from keraserve_gateway.upstream.model_server import ModelsUnavailable
from keraserve_protocol import messages as m
from keraserve_protocol import services


async def ended(process: subprocess.Popen[str], log: Path) -> list[dict[str, Any]]:
    """Wait for the end, which has to be a good one; give the log lines, each of which has to be JSON."""
    assert await asyncio.to_thread(process.wait, 15) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.shows(
    "draining", "KERASERVE_DRAIN_SECONDS", "SIGTERM: not ready, nothing", "listening", "draining, stopped"
)
async def test_draining_finishes_requests_and_rejects_new_ones(start_gateway, serve_faults) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def waits(request: m.GetModelStatusRequest, context: Any) -> m.GetModelStatusResponse:
        if request.model_spec.name == "slow":
            arrived.set()
            await go.wait()
        return m.GetModelStatusResponse()

    address = await serve_faults({services.GET_MODEL_STATUS: waits})
    flags = ("--port=0", "--grpc-port=0", f"--model-server={address}", "--models=colours")
    process, log = start_gateway(*flags)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await http_port(log)}") as client:
        in_flight = asyncio.create_task(client.get("/v1/models/slow"))
        await arrived.wait()
        process.send_signal(signal.SIGTERM)
        while not (await client.get("/readyz")).text.count("the gateway is stopping"):
            await asyncio.sleep(0.02)
        rejected = await client.get("/v1/models/other")
        assert rejected.status_code == 503
        assert rejected.headers["retry-after"]
        go.set()
        assert (await in_flight).status_code == 200
    lines = await ended(process, log)
    assert [one["event"] for one in lines][-1] == "stopped"
    (slow,) = [one for one in lines if one.get("path") == "/v1/models/slow"]
    assert slow["status"] == 200
    assert slow["request_id"]


@pytest.mark.shows("draining", "KERASERVE_DRAIN_SECONDS", "drain_seconds are over")
async def test_requests_that_outlast_draining_get_503(start_gateway, serve_faults) -> None:
    arrived = asyncio.Event()

    async def hangs(request: Any, context: Any) -> Any:
        arrived.set()
        await asyncio.sleep(60)

    address = await serve_faults({services.GET_MODEL_STATUS: hangs})
    process, log = start_gateway(
        "--port=0", "--grpc-port=0", f"--model-server={address}", "--drain-seconds=0.2"
    )
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await http_port(log)}") as client:
        in_flight = asyncio.create_task(client.get("/v1/models/slow"))
        await arrived.wait()
        process.send_signal(signal.SIGTERM)
        response = await in_flight
    assert response.status_code == 503
    assert "stopped" in response.json()["error"]
    events = {one["event"] for one in await ended(process, log)}
    assert {"draining", "drain_seconds are over", "cut off at the end of draining", "stopped"} <= events


@pytest.mark.shows("KERASERVE_LOG_LEVEL")
async def test_the_log_level_is_obeyed(start_gateway, free_port) -> None:
    port = free_port()
    process, log = start_gateway(f"--port={port}", "--grpc-port=0", "--log-level=warning", "--host=0.0.0.0")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(60):
        while True:
            try:
                assert (await client.get("/livez")).status_code == 200
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert [one["level"] for one in await ended(process, log)] == ["warning"]


@pytest.mark.shows(
    "slow-body",
    "KERASERVE_HOST",
    "KERASERVE_MAX_BODY_BYTES",
    "LISTENING BEYOND THIS MACHINE WITHOUT KEYS: whoever reaches this address can use every model",
)
async def test_slow_and_long_bodies_on_a_public_address(start_gateway, free_port) -> None:
    """Bodies that are declared too long, or stop coming, over a real connection; open to the world."""
    port = free_port()
    process, log = start_gateway(
        "--host=0.0.0.0",
        "--port=0",
        f"--grpc-port={port}",
        "--model-server=127.0.0.1:1",
        "--deadline-seconds=0.5",
    )
    http = await http_port(log)

    async def talk(headers: str, body: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", http)
        head = "POST /v1/models/x/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        writer.write(f"{head}{headers}\r\n".encode() + body)
        response = await asyncio.wait_for(reader.readuntil(b"}"), 10)
        writer.close()
        return response

    assert b" 413 " in await talk("Content-Length: 99999999999\r\n")
    assert b" 413 " in await talk("Content-Length: 99999999999\r\nExpect: 100-continue\r\n")
    assert b" 408 " in await talk("Content-Length: 100\r\n", b"x")
    assert b" 408 " in await talk("Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n")
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    process.send_signal(signal.SIGINT)
    warnings = [one["event"] for one in await ended(process, log) if one["level"] == "warning"]
    assert len(warnings) == 1
    assert "WITHOUT KEYS" in warnings[0]


@pytest.mark.shows("KERASERVE_PORT")
@pytest.mark.parametrize("setting", ["port", "grpc_port"])
async def test_a_port_in_use_is_an_error_of_one_sentence(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(**{"port": 0, "grpc_port": 0, setting: port})
        with pytest.raises(PortUnavailable) as rejected:
            await serve(settings)
    flag = setting.replace("_", "-")
    assert str(rejected.value) == (
        f"port {port} on 127.0.0.1 is in use by another program; choose another with --{flag}"
    )


@pytest.mark.shows("KERASERVE_HOST")
async def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(PortUnavailable, match=r"can't listen on 192\.0\.2\.1:"):
        await serve(Settings(host="192.0.2.1", port=0, grpc_port=0))


def test_the_command_ends_with_the_sentence() -> None:
    command = [sys.executable, "-m", "keraserve_gateway.cli", "--host=192.0.2.1", "--port=0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("keraserve-gateway: can't listen on ")
    assert ended.stderr.count("\n") == 1


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    unbroken = text.replace(" ", "")  # as argparse breaks lines after hyphens, too
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"[{ENV_PREFIX}{name.upper()}; default: " in text
        assert "".join(field.description.split()) in unbroken


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--port=x"], "port: "),
        (["--port=70000"], "port: "),
        (["--deadline_seconds=0"], "deadline_seconds: "),
        (["--log-level=loud"], "log_level: "),
        (["--config=/does/not/exist"], "/does/not/exist"),
    ],
)
def test_a_wrong_setting_is_an_error_of_one_sentence(capsys, flags: list[str], says: str) -> None:
    assert cli.main(flags) == 2
    written = capsys.readouterr().err
    assert says in written
    assert written.count("\n") == 1


@pytest.mark.shows("KERASERVE_CONFIG")
def test_flags_win_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('port = 1\nmax_images = 2\nmax_pixels = 3\nmodels = ["a", "b"]\n')
    monkeypatch.setenv("KERASERVE_CONFIG", str(path))
    monkeypatch.setenv("KERASERVE_MAX_IMAGES", "20")
    monkeypatch.setenv("KERASERVE_MAX_PIXELS", "30")
    settings = Settings(max_pixels="300")
    assert (settings.port, settings.max_images, settings.max_pixels) == (1, 20, 300)
    assert settings.models == ("a", "b")
    monkeypatch.setenv("KERASERVE_MODELS", " c, d,")
    assert Settings().models == ("c", "d")
    path.write_text("prot = 1\n")
    with pytest.raises(ValueError, match="prot"):
        Settings()


@pytest.mark.shows("KERASERVE_HOST")
@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_loopback_addresses_are_known(host: str, *, loopback: bool) -> None:
    assert Settings(host=host).on_loopback is loopback


def test_tensorflow_keras_and_pillow_are_not_imported() -> None:
    program = (
        "import sys, keraserve_gateway.http.app, keraserve_gateway.serve\n"
        "print([name for name in ('tensorflow', 'keras', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_the_documentation_lists_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    assert page == settings_page.render(), "run: keraserve-gateway settings > docs/settings.md"
    assert f"| `{ENV_PREFIX}MAX_IMAGES` | 32 | most images in an images:classify |" in page


async def test_a_list_of_models_that_can_not_be_parsed_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text("model_config_list { config {")
    with pytest.raises(ModelsUnavailable, match=r"models\.config: not a ModelServerConfig: 1:"):
        await serve(Settings(port=0, grpc_port=0, model_config_file=file))
