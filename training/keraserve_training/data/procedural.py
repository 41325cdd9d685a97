"""Generated images, for tests and machines without data. They mean nothing, and are labelled so."""

from keraserve_models import drawn_images
from keraserve_training.data.images import Images


def images(count: int, *, classes: int, size: tuple[int, int], channels: int, seed: int) -> Images:
    """As `keraserve_models.drawn_images.images`, to be learnt from."""
    return Images(*drawn_images.images(count, classes=classes, size=size, channels=channels, seed=seed))
