"""The files of CIFAR, small ones that the tests write, in every place where they may be."""

import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keraserve_training.data import cifar, datasets, keras_download
from keraserve_training.data.cifar import Published
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import FULL, QUICK

COUNT = 60
SMALL = [replace(published, images=(COUNT, COUNT)) for published in (cifar.CIFAR_10, cifar.CIFAR_100)]
pytestmark = pytest.mark.parametrize("published", SMALL, ids=lambda published: published.name)


def quiet(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras' folder for data sets, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras_download, "_DATASET", "raise SystemExit(1)")
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    return tmp_path / "keras" / "datasets"


def batch(published: Published, seed: int) -> dict[bytes, object]:
    """As the authors' pickles, which Python 2 wrote: keys are bytes, labels a list."""
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (COUNT, 3072), np.uint8)
    labels = [int(label) for label in generator.integers(0, len(published.classes), COUNT)]
    return {
        b"data": data,
        published.labels.encode(): labels,
        b"batch_label": b"made up",
        b"filenames": [b"a.png"],
    }


def fill(published: Published, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(published.names):
        (folder / name).write_bytes(pickle.dumps(batch(published, seed), protocol=2))


def check(published: Published, read: cifar.Read) -> None:
    """Every value is where it belongs: colours last."""
    assert len(read.train) == COUNT * len(published.train)
    first, last = batch(published, 0), batch(published, len(published.names) - 1)
    pixels = np.asarray(first[b"data"]).reshape(COUNT, 3, 32, 32)
    np.testing.assert_array_equal(read.train.images[7, 5, 9], pixels[7, :, 5, 9])
    assert read.test.labels.tolist() == last[published.labels.encode()]
    assert read.test.images.shape == (COUNT, 32, 32, 3)
    assert read.train.labels.dtype == np.int32


@pytest.mark.parametrize("place", ["Keras 3", "Keras 2"])
def test_files_are_found_where_keras_puts_them(published: Published, home: Path, place: str) -> None:
    with pytest.raises(DataUnavailableError):
        cifar.load(published, quiet)  # what this leaves behind must not hide them
    inside = home / f"{published.folder}-target" if place == "Keras 3" else home
    fill(published, inside / published.folder)
    check(published, cifar.load(published, quiet))


def test_an_archive_in_the_cache_is_unpacked_once(published: Published, home: Path, tmp_path: Path) -> None:
    fill(published, tmp_path / published.folder)
    with tarfile.open(home / published.archives[0], "w:gz") as archive:
        archive.add(tmp_path / published.folder, published.folder)
    told: list[str] = []
    check(published, cifar.load(published, told.append))
    check(published, cifar.load(published, told.append))
    assert told == [f"{published.name}: unpacking {published.archives[0]}"]
    folder = home / f"{published.folder}-target" / published.folder
    assert {path.name for path in folder.iterdir()} == {*published.names, ".lock"}


def test_what_keras_downloads_is_taken(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(published, tmp_path / published.folder)
    place = f"datasets/{published.folder}-target/{published.folder}"
    program = f"import os, shutil; shutil.copytree({str(tmp_path / published.folder)!r}, "
    monkeypatch.setattr(keras_download, "_DATASET", program + f"os.environ['KERAS_HOME'] + '/{place}')")
    check(published, cifar.load(published, quiet))


@pytest.mark.parametrize("damage", ["cut off", "missing", "a program", "short", "labels"])
def test_a_damaged_file_is_never_used(published: Published, home: Path, damage: str) -> None:
    folder = home / f"{published.folder}-target" / published.folder
    fill(published, folder)
    victim = folder / published.names[0]
    content = batch(published, 0)
    if damage == "cut off":
        victim.write_bytes(victim.read_bytes()[:-100])
    elif damage == "missing":
        victim.unlink()
    elif damage == "a program":
        victim.write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    elif damage == "short":
        victim.write_bytes(pickle.dumps({**content, b"data": np.zeros((3, 3072), np.uint8)}, protocol=2))
    else:
        wrong = {published.labels.encode(): [len(published.classes)] * COUNT}
        victim.write_bytes(pickle.dumps(content | wrong, protocol=2))
    with pytest.raises(DataUnavailableError):
        cifar.load(published, quiet)


def test_one_sentence_says_what_to_do_if_they_can_not_be_found(published: Published, home: Path) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        cifar.load(published, quiet)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert all(word in sentence for word in (published.archives[0], str(home), "--data", "--profile sample"))


def test_an_experiment_gets_them_and_is_told_that_they_are_not_those_published(
    published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = published.name.replace("-", "_")
    monkeypatch.setattr(cifar, name, published)
    fill(published, home / f"{published.folder}-target" / published.folder)
    source = datasets.cifar10 if name == "CIFAR_10" else datasets.cifar100
    told: list[str] = []
    data = source(FULL, told.append)
    assert (data.name, data.kind, data.classes) == (published.name, "public", published.classes)
    assert len(data.classes) == len(set(data.classes)) in (10, 100)
    assert "not those published" in told[0]
    assert "not those published" in data.origin
    quick = source(QUICK, quiet)
    assert len(quick.test) == COUNT, "a profile does not go below its floor"
