"""Every data set that an experiment can name, as a function that returns a `Dataset`.

Kinds: `public` (fetched once into Keras' cache), `folder` (the user's own) and `procedural` (generated, in
profile `sample`). Only this package depends on where images come from.
"""

from collections.abc import Callable

from keraserve_training.data import cats_dogs as cats_dogs_source
from keraserve_training.data import cifar, procedural
from keraserve_training.data import class_folders as class_folders_source
from keraserve_training.data import fashion_mnist as fashion_mnist_source
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Tell, limited, split
from keraserve_training.data.image_search import Rejected
from keraserve_training.data.images import Images
from keraserve_training.profiles import Profile

Source = Callable[[Profile, Tell], Dataset]

FASHION_MNIST_CLASSES = fashion_mnist_source.CLASSES
CATS_DOGS_CLASSES = cats_dogs_source.CLASSES
class_folders = class_folders_source.load
_PHOTOGRAPHS = 25_000
_PHOTOGRAPH = (72, 96, 3)  # shape of procedural ones: above 64 pixels, not square, quick to draw
_SEED = 0


def fashion_mnist(profile: Profile, tell: Tell) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images, grey, 28 by 28, ten classes.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747.

    Args:
        profile: limits how many are used, every class in its share, or wants procedural ones.
        tell: is told in a sentence what takes long.

    Raises:
        DataUnavailableError: the images are not here and can't be fetched; says what to do.
    """
    if profile.procedural:
        return _drawn("Fashion-MNIST", FASHION_MNIST_CLASSES, (60_000, 10_000), (28, 28, 1), profile)
    train, test = fashion_mnist_source.load(tell)
    origin = "Fashion-MNIST (Zalando Research, MIT licence)"
    return _public("Fashion-MNIST", origin, FASHION_MNIST_CLASSES, train, test, profile)


def cifar10(profile: Profile, tell: Tell) -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test images, coloured, 32 by 32, ten classes.

    Args and errors: as `fashion_mnist`.
    """
    return _cifar(cifar.CIFAR_10, profile, tell)


def cifar100(profile: Profile, tell: Tell) -> Dataset:
    """CIFAR-100 with its fine labels: 50,000 training and 10,000 test images, coloured, 32 by 32.

    Args and errors: as `fashion_mnist`.
    """
    return _cifar(cifar.CIFAR_100, profile, tell)


def cats_dogs(profile: Profile, tell: Tell, *, test: int = 2_500) -> Dataset:
    """Cats vs. dogs: 25,000 photographs of many sizes, two classes, undivided: `test` are drawn for testing.

    Other args and errors: as `fashion_mnist`; `tell` is told, too, which files can't be read.
    """
    if profile.procedural:
        return _drawn("Cats vs. dogs", CATS_DOGS_CLASSES, (_PHOTOGRAPHS - test, test), _PHOTOGRAPH, profile)
    root, found = cats_dogs_source.load(tell)
    rejected: list[Rejected] = []
    photographs = class_folders_source.gathered(root, found, CATS_DOGS_CLASSES)
    rest, drawn = (
        class_folders_source.readable(limited(part, profile.limit(len(part), photographs=True)), rejected)
        for part in split(photographs, test, _SEED)
    )
    class_folders_source.say_rejected(root, rejected, tell)
    origin = "photographs of cats and dogs (Microsoft Research, Asirra)"
    train = class_folders_source.shuffled(rest)
    return Dataset("Cats vs. dogs", "public", origin, CATS_DOGS_CLASSES, train, drawn)


def _cifar(published: cifar.Published, profile: Profile, tell: Tell) -> Dataset:
    if profile.procedural:
        return _drawn(published.name, published.classes, (50_000, 10_000), (32, 32, 3), profile)
    held = cifar.load(published, tell)
    origin = f"{published.name} (University of Toronto)"
    if not held.as_published:
        origin += ", in files that are not those published"
        tell(f"{published.name}: the files in the cache are not those published; they are used all the same")
    return _public(published.name, origin, published.classes, held.train, held.test, profile)


def _public(
    name: str, origin: str, classes: tuple[str, ...], train: Images, test: Images, profile: Profile
) -> Dataset:
    used_train = limited(train, profile.limit(len(train), photographs=False))
    used_test = limited(test, profile.limit(len(test), photographs=False))
    if len(used_train) < len(train):
        origin += f", {len(used_train):,} training and {len(used_test):,} test images drawn from it"
    return Dataset(name, "public", origin, classes, used_train, used_test)


def _drawn(
    name: str,
    classes: tuple[str, ...],
    counts: tuple[int, int],
    shape: tuple[int, int, int],
    profile: Profile,
) -> Dataset:
    """Procedural training and test images in place of a data set of that size."""
    photographs = max(shape) > class_folders_source.SMALL_SIDE
    used = [profile.limit(count, photographs=photographs) for count in counts]
    train, test = (
        procedural.images(count, classes=len(classes), size=shape[:2], channels=shape[2], seed=seed)
        for seed, count in enumerate(used, 1)
    )
    origin = f"procedural images made on the spot in place of {name}: they mean nothing"
    return Dataset(name, "procedural", origin, classes, train, test)
