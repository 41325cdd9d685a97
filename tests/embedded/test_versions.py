"""Which versions there are, which to load or unload next, and which a label names."""

import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from keraserve_embedded.models import loaded_version
from keraserve_embedded.models.labels import Labels
from keraserve_embedded.models.model import Load, Unload, next_transition
from keraserve_embedded.models.repository import VersionPolicy, fingerprint, scan
from keraserve_embedded.quiet_tensorflow import tf


def test_only_numeric_folders_with_a_graph_are_versions(tmp_path: Path) -> None:
    for name in ("1", "002", "10", ".exporting-3", "v4", "5", "²"):
        (tmp_path / name).mkdir()
        if name != "5":
            (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "6").touch()
    assert sorted(scan(tmp_path)) == [1, 2, 10]
    with pytest.raises(OSError, match="nowhere"):
        scan(tmp_path / "nowhere")


def test_a_version_that_is_there_twice_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("02", "002", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    for _ in range(2):
        assert scan(tmp_path) == {2: tmp_path / "2"}
    assert caplog.messages == [
        f"version 2 is there more than once: {tmp_path / '2'} is served,"
        f" ignored: {tmp_path / '002'}, {tmp_path / '02'}"
    ]


def test_versions_are_found_where_the_base_path_is_renamed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, listed = tmp_path / "base", os.scandir
    (base / "1").mkdir(parents=True)
    (base / "1" / "saved_model.pb").touch()

    def renamed(folder: int) -> Any:
        entries = listed(folder)
        base.rename(tmp_path / "away")
        return entries

    monkeypatch.setattr(os, "scandir", renamed)
    assert scan(base) == {1: base / "1"}


def test_a_version_that_can_not_be_read_is_not_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").mkdir()

    def rejected(path: str, *, dir_fd: int) -> Any:
        raise PermissionError(path, dir_fd)

    monkeypatch.setattr(os, "stat", rejected)
    with pytest.raises(PermissionError):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (VersionPolicy(), {9}),
        (VersionPolicy(latest=2), {3, 9}),
        (VersionPolicy(latest=9), {1, 3, 9}),
        (VersionPolicy(latest=None), {1, 3, 9}),
        (VersionPolicy(specific=frozenset({3, 4})), {3}),
    ],
)
def test_policies(policy: VersionPolicy, chosen: set[int]) -> None:
    assert policy.choose({1, 3, 9}) == chosen
    assert policy.choose(set()) == set()


def test_a_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_text("a")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "variables" / "data").write_text("ab")
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("aspired", "available", "loadable", "step"),
    [
        ({2}, {1}, {2}, Load(2)),
        ({2}, {1, 2}, set[int](), Unload(1)),
        ({2}, {1}, set[int](), None),  # 2 failed: 1 stays
        (set[int](), {1, 2}, set[int](), Unload(1)),
        ({4}, {1, 2}, {4}, Unload(1)),  # never more than one that nobody wants
        ({3, 4}, set[int](), {3, 4}, Load(4)),
        ({1}, {1}, set[int](), None),
        ({1}, {2}, {1}, Load(1)),  # back to an older one
    ],
)
def test_a_model_is_never_without_a_version(
    aspired: set[int], available: set[int], loadable: set[int], step: Load | Unload | None
) -> None:
    assert next_transition(aspired, available, loadable) == step


def test_a_label_moves_when_its_version_is_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    labels = Labels(early=False)
    for _ in range(2):
        labels.assign("m", {"stable": 1, "canary": 2}, {1})
    assert (labels.version("stable"), labels.version("canary")) == (1, None)
    assert len(caplog.records) == 1
    labels.assign("m", {"stable": 2, "canary": 2}, {1, 2})
    assert (labels.version("stable"), labels.version("canary")) == (2, 2)
    labels.assign("m", {"stable": 3}, {1, 2})
    assert (labels.version("stable"), labels.version("canary")) == (2, None)


def test_only_a_new_label_may_be_early() -> None:
    labels = Labels(early=True)
    labels.assign("m", {"canary": 7}, {1})
    assert labels.version("canary") == 7
    labels.assign("m", {"canary": 8}, {1})
    assert labels.version("canary") == 7


class Weighted(tf.Module):
    """Weights in a variable, as Keras exports them, or in a constant, as a frozen graph has them."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.weights = tf.constant([[2.0]]) if frozen else tf.Variable([[2.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 1])])
    def double(self, x: Any) -> Any:
        return {"y": tf.matmul(x, self.weights)}


@pytest.mark.parametrize(
    ("frozen", "gpu", "optimized"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_the_graph_optimizer_works_where_constants_or_a_gpu_pay_for_its_time(
    frozen: bool, gpu: bool, optimized: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_version, "has_gpu", lambda: gpu)
    made = Mock(wraps=loaded_version.session)
    monkeypatch.setattr(loaded_version, "session", made)
    weighted = Weighted(frozen)
    tf.saved_model.save(weighted, str(tmp_path), {"serving_default": weighted.double})
    version = loaded_version.LoadedVersion("weighted", 1, tmp_path)
    assert made.call_args.kwargs == {"optimized": optimized, "bfloat16": False}
    assert version.signatures["serving_default"].run({"x": np.float32([[3]])})["y"] == [[6]]
