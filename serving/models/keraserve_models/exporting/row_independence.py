"""Whether a version gives each row of a batch the result that it gives the row alone, measured on its files.

Servers merge the requests of several callers into one batch, and split long ones, only where a version says
that this changes nothing. A layer that uses the whole batch (a normalization that learns, a comparison of
rows) makes a difference, and no signature shows that.
"""

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import tensorflow as tf

from keraserve_models import drawn_images
from keraserve_models.exporting import warm_up
from keraserve_models.exporting.served import Served
from keraserve_protocol.signatures import CLASSIFY, DEFAULT_SIGNATURE, IMAGE_BYTES

# Of a probability. In a batch of another size float32 sums are rounded differently, by up to 1e-5.
TOLERANCE = 1e-4
_DRAWN = 6
_SEED = 11


class Measured(TypedDict):
    """What the model card says; the difference is None where an output is no number, or texts differ."""

    independent_rows: bool
    largest_row_difference: float | None


def measure(version: Served, size: tuple[int, int], channels: int) -> Measured:
    """Run the three signatures of an image classifier on a batch of unlike images, and on each image alone.

    Args:
        version: as a server has it loaded.
        size: height and width of the images.
        channels: 1 or 3.

    Returns:
        The largest difference of a probability between both, and whether that is within `TOLERANCE`.
    """
    images = _images(size, channels)
    # Labels follow from the probabilities, and two classes at the same one may change places.
    probabilities = (_difference(version, name, rows, np.floating) for name, rows in _inputs(images).items())
    return _measured(max(probabilities))


def measure_tensors(version: Served, signature: str, rows: Mapping[str, Any]) -> Measured:
    """The same of one signature on arrays by name, whose first dimension is that of the rows."""
    try:
        return _measured(_difference(version, signature, rows, np.generic))
    except (tf.errors.OpError, ValueError, TypeError, IndexError, StopIteration):  # no rows, or no others
        return _measured(math.inf)


def _measured(largest: float) -> Measured:
    known = math.isfinite(largest)
    return {
        "independent_rows": known and largest <= TOLERANCE,
        "largest_row_difference": largest if known else None,
    }


def _images(size: tuple[int, int], channels: int) -> np.ndarray[Any, Any]:
    """Drawn images, a black one and a white one: unlike rows change statistics over the batch most."""
    drawn = drawn_images.images(_DRAWN, classes=_DRAWN, size=size, channels=channels, seed=_SEED)[0]
    shape = (1, *drawn.shape[1:])
    return np.concatenate([drawn, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])


def _inputs(images: np.ndarray[Any, Any]) -> Mapping[str, Mapping[str, Any]]:
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    return {
        DEFAULT_SIGNATURE: {"images": images},
        IMAGE_BYTES: {IMAGE_BYTES: np.array(encoded, object)},
        CLASSIFY: {"inputs": np.array([warm_up.example(one) for one in encoded], object)},
    }


def _difference(version: Served, signature: str, rows: Mapping[str, Any], kind: type[np.generic]) -> float:
    """The largest difference of the outputs of this kind of dtype."""
    count = len(next(iter(rows.values())))

    def outputs(begin: int, end: int) -> list[Any]:
        part = {name: values[begin:end] for name, values in rows.items()}
        results = {name: np.asarray(each) for name, each in version.run(signature, part).items()}
        return [results[name] for name in sorted(results) if np.issubdtype(results[name].dtype, kind)]

    alone = [outputs(place, place + 1) for place in range(count)]
    pairs = zip(outputs(0, count), zip(*alone, strict=True), strict=True)
    return max(_largest(together, np.concatenate(each)) for together, each in pairs)


def _largest(together: Any, alone: Any) -> float:
    """The largest difference; of values beyond 1 in proportion to them."""
    if together.shape != alone.shape:
        return math.inf
    if together.dtype.kind in "OSUbiu":
        return 0.0 if np.array_equal(together, alone) else math.inf
    if np.isnan(together).any() or np.isnan(alone).any():
        return math.inf
    wide = np.complex128 if together.dtype.kind == "c" else np.float64
    together, alone = together.astype(wide), alone.astype(wide)
    apart = np.abs(together - alone) / np.maximum(1.0, np.abs(alone))
    return float(np.max(apart, initial=0.0))
