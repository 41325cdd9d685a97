"""Several processes on the same ports: started, counted together, replaced, stopped with the first one."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import httpx2
import pytest
from gateway.test_http_connection import logged
from waiting import until

from keraserve_gateway.api_keys import keys
from keraserve_gateway.errors import RateLimited
from keraserve_gateway.settings import Settings
from keraserve_protocol import messages as m
from keraserve_protocol import services

LOOKS = 16


def available(request: Any, context: Any) -> m.GetModelStatusResponse:
    response = m.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=30)
    return response


async def ports(log: Path, count: int) -> tuple[int, int]:
    """Wait until so many processes have said where they listen: on the same ports."""
    async with asyncio.timeout(30):
        while len(lines := await logged(log, '"listening"')) < count:
            await asyncio.sleep(0.05)
    said = [json.loads(line) for line in lines]
    ((http, grpc_port),) = {
        tuple(int(one[key].rpartition(":")[2]) for key in ("http", "grpc")) for one in said
    }
    return http, grpc_port


async def page(port: int) -> str:
    """The metrics that one of the processes gives, over a connection of its own."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        return (await client.get("/metrics")).text


def counted(text: str, protocol: str) -> float:
    found = re.findall(rf'^keraserve_gateway_requests_total{{.*protocol="{protocol}".*}} (\S+)$', text, re.M)
    return sum(map(float, found))


def free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.mark.shows("KERASERVE_WORKERS", "a process ended; another one is started")
async def test_two_processes_share_ports_and_metrics(
    start_gateway, serve_faults, free_port: Callable[[], int]
) -> None:
    address = await serve_faults({services.GET_MODEL_STATUS: available})
    flags = (f"--port={free_port()}", f"--grpc-port={free_port()}", f"--model-server={address}")
    process, log = start_gateway("--workers=2", "--models=colours", *flags)
    http, grpc_port = await ports(log, 2)
    assert not free(http)
    request = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))
    for _ in range(LOOKS):
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{http}") as client:
            assert (await client.get("/v1/models/colours")).status_code == 200
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            await services.Stub(channel).get_model_status(request)
    for _ in range(4):
        found = await page(http)
        assert (counted(found, "http"), counted(found, "grpc")) == (LOOKS, LOOKS)

    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    await ports(log, 3)
    assert counted(await page(http), "http") == LOOKS
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 15) == 0
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("stopped") == 2
    assert events.count("a process ended; another one is started") == 1


async def test_the_processes_end_with_the_first_one(start_gateway, free_port: Callable[[], int]) -> None:
    process, log = start_gateway("--workers=2", f"--port={free_port()}", f"--grpc-port={free_port()}")
    port, _ = await ports(log, 2)
    process.kill()
    until(lambda: free(port), "the port is still taken", 15)


async def test_a_start_that_fails_ends_all_of_them(start_gateway, free_port: Callable[[], int]) -> None:
    flags = (f"--port={free_port()}", "--grpc-port=0", "--max-arriving-bytes=1000000000000")
    process, log = start_gateway("--workers=2", *flags)
    assert await asyncio.to_thread(process.wait, 30) == 1
    assert "max_arriving_bytes" in log.read_text()


def test_a_process_has_its_part_of_the_limits(tmp_path: Path) -> None:
    part = Settings(one_of=3, max_in_flight=64, max_bytes_in_flight=300 << 20).part
    assert (part.max_in_flight, part.max_waiting, part.max_connections) == (22, 3, 134)
    assert part.max_bytes_in_flight == 100 << 20
    assert "max_arriving_bytes" not in part.model_fields_set  # it is what the memory allows
    key, entry = keys.make("shop", rate=4)
    (tmp_path / "keys.toml").write_text(entry)
    known = keys.Keys(tmp_path / "keys.toml", 100, processes=2)
    for _ in range(2):
        known.admit(known.check(key), ["colours"])
    with pytest.raises(RateLimited, match=r"more than 2 requests a second .*, 4 over 2 processes"):
        known.admit(known.check(key), ["colours"])
    with pytest.raises(ValueError, match="several workers need a model server"):
        Settings(workers=2, model_server="in-process")
