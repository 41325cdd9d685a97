"""Six hours of a busy installation in ten minutes: new versions, polls, bad requests; nothing grows.

`make test-faults` runs it for minutes, `make test` for seconds.
"""

import shutil
import socket
import time

from system.faults.load import MODEL, callers
from system.faults.product import MINUTES, Product, exchange, post

from keraserve_client import Client

SECONDS = MINUTES * 60 or 6
WARM_ROUNDS = 12 if MINUTES else 3  # memory may grow in these rounds only
BETWEEN_VERSIONS = 16.0 if MINUTES else 1.5
POLLS = ("/readyz", "/livez", "/metrics", "/v1/models", f"/v1/models/{MODEL}", "/v2/health/ready", "/nothing")
MEBIBYTES = 200 if MINUTES else 150  # of growth, as loading a version takes some for a while


def a_round(product: Product, image: bytes, ended: list[int]) -> None:
    """Replace the version, with polls, abandoned requests and bad requests meanwhile."""
    version = product.add_version(MODEL)
    later = time.monotonic() + BETWEEN_VERSIONS
    with Client(product.url) as client:
        while time.monotonic() < later or client.classify(MODEL, image)[0].version != version:
            for path in POLLS:
                assert product.status(path) in (200, 404)
            bad = post(f"/v1/models/{MODEL}:predict", b"{", "application/json")
            assert exchange(product.port, bad)[0] == 400
            with socket.create_connection(("127.0.0.1", product.port)) as gone:
                gone.sendall(post(f"/v1/models/{MODEL}/images:classify", image, "image/png")[:-5])
    if ended:
        shutil.rmtree(product.models / MODEL / str(ended.pop()))
    ended.append(version)


def _series(product: Product, model: str) -> set[str]:
    """The versions of a model in the metrics."""
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    page = exchange(product.port, request)[1].decode()
    lines = [line for line in page.splitlines() if f'model="{model}"' in line and 'version="' in line]
    return {line.split('version="')[1].split('"')[0] for line in lines} - {"", "1"}


def test_memory_and_descriptors_do_not_grow(either: Product, red: bytes) -> None:
    end, rounds, ended = time.monotonic() + SECONDS, 0, list[int]()
    sizes: list[tuple[int, int]] = []
    with callers(either, red) as seen:
        while time.monotonic() < end or rounds < WARM_ROUNDS + 2:
            a_round(either, red, ended)
            rounds += 1
            if rounds >= WARM_ROUNDS:
                memory = sum(process.mebibytes() for process in either.processes)
                sizes.append((memory, sum(process.descriptors() for process in either.processes)))
    assert len(_series(either, MODEL)) <= 10
    print(f"{rounds} versions; memory and descriptors: {sizes[0]} to {sizes[-1]}")
    assert {name: one.failures for name, one in seen.items() if one.failures} == {}
    (memory, descriptors), *others = sizes
    late = others[-min(3, len(others)) :]
    assert min(size for size, _ in late) < memory + MEBIBYTES
    assert min(count for _, count in late) < descriptors + 20
