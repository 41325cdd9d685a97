"""The folder of stored features: after a kill, with damage, on a full disk, used by two processes at once."""

import contextlib
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keraserve_training.errors import FeaturesError
from keraserve_training.pretrained import feature_store
from keraserve_training.pretrained.feature_store import Layout, Store

LAYOUT = Layout(count=10, in_shard=4, shape=(2, 2, 3), dtype="float32")
ROWS = np.random.default_rng(0).normal(size=(10, 2, 2, 3)).astype(np.float32)
LABELS = np.arange(10, dtype=np.int32)


def store(folder: Path) -> Store:
    key = {"weights": "ab", "versions": {"keras": "3"}}
    return feature_store.store(folder, "a network, train", key, LAYOUT)


def fill(place: Store, told: list[str] | None = None) -> list[int]:
    """Do what an extraction does; gives the shards that had to be made."""
    with place.locked((told if told is not None else []).append):
        place.check((told if told is not None else []).append)
        missing = [shard for shard in range(LAYOUT.shards) if shard not in place.shards()]
        if not place.complete():
            for shard in missing:
                rows = LAYOUT.rows(shard)
                with place.writing(shard) as writer:
                    writer.write(ROWS[rows.start : rows.start + 2])
                    writer.write(ROWS[rows.start + 2 : rows.stop])
            place.finish(LABELS, 1.5)
        return missing


def contents(place: Store) -> dict[str, bytes]:
    files = (path for path in place.folder.iterdir() if path.name != feature_store.LOCK)
    return {path.name: path.read_bytes() for path in files}


def read(place: Store) -> np.ndarray[Any, Any]:
    return np.concatenate([np.load(path) for path in place.shards().values()])


@pytest.fixture
def whole(tmp_path: Path) -> Store:
    place = store(tmp_path)
    fill(place)
    return place


def test_what_is_written_is_read(whole: Store) -> None:
    np.testing.assert_array_equal(read(whole), ROWS)
    assert whole.complete()
    assert fill(whole) == []
    names = sorted(path.name.split("-")[0] for path in whole.folder.iterdir())
    assert names == [".lock", "index", "key.json", "labels", "shard", "shard", "shard"]
    assert whole.folder.name.startswith("a-network-train-")


def test_another_key_is_another_folder(tmp_path: Path) -> None:
    keys = ({"weights": "ab"}, {"weights": "ac"}, {"weights": "ab", "more": None})
    assert len({feature_store.store(tmp_path, "same", key, LAYOUT).folder for key in keys}) == 3


def killed_at(number: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do `work` in a fork that is killed at its `number`-th file operation below `folder`; whether it was."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event.startswith(("open", "os.", "fcntl.")) and (
                event.startswith("fcntl.") or any(str(folder) in str(argument) for argument in arguments)
            ):
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_killed_at_any_file_operation_it_goes_on(tmp_path: Path, whole: Store) -> None:
    expected, kills = contents(whole), 0
    for number in range(1, 200):
        place = store(tmp_path / str(number))
        if not killed_at(number, place.folder, lambda place=place: fill(place)):
            break
        kills += 1
        done = set(place.shards()) if place.folder.exists() else set()
        told: list[str] = []
        assert set(fill(place, told)) == set(range(LAYOUT.shards)) - done
        assert contents(place) == expected
        assert told == []
    assert kills > 20


@pytest.mark.parametrize("which", ["shard-00000", "shard-00001", "shard-00002", "labels", "index", "key"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_byte_is_found_and_the_file_made_again(whole: Store, which: str, place: str) -> None:
    expected = contents(whole)
    (victim,) = whole.folder.glob(f"{which}*")
    content = bytearray(victim.read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    victim.write_bytes(content)
    told: list[str] = []
    assert fill(whole, told) == ([int(which[-1])] if which.startswith("shard") else [])
    assert contents(whole) == expected
    assert len(told) == 1
    assert which in told[0]
    assert "damaged" in told[0]


@pytest.mark.parametrize("damage", ["cut off", "empty", "missing"])
def test_a_shard_that_is_not_whole_is_made_again(whole: Store, damage: str) -> None:
    expected, victim = contents(whole), whole.shards()[1]
    content = victim.read_bytes()
    victim.write_bytes({"cut off": content[:-1], "empty": b"", "missing": b""}[damage])
    if damage == "missing":
        victim.unlink()
    assert fill(whole) == [1]
    assert contents(whole) == expected


def test_files_of_others_are_left_alone(whole: Store) -> None:
    note = whole.folder / "notes.txt"
    note.write_text("mine")
    fill(whole)
    assert note.read_text() == "mine"


@contextlib.contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As on a full disk, writing fails in the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half(tmp_path: Path) -> None:
    place = store(tmp_path)
    with no_file_over(200), pytest.raises(FeaturesError) as caught:
        fill(place)
    assert "full" in str(caught.value)
    assert "--runs" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name for path in place.folder.iterdir()} == {".lock", "key.json"}
    assert fill(place) == [0, 1, 2]


def test_too_little_room_is_said_before_anything_is_made(
    whole: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # pyright: ignore
    with pytest.raises(FeaturesError, match="make space"):
        whole.check_space([0])
    whole.check_space([])


@pytest.mark.parametrize("below", ["", "inner"])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FeaturesError, match="--runs"):
        fill(store(tmp_path / "file" / below))


def test_a_block_that_fails_leaves_no_shard(tmp_path: Path) -> None:
    place = store(tmp_path)
    with place.locked(lambda _: None):
        with pytest.raises(ValueError, match="bytes"), place.writing(0) as writer:
            writer.write(ROWS[:1])  # of four
        assert place.shards() == {}
        assert {path.name for path in place.folder.iterdir()} == {".lock"}


def test_the_second_waits_and_finds_it_done(tmp_path: Path) -> None:
    place, told, made = store(tmp_path), [], []
    with place.locked(told.append):
        second = threading.Thread(target=lambda: made.extend(fill(place, told)))
        second.start()
        while not told:
            second.join(0.01)
        for shard in range(LAYOUT.shards):
            with place.writing(shard) as writer:
                writer.write(ROWS[np.array(LAYOUT.rows(shard))])
        place.finish(LABELS, 1.0)
    second.join()
    assert made == []
    assert "waiting" in told[0]
