"""CIFAR-10 and CIFAR-100: found, fetched, checked, read.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files are in Keras'
cache, `$KERAS_HOME/datasets`; Keras 3 has a folder more around them than Keras 2, and both are searched. On a
machine without a network, the authors' archive may be put there instead.
"""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_training.data import cache, keras_download
from keraserve_training.data.cache import Fill, NotWholeError
from keraserve_training.data.examples import Tell
from keraserve_training.data.images import Images

_SIDE = 32
_CIFAR_10_CLASSES = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
_CIFAR_100_CLASSES = """
    apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge,
    bus, butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud,
    cockroach, couch, crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox,
    girl, hamster, house, kangaroo, keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man,
    maple tree, motorcycle, mountain, mouse, mushroom, oak tree, orange, orchid, otter, palm tree,
    pear, pickup truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit, raccoon, ray,
    road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel,
    streetcar, sunflower, sweet pepper, table, tank, telephone, television, tiger, tractor, train,
    trout, tulip, turtle, wardrobe, whale, willow tree, wolf, woman, worm
"""


def _names(listed: str) -> tuple[str, ...]:
    return tuple(" ".join(listed.split()).split(", "))


@dataclass(frozen=True)
class Published:
    """One of the two data sets, as its authors publish it.

    Attributes:
        name: of the data set, for people.
        folder: the files' folder in the archive.
        train: MD5 of each training file, by name.
        test: MD5 of the test file, by name.
        labels: the key of the labels in a file.
        classes: their names, in the order of the labels.
        images: how many are in one training file, and in the test file.
        archives: names that the archive may have in the cache.
        module: of `keras.datasets`, which downloads it.
    """

    name: str
    folder: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    labels: str
    classes: tuple[str, ...]
    images: tuple[int, int]
    archives: tuple[str, ...]
    module: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files."""
        return (*self.train, *self.test)


CIFAR_10 = Published(
    name="CIFAR-10",
    folder="cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    labels="labels",
    classes=_names(_CIFAR_10_CLASSES),
    images=(10_000, 10_000),
    archives=("cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive"),
    module="cifar10",
)
CIFAR_100 = Published(
    name="CIFAR-100",
    folder="cifar-100-python",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    labels="fine_labels",
    classes=_names(_CIFAR_100_CLASSES),
    images=(50_000, 10_000),
    archives=("cifar-100-python.tar.gz", "cifar-100-python-target_archive"),
    module="cifar100",
)


@dataclass(frozen=True)
class Read:
    """The images in the files: [50000, 32, 32, 3] and [10000, 32, 32, 3].

    `as_published` is true if every file has the checksum that it was published with.
    """

    train: Images
    test: Images
    as_published: bool


def load(published: Published, tell: Tell, *, ways: tuple[Fill, ...] | None = None) -> Read:
    """Read training and test images; other args and errors: as `cache.Cached.load`."""
    datasets = cache.folder()
    inner = f"{published.folder}-target/{published.folder}"
    folder = datasets / inner
    plain = datasets / published.folder  # Keras 2
    cached = cache.Cached(
        published.name,
        plain if plain.exists() and not (folder / published.names[0]).exists() else folder,
        published.names,
        partial(read, published),
        cache.missing(published.name, published.archives[0]),
    )
    download = keras_download.dataset(published.name, published.module, inner, "170 MB")
    return cached.load(tell, ways or (partial(_unpack, published, datasets), download))


def read(published: Published, folder: Path) -> Read:
    """Read and check all files in `folder`; raises NotWholeError."""
    each_train, each_test = published.images
    train = [_file(published, folder / name, each_train) for name in published.train]
    test = [_file(published, folder / name, each_test) for name in published.test]
    expected = [*published.train.values(), *published.test.values()]
    return Read(_joined(train), _joined(test), [digest for _, digest in (*train, *test)] == expected)


def _joined(files: list[tuple[Images, str]]) -> Images:
    parts: list[Any] = [images for images, _ in files]
    return Images(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
    )


def _file(published: Published, path: Path, count: int) -> tuple[Images, str]:
    """`count` images, and the MD5 of their file."""
    try:
        content = path.read_bytes()
        held = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = held[b"data"], np.asarray(held[published.labels.encode()])
        # A file has one colour after another, each row by row.
        images = pixels.reshape(count, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        right = (
            images.dtype == np.uint8
            and labels.shape == (count,)
            and set(labels) <= set(range(len(published.classes)))
        )
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        raise NotWholeError(path) from error
    if not right:
        raise NotWholeError(path)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Images(np.ascontiguousarray(images), labels.astype(np.int32)), digest


class _Unpickler(pickle.Unpickler):
    """Makes arrays and nothing else: a pickle that somebody else wrote could run any program."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The functions and classes that a file may name."""
        if global_name == "_reconstruct" and module_name.startswith("numpy."):
            return np.empty(0).__reduce__()[0]  # wherever this version of numpy keeps it
        if module_name == "numpy" and global_name in ("ndarray", "dtype"):
            return getattr(np, global_name)
        if (module_name, global_name) == ("_codecs", "encode"):  # how Python 3 writes bytes for Python 2
            return str.encode
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed")


def _unpack(published: Published, datasets: Path, own: Path, tell: Tell) -> bool:
    """Unpack an archive in the cache into `own`; False if there is none, or it is damaged."""
    for archive in (datasets / name for name in published.archives if (datasets / name).is_file()):
        tell(f"{published.name}: unpacking {archive.name}")
        try:
            with tarfile.open(archive) as opened:
                for name in published.names:
                    member = opened.extractfile(f"{published.folder}/{name}")
                    if member is None:
                        break
                    (own / name).write_bytes(member.read())
                else:
                    return True
        except (tarfile.TarError, OSError, EOFError, KeyError):
            continue
    return False
