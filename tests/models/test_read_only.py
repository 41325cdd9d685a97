"""A repository that can't be written is served as it is, or with a `models.config` elsewhere."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keraserve_models.commands import serving
from keraserve_models.repository import server_config


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for place in ("a/1", "a/2", "b/1"):
        (tmp_path / "models" / place).mkdir(parents=True)
    return tmp_path / "models"


def lock(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    @contextmanager
    def locked(path: Path) -> Iterator[None]:
        raise OSError(code, os.strerror(code), str(path))
        yield

    monkeypatch.setattr(server_config, "locked", locked)


def test_with_a_whole_file_it_is_served_itself(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_config.write(models)
    lock(monkeypatch, errno.EROFS)
    with serving._completed(models) as place:
        assert place == models


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_the_file_lacks_is_written_elsewhere(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    (models / server_config.FILE).write_text(
        'model_config_list { config { name: "a" base_path: "/models/a" model_platform: "tensorflow" } }'
    )
    before = sorted(models.rglob("*"))
    lock(monkeypatch, code)
    with serving._completed(models) as place:
        entries = {each.name: each for each in server_config.read(place).model_config_list.config}
        assert {name: entry.base_path for name, entry in entries.items()} == {
            name: str(models / name) for name in "ab"
        }
        assert dict(entries["b"].version_labels) == {"stable": 1}
    assert not place.exists()
    assert sorted(models.rglob("*")) == before
    assert "can't be written: its models.config stays as it is" in capsys.readouterr().out


def test_a_full_disk_is_no_read_only_one(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"), serving._completed(models):
        pass
