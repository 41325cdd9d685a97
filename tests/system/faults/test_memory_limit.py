"""With the largest body in every slot, the gateway stays below its memory limit."""

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from encoded_images import undecodable_png
from free_ports import free_port
from system.faults.fake_model_server import classes, fake_model_server
from system.faults.product import Process, Product, exchange, gateway_before, post

from keraserve_gateway.memory_budget import plan
from keraserve_gateway.settings import Settings
from keraserve_protocol import messages as m
from keraserve_protocol import services

LIMIT = 1024  # MiB, of the container in compose.yaml
AT_ONCE = 64  # the slots by default
IMAGE = undecodable_png((16 << 20) - 200)  # nearly the largest body
SUM = (
    "160 MiB for the process, 128 MiB for bodies that arrive and 4 x 256 MiB for those in flight are"
    " 1,312 MiB, and the memory limit leaves 1,024 MiB"
)


def flood(product: Product) -> Counter[int]:
    """Send an image for every slot at the same time; returns the statuses, 0 for a closed connection."""
    request = post("/v1/models/any/images:classify", IMAGE, "image/png")
    start = threading.Barrier(AT_ONCE)

    def send(_: int) -> int:
        start.wait(60)
        try:
            return exchange(product.port, request)[0]
        except (OSError, IndexError):  # rejected before all was sent
            return 0

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(send, range(AT_ONCE)))


def classify(request: m.ClassificationRequest, _: Any) -> m.ClassificationResponse:
    time.sleep(1)  # so that all bodies are in flight together
    return classes(request)


REJECTED = 60  # one after the other
SIZE = 8 << 20  # bytes of each
MEBIBYTES = 240  # of growth: half of their sum


def by_http(product: Product) -> None:
    status, _ = exchange(product.port, post("/v1/models/colours/images:classify", bytes(SIZE), "image/png"))
    assert status == 415


def by_grpc(product: Product) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(product.grpc, options) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(services.PREDICT.path)(b"\xff" * SIZE, timeout=60)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("rejected", [by_http, by_grpc])
def test_rejected_bodies_do_not_add_up(product: Product, rejected: Callable[[Product], None]) -> None:
    rejected(product)
    product.gateway.forget_peak()
    before = product.gateway.mebibytes()
    for _ in range(REJECTED):
        rejected(product)
    assert product.gateway.mebibytes("VmHWM") - before < MEBIBYTES


def within_group(folder: Path) -> tuple[str, ...]:
    """The command that runs another one in a control group (v1 and v2) with the memory limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(f"{LIMIT << 20}\n")
    mount = f'mount --bind {folder / "cgroup"} /sys/fs/cgroup && exec "$@"'
    command = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("a namespace of mounts is not allowed here")
    return command


@pytest.mark.parametrize("by", ["settings", "control group"])
def test_as_many_bodies_as_slots_stay_below_the_memory_limit(tmp_path: Path, by: str) -> None:
    """With the limits that the gateway computes, and with the same limits as settings."""
    if by == "settings":
        fits = plan(Settings(), LIMIT << 20)
        flags = (f"--max-bytes-in-flight={fits.bytes}", f"--max-arriving-bytes={fits.arriving}")
        within = ()
    else:
        flags, within = (), within_group(tmp_path)
    with (
        fake_model_server({services.CLASSIFY: classify}) as address,
        gateway_before(address, tmp_path, "--models=any", *flags, within=within) as product,
    ):
        statuses = flood(product)
        assert set(statuses) <= {200, 408, 429, 0}
        assert statuses[200] > 1, statuses
        assert product.gateway.mebibytes("VmHWM") < LIMIT
        assert product.status("/readyz") == 200
        if by == "control group":
            assert f"{SUM}: bodies in flight may have 184 MiB together" in product.gateway.log.read_text()


def test_settings_beyond_the_control_groups_limit_end_the_start_with_the_sum(tmp_path: Path) -> None:
    flags = ("--port=0", "--grpc-port=0", "--models=any", f"--max-bytes-in-flight={256 << 20}")
    address = f"--model-server=127.0.0.1:{free_port()}"
    within = within_group(tmp_path)
    process = Process(tmp_path / "log", "keraserve-gateway", address, *flags, within=within)
    assert process.wait() == 1
    assert f"{SUM}: raise that limit, or lower max_bytes_in_flight" in process.log.read_text()
