"""Wrong keys are slowed down by address, in bounded memory; a right one is not; none is in the log."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from gateway.test_keys import STATUS, available

from keraserve_gateway.api_keys import keys, wrong_keys
from keraserve_gateway.api_keys.wrong_keys import KEPT, WrongKeys
from keraserve_gateway.http.app import gateway_of
from keraserve_protocol import services


@pytest.fixture
async def guarded(make, serve_faults, tmp_path: Path) -> Any:
    key, entry = keys.make("shop")
    (tmp_path / "keys.toml").write_text(entry)
    address = await serve_faults({services.GET_MODEL_STATUS: available})
    return await make(address, keys_file=tmp_path / "keys.toml"), key


@pytest.mark.shows("wrong ones are slowed")
async def test_wrong_keys_are_slowed_down_and_right_ones_are_not(guarded, monkeypatch) -> None:
    gateway, key = guarded
    wrong = {"x-api-key": key[:-1] + "!"}
    for _ in range(10):
        assert (await gateway.get(STATUS, headers=wrong)).status_code == 401
    monkeypatch.setattr(wrong_keys, "PER_SECOND", 1 / 600)
    monkeypatch.setattr(wrong_keys, "LONGEST_SECONDS", 600)
    late = [asyncio.create_task(gateway.get(STATUS, headers=wrong)) for _ in range(30)]
    for _ in range(20):
        assert (await gateway.get(STATUS, headers={"x-api-key": key})).status_code == 200
    assert not any(one.done() for one in late)
    assert gateway_of(gateway.app).admission.in_flight == 0
    for one in late:
        one.cancel()
    await asyncio.gather(*late, return_exceptions=True)


@pytest.mark.shows("wrong ones are slowed")
async def test_all_connections_of_an_address_share_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        if seconds > 1e-6:  # what rounding leaves
            waits.append(seconds)

    now = 1000.0
    # In the module alone: the event loop has the same clock.
    monkeypatch.setattr(wrong_keys, "asyncio", SimpleNamespace(sleep=wait))
    monkeypatch.setattr(wrong_keys, "time", SimpleNamespace(monotonic=lambda: now))
    wrong = WrongKeys()
    for _ in range(200):  # as 200 connections send them at one moment
        await wrong.slow_down("10.0.0.1")
    assert waits == pytest.approx([min(n / 10, 10) for n in range(1, 191)])  # after the ten of a second
    waits.clear()
    await wrong.slow_down("10.0.0.2")
    now += 11  # the last one got its response a second ago
    for _ in range(10):
        await wrong.slow_down("10.0.0.1")
    assert not waits


@pytest.mark.shows("wrong ones are slowed")
async def test_a_limited_number_of_addresses_is_remembered() -> None:
    wrong = WrongKeys()
    for n in range(KEPT + 50):
        await wrong.slow_down(f"10.0.{n // 256}.{n % 256}")
    assert len(wrong) == KEPT
    for n in range(1000):  # one network of IPv6 is one caller's
        if n < 10:
            await wrong.slow_down(f"2001:db8::{n:x}")
    assert len(wrong) == KEPT
    await wrong.slow_down("")


@pytest.mark.shows("in a path, the")
async def test_no_key_is_in_the_log(guarded) -> None:
    gateway, key = guarded
    with structlog.testing.capture_logs() as logged:
        for path in (f"/v1/models/{key}", f"/v1/models/colours/labels/{key}", f"/v1/{key}", f"/{key}"):
            await gateway.get(path, headers={"x-api-key": key})
    assert len(logged) == 4
    assert key[12:] not in str(logged)
    assert f"/v1/models/{key[:12]}..." in str(logged)  # which key it was can be found
