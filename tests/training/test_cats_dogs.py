"""The photographs of cats and dogs, from an archive that the tests make."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keraserve_training.data import cats_dogs, datasets, keras_download
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import FULL

COUNT = 12
pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras' folder for data sets, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras_download, "_PHOTOGRAPHS", "raise SystemExit(1)")
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    return tmp_path / "keras" / "datasets"


def photograph(number: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (70 + number, 80), (number, 0, 0)).save(written, "JPEG")
    content = written.getvalue()
    # Every third begins with an Exif header instead of JFIF's, as many of the real ones do.
    return content if number % 3 else content[:2] + content[20:]


def archive(path: Path) -> None:
    """The archive as Microsoft publishes it, with the oddities of the real one."""
    with zipfile.ZipFile(path, "w") as written:
        for folder in ("Cat", "Dog"):
            for number in range(COUNT):
                written.writestr(f"PetImages/{folder}/{number}.jpg", photograph(number))
            written.writestr(f"PetImages/{folder}/Thumbs.db", b"whatever")
        written.writestr("PetImages/Cat/666.jpg", b"")
        written.writestr("PetImages/Dog/11702.jpg", photograph(1)[:300])
        written.writestr("readme[1].txt", b"whatever")
        written.writestr("../outside.jpg", photograph(1))


def test_the_archive_in_the_cache_is_unpacked_once_and_dogs_are_1(home: Path) -> None:
    archive(home / cats_dogs.ARCHIVE)
    told: list[str] = []
    data = datasets.cats_dogs(FULL, told.append, test=6)
    again = datasets.cats_dogs(FULL, told.append, test=6)
    assert (data.kind, data.classes) == ("public", ("cat", "dog"))
    assert told[0] == f"Cats vs. dogs: unpacking {cats_dogs.ARCHIVE}"
    assert [("2 are left out" in line, "666.jpg (empty)" in line) for line in told[1:]] == [(True, True)] * 2
    assert data.record() == again.record()
    assert isinstance(data.train, ImageFiles)
    labelled = zip(data.train.files, data.train.labels, strict=True)
    assert {(file.parent.name, int(label)) for file, label in labelled} == {("Cat", 0), ("Dog", 1)}
    assert len(data.train) + len(data.test) == 2 * COUNT
    assert np.bincount(data.test.labels, minlength=2).max() <= 3
    batches = data.train.sized(20).batches(np.arange(len(data.train)), 4)
    assert sum(len(images) for images, _ in batches) == len(data.train)
    assert not (home.parent / "outside.jpg").exists()
    assert {path.name for path in home.iterdir()} == {cats_dogs.ARCHIVE, "kagglecatsanddogs_5340_extracted"}


def test_a_damaged_archive_leaves_nothing_and_one_sentence(home: Path) -> None:
    archive(home / cats_dogs.ARCHIVE)
    content = bytearray((home / cats_dogs.ARCHIVE).read_bytes())
    content[200] ^= 0xFF
    (home / cats_dogs.ARCHIVE).write_bytes(content)
    with pytest.raises(DataUnavailableError) as caught:
        datasets.cats_dogs(FULL, lambda _: None)
    for word in (cats_dogs.ARCHIVE, str(home), "--data", "--profile sample"):
        assert word in str(caught.value)
    assert not list(home.rglob("*.jpg"))


def test_keras_download_is_unpacked(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    archive(tmp_path / "archive.zip")
    program = (
        "import os, pathlib, shutil; folder = pathlib.Path(os.environ['KERAS_HOME'], 'datasets');"
        f"folder.mkdir(); shutil.copy({str(tmp_path / 'archive.zip')!r}, folder / {{name!r}})"
    )
    monkeypatch.setattr(keras_download, "_PHOTOGRAPHS", program)
    root, found = cats_dogs.load(lambda _: None)
    assert root == home / "kagglecatsanddogs_5340_extracted" / "PetImages"
    assert all(file.is_file() for files in found.values() for file in files)
    assert not list(home.rglob("*.zip")), "the archive is not kept twice"
