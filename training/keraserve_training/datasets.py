"""The one place that knows where pictures come from.

Kinds of source: `public` (fetched once, then cached where Keras caches it) and `procedural` (made on the
spot, profile `sample`). A folder of the user's own pictures will be the third: it only has to give a
`Dataset`, nothing else in the package asks where pictures came from.
"""

from keraserve_training import fashion_mnist as fashion_mnist_source
from keraserve_training import procedural
from keraserve_training.fashion_mnist import Tell
from keraserve_training.pictures import Dataset
from keraserve_training.profiles import Profile

FASHION_MNIST_CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def fashion_mnist(profile: Profile, tell: Tell) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test pictures, grey, 28 by 28, ten classes.

    Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747.

    Args:
        profile: its share of the pictures is taken from the front, or it asks for procedural ones.
        tell: is told in a sentence what takes long.

    Raises:
        DataUnavailableError: the pictures are not here and can't be fetched; says what to do.
    """
    sizes = profile.pictures(60_000), profile.pictures(10_000)
    if profile.procedural:
        train, test = (
            procedural.pictures(size, classes=10, size=(28, 28), channels=1, seed=seed)
            for seed, size in enumerate(sizes, 1)
        )
        origin = "procedural pictures made on the spot in place of Fashion-MNIST: they mean nothing"
        return Dataset("Fashion-MNIST", "procedural", origin, FASHION_MNIST_CLASSES, train, test)

    train, test = fashion_mnist_source.load(tell)
    origin = "Fashion-MNIST (Zalando Research, MIT licence)"
    if profile.share < 1:
        origin += f", the first {sizes[0]:,} training and {sizes[1]:,} test pictures"
    classes = FASHION_MNIST_CLASSES
    return Dataset("Fashion-MNIST", "public", origin, classes, train.first(sizes[0]), test.first(sizes[1]))
