"""Training on two devices gives what one gives, up to rounding, also after an interruption."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keraserve_training import runtime
from keraserve_training.learning import fit

TRAINER = Path(__file__).with_name("several_devices.py")
STRICT = ["-W", "error", "-W", "ignore:__array__ implementation:DeprecationWarning"]  # as for the tests


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """What came of the same training on one device and on two."""
    folder = tmp_path_factory.mktemp("devices")
    results = {}
    for devices in (1, 2):
        command = [sys.executable, *STRICT, str(TRAINER), str(devices), str(folder / str(devices))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        results[devices] = json.loads(done.stdout)
    # What two devices have learnt can be loaded by a process that has one.
    assert fit.load(folder / "2" / "whole").result["digest"] == results[2]["digests"][0]
    return results


def test_two_devices_learn_what_one_does(trained: Mapping[int, Any]) -> None:
    one, two = trained[1], trained[2]
    assert (one["devices"], two["devices"]) == (1, 2)
    for ours, theirs in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(two["probabilities"], one["probabilities"], atol=1e-5)
    for ours, theirs in zip(two["rows"], one["rows"], strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], abs=1e-5)
        assert ours["val_accuracy"] == pytest.approx(theirs["val_accuracy"], abs=1e-6)
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.05)  # the last batch counts as 6 images


def test_the_devices_hold_the_same_weights_to_the_last_bit(trained: Mapping[int, Any]) -> None:
    for copies in trained[2]["copies"]:
        assert len(copies) == 2
        assert len(set(copies)) == 1


def test_interrupted_on_two_devices_the_end_is_the_same(trained: Mapping[int, Any]) -> None:
    for devices in (1, 2):
        whole, interrupted = trained[devices]["digests"]
        assert whole == interrupted


def test_batches_keep_their_order_and_are_divided_evenly(trained: Mapping[int, Any]) -> None:
    assert trained[2]["parts"] == [
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        [[8, 9, 10, 11], [12, 13, 14, 15]],
        [[16, 17, 18, 19], [20, 21, 22, 23]],
        [[24, 25, 26, 27], [28, 29, 30, 31]],
        [[32, 33, 34, 35], [36, 37, 38, 39]],
        [[40, 41, 42], [43, 44, 44]],  # the last one again, with weight 0
    ]


def test_without_a_strategy_nothing_is_entered() -> None:
    with runtime.scope(None) as entered:
        assert entered is None
