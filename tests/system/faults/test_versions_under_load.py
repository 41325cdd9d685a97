"""Versions, valid and broken, are added and removed under load of clients without retries."""

import hashlib
import shutil
import time

from system.faults.load import MODEL, callers
from system.faults.product import MINUTES, Product
from waiting import until

from keraserve_client import Client
from keraserve_embedded.models import digests

SWAPS = 3 + int(MINUTES * 10)


def test_no_request_fails_while_versions_are_swapped(either: Product, red: bytes) -> None:
    with callers(either, red, retries=0) as seen:
        previous = 1
        for _ in range(SWAPS):
            version = either.add_version(MODEL)
            until(
                lambda v=version: all(
                    one.responses[-1:] and one.responses[-1][1] == v for one in seen.values()
                ),
                f"version {version} is not served",
            )
            if previous > 1:
                shutil.rmtree(either.models / MODEL / str(previous))
            previous = version
    for name, one in seen.items():
        assert one.failures == [], name
        if "many" not in name:  # its requests run at the same time
            versions = [version for _, version in one.responses]
            assert versions == sorted(versions), name


def test_a_broken_version_leaves_the_old_one_serving(either: Product, red: bytes) -> None:
    folder = either.models / MODEL
    with Client(either.url, retries=0) as client, callers(either, red, retries=0) as seen:
        good = client.status(MODEL).available[0]
        half = (folder / str(good) / "saved_model.pb").read_bytes()[:999]
        for number, graph in enumerate((b"", b"no graph\n", half), good + 1):
            shutil.copytree(folder / "1", folder / "broken")
            (folder / "broken" / "saved_model.pb").write_bytes(graph)
            (folder / "broken").rename(folder / str(number))
            until(
                lambda n=number: any(v.version == n and v.error for v in client.status(MODEL).versions),
                f"no error for {graph[:9]!r}",
            )
            now = time.monotonic()
            until(lambda t=now: all(one.since(t) > 3 for one in seen.values()), "a client still waits")
    for number in range(good + 1, good + 4):
        shutil.rmtree(folder / str(number))
    for one in seen.values():
        assert one.failures == []
        assert {version for _, version in one.responses} == {good}


def test_a_damaged_version_that_still_loads_leaves_the_old_one_serving(either: Product, red: bytes) -> None:
    """Its graph parses, with other labels, and does not match the exporter's digests."""
    folder = either.models / MODEL
    with Client(either.url, retries=0) as client, callers(either, red, retries=0) as seen:
        good = client.status(MODEL).available[0]
        shutil.copytree(folder / "1", folder / "damaged")
        graph = folder / "damaged/saved_model.pb"
        listed = hashlib.sha256(graph.read_bytes()).hexdigest()
        (folder / "damaged" / digests.FILE).write_text(f"{listed}  saved_model.pb\n")
        assert graph.read_bytes().count(b"red")
        graph.write_bytes(graph.read_bytes().replace(b"red", b"der"))
        (folder / "damaged").rename(folder / str(good + 1))
        until(
            lambda: any(
                v.version == good + 1 and "is not the file that was exported" in (v.error or "")
                for v in client.status(MODEL).versions
            ),
            "no error for the damaged version",
        )
        now = time.monotonic()
        until(lambda: all(one.since(now) > 3 for one in seen.values()), "a client still waits")
        assert client.classify(MODEL, red)[0].best.label == "red"
    shutil.rmtree(folder / str(good + 1))
    for one in seen.values():
        assert one.failures == []
        assert {version for _, version in one.responses} == {good}
