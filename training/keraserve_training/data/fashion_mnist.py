"""Fashion-MNIST's four files: found, fetched, checked, read.

They are in Keras' cache, `$KERAS_HOME/datasets/fashion-mnist` (KERAS_HOME: `~/.keras` unless set), so
`keras.datasets.fashion_mnist.load_data()` finds what was fetched here and the other way round. They come from
Keras' own download, from Debian's package `dataset-fashion-mnist` where it is installed, or from the same
package fetched by apt-get without root.
"""

import gzip
import shutil
import struct
import tempfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keraserve_training.data import cache, debian, keras_download
from keraserve_training.data.cache import Fill, NotWholeError
from keraserve_training.data.examples import Tell
from keraserve_training.data.images import Images

_CLASSES = "t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
CLASSES = tuple(_CLASSES.split(", "))
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = "usr/share/datasets/fashion-mnist"
_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 60_000)
_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 10_000)
FILES = (*_TRAIN[:2], *_TEST[:2])
_HELP = (
    "Fashion-MNIST is not on this machine, and neither Keras' download server nor Debian's package could be"
    f" reached: connect this machine once, or install the Debian package {PACKAGE}, or copy the four files"
    " {files} into {folder}; --profile sample does without."
)


def load(
    tell: Tell, *, root: Path = Path("/"), ways: tuple[Fill, ...] | None = None
) -> tuple[Images, Images]:
    """Read the training images [60000, 28, 28, 1] and the test images [10000, 28, 28, 1].

    `root` is where Debian's installed packages are; other args and errors: as `cache.Cached.load`.
    """
    folder = cache.folder("fashion-mnist")
    missing = _HELP.format(files=", ".join(FILES), folder=folder)
    cached = cache.Cached("Fashion-MNIST", folder, FILES, read, missing)
    download = keras_download.dataset("Fashion-MNIST", "fashion_mnist", "fashion-mnist", "30 MB")
    return cached.load(tell, ways or (download, partial(_installed, root), _fetched))


def read(folder: Path) -> tuple[Images, Images]:
    """Read training and test images, checking every byte's checksum (gzip's CRC-32) and every count."""
    return _images(folder, *_TRAIN), _images(folder, *_TEST)


def _images(folder: Path, images: str, labels: str, count: int) -> Images:
    pixels = _idx(folder / images, (count, 28, 28))[..., np.newaxis]
    return Images(pixels, _idx(folder / labels, (count,)).astype(np.int32))


def _idx(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    # The idx format: two zero bytes, 8 for uint8, the number of dimensions, each as a big-endian uint32.
    header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise NotWholeError(path) from error
    if len(content) != len(header) + int(np.prod(shape)) or not content.startswith(header):
        raise NotWholeError(path)
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def _installed(root: Path, own: Path, tell: Tell) -> bool:
    folder = root / PACKAGE_FOLDER
    if not all((folder / name).is_file() for name in FILES):
        return False
    tell(f"Fashion-MNIST: taking the files of the Debian package {PACKAGE}")
    for name in FILES:
        shutil.copyfile(folder / name, own / name)
    return True


def _fetched(own: Path, tell: Tell) -> bool:
    tell(f"Fashion-MNIST: fetching the Debian package {PACKAGE} with apt-get (nothing is installed)")
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = debian.fetch(PACKAGE, Path(temporary))
        return unpacked is not None and _installed(unpacked, own, tell)
