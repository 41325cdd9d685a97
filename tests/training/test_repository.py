"""A version appears whole or not at all, whichever process is killed or writes at the same time."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from training.exporter_to_kill import write_plain as write

from keraserve_models.errors import RepositoryError
from keraserve_models.repository import folders

TO_KILL = Path(__file__).with_name("exporter_to_kill.py")


def check_whole(models: Path) -> None:
    for base in (path for path in models.iterdir() if path.is_dir()):
        for version in folders.versions(base):
            lacking = [name for name in folders.REQUIRED if not (base / str(version) / name).is_file()]
            assert not lacking, f"{base.name}/{version} lacks {lacking}"


def unfinished(models: Path) -> list[Path]:
    return list(models.glob("*/.exporting-*"))


def test_versions_count_up_from_the_highest(tmp_path: Path) -> None:
    assert [folders.publish(tmp_path, "a", write) for _ in range(3)] == [1, 2, 3]
    shutil.rmtree(tmp_path / "a" / "2")
    assert folders.publish(tmp_path, "a", write) == 4
    (tmp_path / "a" / "0012").mkdir()
    (tmp_path / "a" / "notes").mkdir()
    assert folders.publish(tmp_path, "a", write) == 13
    assert folders.names(tmp_path) == ["a"]
    (tmp_path / "a" / "0").mkdir()
    assert folders.versions(tmp_path / "a") == [0, 1, 3, 4, 13]  # 0012 is no folder that a tool can name


@pytest.mark.parametrize("name", ["", "A", "-a", "a_b", "a/b", "a" * 64, "../a"])
def test_a_name_that_no_server_takes_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(RepositoryError, match="can't be a model's name"):
        folders.publish(tmp_path, name, write)


def test_an_export_that_lacks_a_file_is_not_published(tmp_path: Path) -> None:
    def forgetful(place: Path) -> None:
        write(place)
        (place / folders.LABELS).unlink()

    with pytest.raises(RepositoryError, match=r"assets/labels\.txt"):
        folders.publish(tmp_path, "a", forgetful)
    assert not (tmp_path / "a").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    def full(place: Path) -> None:
        (place / "saved_model.pb").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folders.publish(tmp_path, "a", full)
    assert not (tmp_path / "a").exists()


def test_many_at_once_all_succeed_with_numbers_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: folders.publish(tmp_path, "a", write), range(24)))
    assert sorted(found) == list(range(1, 25))
    check_whole(tmp_path)
    assert not unfinished(tmp_path)


def test_a_version_that_is_being_written_is_not_removed(tmp_path: Path) -> None:
    def interrupted(place: Path) -> None:
        assert folders.publish(tmp_path, "a", write) == 1
        write(place)

    assert folders.publish(tmp_path, "a", interrupted) == 2
    check_whole(tmp_path)


def test_killed_at_every_file_operation_no_version_is_ever_half(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TO_KILL, "publish", tmp_path], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) > 25  # so many points
    check_whole(tmp_path)
    assert folders.publish(tmp_path, "plain", write) == max(folders.versions(tmp_path / "plain"))
    check_whole(tmp_path)
    assert not unfinished(tmp_path)


def test_a_real_export_killed_at_many_points(tmp_path: Path, runs: Path) -> None:
    done = subprocess.run(
        [sys.executable, TO_KILL, "export", tmp_path, runs, "45"], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) >= 5
    check_whole(tmp_path)
    folders.publish(tmp_path, "fashion-mnist-reuse-a-sample", write)
    folders.publish(tmp_path, "fashion-mnist-reuse-b-sample", write)
    assert not unfinished(tmp_path)
