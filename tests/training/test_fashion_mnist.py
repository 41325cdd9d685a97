"""Every way to the four files, without a network, and that nothing half is ever left in the cache."""

import gzip
import hashlib
import shutil
import struct
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from keraserve_training.data import debian, fashion_mnist, keras_download
from keraserve_training.data.cache import Fill
from keraserve_training.errors import DataUnavailableError

COUNTS = {"train": 60_000, "t10k": 10_000}
DOWNLOAD = keras_download.dataset("Fashion-MNIST", "fashion_mnist", "fashion-mnist", "30 MB")


def quiet(_: str) -> None:
    pass


def fill(folder: Path, _: object = None) -> bool:
    """The four files in their true form, all black."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in fashion_mnist.FILES:
        count = COUNTS[name.partition("-")[0]]
        shape = [count, 28, 28] if "images" in name else [count]
        header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
        with gzip.open(folder / name, "wb", compresslevel=1) as file:
            file.write(header + bytes(int(np.prod(shape))))
    return True


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an installed Debian package would have them, below a root of our own."""
    root = tmp_path_factory.mktemp("root")
    fill(root / fashion_mnist.PACKAGE_FOLDER)
    return root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


def installed(root: Path) -> Fill:
    return partial(fashion_mnist._installed, root)


def test_an_installed_package_is_put_where_keras_looks(home: Path, files: Path) -> None:
    train, test = fashion_mnist.load(quiet, ways=(installed(files),))
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert {file.name for file in home.iterdir()} == {*fashion_mnist.FILES, ".lock"}


def test_what_is_cached_is_not_fetched_again(home: Path, files: Path) -> None:
    shutil.copytree(files / fashion_mnist.PACKAGE_FOLDER, home)
    train, _ = fashion_mnist.load(quiet, ways=())
    assert len(train) == 60_000


@pytest.mark.parametrize("damage", ["cut off", "flipped", "missing"])
def test_a_damaged_file_is_replaced(home: Path, files: Path, damage: str) -> None:
    shutil.copytree(files / fashion_mnist.PACKAGE_FOLDER, home)
    victim = home / fashion_mnist.FILES[0]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content[: len(content) // 2] if damage == "cut off" else content)
    if damage == "missing":
        victim.unlink()
    train, _ = fashion_mnist.load(quiet, ways=(installed(files),))
    assert len(train) == 60_000
    assert victim.read_bytes() == (files / fashion_mnist.PACKAGE_FOLDER / victim.name).read_bytes()


def test_a_way_that_leaves_half_a_file_leaves_nothing_in_the_cache(home: Path) -> None:
    def half(own: Path, _: object) -> bool:
        fill(own)
        with (own / fashion_mnist.FILES[2]).open("r+b") as file:
            file.truncate(100)
        return True

    with pytest.raises(DataUnavailableError):
        fashion_mnist.load(quiet, ways=(half,))
    assert {file.name for file in home.iterdir()} == {".lock"}


def test_when_no_way_leads_there_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        fashion_mnist.load(quiet, ways=(installed(tmp_path),))
    sentence = str(caught.value)
    assert "dataset-fashion-mnist" in sentence
    assert "--profile sample" in sentence
    assert "\n" not in sentence


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(DataUnavailableError, match="KERAS_HOME"):
        fashion_mnist.load(quiet)


def test_keras_own_download_fails_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keras_download, "_DATASET", "print('Downloading'); raise SystemExit(1)")
    assert not DOWNLOAD(tmp_path, quiet)
    assert capfd.readouterr() == ("", "")


def test_keras_own_download_is_taken_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, pathlib; folder = pathlib.Path(os.environ['KERAS_HOME'], 'datasets/fashion-mnist');"
        "folder.mkdir(parents=True); (folder / 'a.gz').write_text('whole')"
    )
    monkeypatch.setattr(keras_download, "_DATASET", program)
    assert DOWNLOAD(tmp_path, quiet)
    assert (tmp_path / "a.gz").read_text() == "whole"


@pytest.mark.skipif(
    not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="needs apt-get and dpkg-deb"
)
def test_a_package_is_fetched_without_root_from_a_repository(tmp_path: Path) -> None:
    """A real apt-get and a real package, from a repository that is a folder."""
    repository, package = tmp_path / "repository", tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    control = "Package: a-data-set\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\n"
    control += "Description: test\n"
    (package / "DEBIAN" / "control").write_text(control)
    (package / "usr/share").mkdir(parents=True)
    (package / "usr/share/data").write_text("here")
    repository.mkdir()
    deb = repository / "a-data-set_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, deb], check=True, capture_output=True)
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    index = f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
    (repository / "Packages").write_text(index)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    settings = f"Dir::Etc::SourceList={tmp_path / 'sources.list'}", "Dir::Etc::SourceParts=/dev/null"
    options = [word for each in settings for word in ("-o", each)]
    there = debian.fetch("a-data-set", tmp_path / "work", options)
    assert there is not None
    assert (there / "usr/share/data").read_text() == "here"
    assert debian.fetch("no-such-package", tmp_path / "other", options) is None
