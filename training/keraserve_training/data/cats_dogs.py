"""The 25,000 photographs of cats and dogs that Microsoft Research publishes: found, fetched, unpacked.

Source: Elson, Douceur, Howell and Saul, Asirra, 2007. TensorFlow Datasets takes them from the same archive
and leaves out the 1,738 whose first bytes don't say JFIF, which a JPEG need not. Here a file is left out only
if the exported model's decoder can't read it. That is closer to the 25,000 of both source documents.
"""

import re
import shutil
import zipfile
import zlib
from functools import partial
from pathlib import Path

from keraserve_training.data import cache, keras_download
from keraserve_training.data.cache import Fill, NotWholeError
from keraserve_training.data.examples import Tell
from keraserve_training.data.image_search import images_below

CLASSES = ("cat", "dog")
ARCHIVE = "kagglecatsanddogs_5340.zip"
_ADDRESS = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
_FOLDER = "PetImages"
_MEMBER = re.compile(r"PetImages/(?:Cat|Dog)/\d+\.jpg")


def load(tell: Tell, *, ways: tuple[Fill, ...] | None = None) -> tuple[Path, dict[str, list[Path]]]:
    """Find the photographs' files; args and errors: as `cache.Cached.load`.

    Returns:
        The folder that holds all of them, and the files of each class, in the order of their paths.
    """
    datasets = cache.folder()
    folder = datasets / f"{Path(ARCHIVE).stem}_extracted"  # where keras.utils.get_file unpacks it
    missing = cache.missing("The data set cats vs. dogs", ARCHIVE)
    cached = cache.Cached("Cats vs. dogs", folder, (_FOLDER,), read, missing)
    archive = datasets / ARCHIVE
    return folder / _FOLDER, cached.load(tell, ways or (partial(_unzip, archive), _downloaded))


def read(folder: Path) -> dict[str, list[Path]]:
    """The files of each class below `folder`; raises NotWholeError where a class is missing."""
    found = {name: images_below(folder / _FOLDER / name.capitalize()) for name in CLASSES}
    if not all(found.values()):
        raise NotWholeError(folder)
    return found


def _downloaded(own: Path, tell: Tell) -> bool:
    tell("Cats vs. dogs: downloading the photographs with Keras (825 MB, once)")
    return keras_download.file(ARCHIVE, _ADDRESS, own) and _unzip(own / ARCHIVE, own, tell)


def _unzip(archive: Path, own: Path, tell: Tell) -> bool:
    """Unpack the photographs into `own`; False if there is no such archive, or it is damaged."""
    if not archive.is_file():
        return False
    tell(f"Cats vs. dogs: unpacking {archive.name}")
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if _MEMBER.fullmatch(name)]
            for name in names:
                opened.extract(name, own)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        shutil.rmtree(own / _FOLDER, ignore_errors=True)
        return False
    return bool(names)
