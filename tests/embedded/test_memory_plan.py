"""The memory plan: limits for messages in flight and decoding fit into memory, or the start fails."""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx2
import numpy as np
import pytest
from embedded.conftest import settings
from embedded.requests import example, image_request, strings
from encoded_images import png

from keraserve_embedded.api.message_bytes import MessageBytes
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import BusyError, StartError, TooLargeError
from keraserve_embedded.models import decode_memory
from keraserve_embedded.models.decode_memory import DecodeMemory, estimate
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process import cli
from keraserve_embedded.process.hosting import HostedEngine
from keraserve_embedded.process.memory_plan import (
    COPIES,
    ONE_IMAGE,
    TENSORFLOW,
    MemoryLimits,
    MemoryPlan,
    bytes_of_models,
    plan,
)
from keraserve_embedded.process.server import Server
from keraserve_protocol import other_formats
from keraserve_protocol.services import PREDICT, Stub

MIB = 1 << 20
ROOT = Path(__file__).parents[2]
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(one.levelno, one.getMessage()) for one in caplog.records if one.name.endswith("memory_plan")]


def test_decoding_gets_what_messages_and_models_leave(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    planned = plan(MemoryLimits(), 100 * MIB, 4096 * MIB)
    assert planned == MemoryPlan(256 * MIB, (4096 - 384 - 100 - 5 * 256) * MIB)
    ((level, line),) = said(caplog)
    assert level == logging.INFO
    assert line == (
        "memory: 384 MiB for TensorFlow, 100 MiB for the models' files, 5 x 256 MiB for messages in flight"
        " and 2,332 MiB for decoding, of 4,096 MiB"
    )


@pytest.mark.parametrize("available", [1024, 1500, 2048, 3000, 65536])
def test_the_plan_adds_up_and_warns_below_the_defaults(
    available: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    planned = plan(MemoryLimits(), 50 * MIB, available * MIB)
    assert TENSORFLOW + 50 * MIB + COPIES * planned.in_flight + planned.decoding == available * MIB
    lowered = planned.in_flight < 256 * MIB or planned.decoding < ONE_IMAGE
    assert (said(caplog)[0][0] == logging.WARNING) is lowered
    assert lowered is (available < 3000)


@pytest.mark.parametrize(
    ("limits", "models", "available"),
    [
        (MemoryLimits(in_flight=1024 * MIB), 0, 4096),
        (MemoryLimits(decoding=4096 * MIB), 0, 4096),
        (MemoryLimits(), 4000, 4096),
        (MemoryLimits(), 0, 700),
        (MemoryLimits(in_flight=0), 0, 500),
    ],
)
def test_limits_that_do_not_fit_are_rejected_with_the_sum(
    limits: MemoryLimits, models: int, available: int
) -> None:
    with pytest.raises(
        StartError, match=r"384 MiB for TensorFlow, .* and .* for decoding are .* MiB, .*: raise that limit"
    ):
        plan(limits, models * MIB, available * MIB)


def test_limits_that_are_set_are_not_changed() -> None:
    assert plan(MemoryLimits(30 * MIB, 40 * MIB), 0, 1024 * MIB) == MemoryPlan(30 * MIB, 40 * MIB)
    given = cli.parse(["--model_base_path=x", "--max_bytes_in_flight=7", "--max_decoding_bytes=8"])
    assert given.memory == MemoryLimits(7, 8)
    assert cli.parse(["--model_base_path=x"]).memory == MemoryLimits()


def test_a_start_that_does_not_fit_ends_with_a_sentence(models: Path) -> None:
    program = "from keraserve_embedded.process.cli import main; main()"
    command = [sys.executable, "-c", program, "--port=0", f"--model_base_path={models / 'colours'}"]
    ended = subprocess.run(
        [*command, f"--max_decoding_bytes={PHYSICAL}"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    assert "384 MiB for TensorFlow" in ended.stderr.splitlines()[-1]
    assert "or lower --max_decoding_bytes" in ended.stderr.splitlines()[-1]


def test_the_versions_that_will_serve_are_counted(models: Path) -> None:
    files = [one for one in (models / "colours" / "1").rglob("*") if one.is_file()]
    entry = ModelEntry("colours", (models / "colours",))
    assert bytes_of_models([entry]) == sum(one.stat().st_size for one in files) > 1000
    assert bytes_of_models([ModelEntry("none", (models / "none",))]) == 0


def test_the_limits_of_the_deployments_fit_the_defaults(caplog: pytest.LogCaptureFixture) -> None:
    """With half a gigabyte of models: nothing is lowered, and the largest image fits."""
    for file, pattern in (
        ("compose.yaml", r"MODEL_SERVER_MEMORY:-(\d+)g\}"),
        ("docker/swarm/stack.yaml", r"MODEL_SERVER_MEMORY:-(\d+)g\}"),
        ("docker/compose.gpu.yaml", r"MODEL_SERVER_MEMORY:-(\d+)g\}"),
        ("docker/kubernetes/base/model-server.yaml", r"limits: \{memory: (\d+)Gi\}"),
        ("docker/kubernetes/overlays/gpu/card.yaml", r"limits: \{memory: (\d+)Gi,"),
    ):
        (gibibytes,) = re.findall(pattern, (ROOT / file).read_text())
        planned = plan(MemoryLimits(), 512 * MIB, int(gibibytes) << 30)
        assert planned.decoding >= ONE_IMAGE, file
    assert not [level for level, _ in said(caplog) if level > logging.INFO]


def test_images_are_found_by_their_headers() -> None:
    large, small = png(1, 2, 3, width=400, height=300), png(1, 2, 3, width=10)
    size = 400 * 300 * 25
    assert (
        estimate({"image_bytes": strings(large, small, b"text", b"")}, of_examples=False)
        == size + 10 * 10 * 25
    )
    assert estimate({"image_bytes": strings(*[large] * 30)}, of_examples=False) == 10 * size
    assert (
        estimate({"image_bytes": strings(example(image=large, text=b"no image"), b"\xff")}, of_examples=True)
        == size
    )
    assert estimate({"images": np.zeros((2, 4000, 4000, 3), np.uint8)}, of_examples=False) == 0


def test_strings_that_are_no_images_are_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """To say what they are instead takes 0.3 ms of each."""
    monkeypatch.setattr(other_formats, "say", None)
    assert estimate({"image_bytes": strings(b"some text", b"ks", b"")}, of_examples=False) == 0


def test_images_that_do_not_fit_wait_first_in_first_out() -> None:
    memory, order = DecodeMemory(100), list[str]()
    running, ended = threading.Event(), threading.Event()

    def first() -> None:
        with memory.hold(60):
            running.set()
            ended.wait(30)
            order.append("first")

    def later(name: str, size: int) -> None:
        with memory.hold(size):
            order.append(name)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert running.wait(30)
    with memory.hold(0):  # no image: it never waits
        order.append("none")
    threads.append(threading.Thread(target=later, args=("large", 100)))
    threads[1].start()
    while not memory._turn.locked():
        threading.Event().wait(0.01)
    threads.append(threading.Thread(target=later, args=("small", 10)))
    threads[2].start()
    ended.set()
    for thread in threads:
        thread.join(30)
    assert order == ["none", "first", "large", "small"]
    with pytest.raises(TooLargeError, match=r"larger than max_decoding_bytes, .*--max_decoding_bytes"):
        memory.hold(101).__enter__()


def test_messages_are_counted() -> None:
    messages = MessageBytes(10)
    with messages.hold(4), messages.hold(6):
        with pytest.raises(BusyError, match=r"have 10 bytes, this one 1 more; together 10 are allowed"):
            messages.acquire(1)
        assert messages.held == 10
    assert messages.held == 0
    with pytest.raises(TooLargeError, match="has 11 bytes, which is larger than max_bytes_in_flight, 10"):
        messages.acquire(11)


def test_both_ports_apply_the_limits(
    models: Path,
    engines: Callable[..., Engine],
    red: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engines(ModelEntry("colours", (models / "colours",)))
    request = image_request(red)
    messages = MessageBytes(request.ByteSize() + 10)
    server = Server(engine, settings(rest_api_port=0), None, messages)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.start()}")
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/colours:predict"
    body = {"instances": [[[[1, 2, 3]]]]}
    try:
        stub = Stub(channel)
        assert stub.predict(request, timeout=30).outputs["label"]
        assert httpx2.post(url, json=body).status_code == 200
        with pytest.raises(grpc.RpcError, match="larger than max_bytes_in_flight"):
            stub.predict(image_request(red * 2), timeout=30)
        assert httpx2.post(url, content=b"x" * (messages.limit + 1)).status_code == 413
        with messages.hold(messages.limit):
            with pytest.raises(grpc.RpcError) as rejected:
                stub.predict(request, timeout=30)
            assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "--max_bytes_in_flight" in (rejected.value.details() or "")
            response = httpx2.post(url, json=body)
            assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert messages.held == 0
        monkeypatch.setattr(decode_memory.DECODE_MEMORY, "limit", 100)
        with pytest.raises(grpc.RpcError) as rejected:
            stub.predict(request, timeout=30)
        assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "--max_decoding_bytes" in (rejected.value.details() or "")
        with pytest.raises(grpc.RpcError, match="the message is no PredictRequest"):
            channel.unary_unary(PREDICT.path)(b"\xff", timeout=30)
        assert messages.held == 0
    finally:
        channel.close()
        server.drain()


def test_an_engine_applies_its_memory_plan(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory.DECODE_MEMORY, "limit", None)
    program = (
        "import sys; from keraserve_embedded.process.cli import parse;"
        "from keraserve_embedded.process.hosting import *;"
        "made = HostedEngine(parse(sys.argv[1:]), available=1 << 30); made.start();"
        "print(made.messages.limit, DECODE_MEMORY.limit); made.stop()"
    )
    base = f"--model_base_path={models / 'colours'}"
    ended = subprocess.run(
        [sys.executable, "-c", program, base], capture_output=True, text=True, timeout=120, check=True
    )
    in_flight, decoding = map(int, ended.stdout.split())
    assert in_flight == 64 * MIB
    assert (1 << 30) - TENSORFLOW - COPIES * in_flight - MIB < decoding < (1 << 30) - TENSORFLOW
    assert HostedEngine.__init__.__defaults__ == (None, None)
