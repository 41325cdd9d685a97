"""What each image looks like, in numbers: measured once, on a small copy, with all processors."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from keraserve_training import runtime
from keraserve_training.data import reduced

_SIDE = 224  # pixels of the longer side of the copy: about what a network gets, so blur counts as it sees it
# Of red, green and blue in the brightness that people see (HSP: Finley, 2006), as cleanvision has it
_PERCEIVED = np.array([0.241, 0.691, 0.068], np.float32)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_UPRIGHT = 1
_SIDEWAYS = 5  # orientations from here on exchange height and width


@dataclass(frozen=True)
class Measured:
    """One image in numbers.

    Attributes:
        height: in pixels, as people see it: upright.
        width: in pixels.
        turned: whether the file says that it has to be turned (EXIF).
        transparent: whether something shines through, so that it is composed on white.
        small: uint8 [reduced.SIDE, reduced.SIDE], without colours.
        bright: the brightness (0 to 1) that one of a hundred pixels exceeds.
        dark: the brightness that 19 of 20 pixels exceed.
        entropy: bits of the grey levels, 0 to 8.
        deviation: standard deviation of that of red, green and blue which varies most, 0 to 128.
        sharpness: variance of the Laplacian in units of the variance of the grey levels; noise has 20.
        colour: mean distance of red, green and blue from their mean, 0 to 170; grey has 0.
    """

    height: int
    width: int
    turned: bool
    transparent: bool
    small: npt.NDArray[np.uint8]
    bright: float
    dark: float
    entropy: float
    deviation: float
    sharpness: float
    colour: float


def measure(files: Sequence[Path], done: Callable[[int], None]) -> list[Measured | None]:
    """Measure image files; None for those that the exported model can't decode.

    Args:
        files: the images.
        done: is told how many have been looked at.
    """
    found: list[Any] = [None] * len(files)
    for place, seen in reduced.mapped(files, _seen):
        found[place] = seen
        done(place + 1)
    good = [place for place, seen in enumerate(found) if seen is not None]
    with ThreadPoolExecutor(runtime.processors()) as threads:
        transparent = threads.map(_transparent, [files[place] for place in good])
        for place, shines in zip(good, transparent, strict=True):
            found[place] = _measured(found[place], shines)
    done(len(files))
    return found


def _measured(seen: tuple[Any, Any, Any, Any], transparent: bool) -> Measured:
    small, size, orientation, figures = seen
    height, width = (int(side) for side in (size if orientation < _SIDEWAYS else size[::-1]))
    numbers = (float(figure) for figure in figures)
    return Measured(height, width, bool(orientation != _UPRIGHT), transparent, small, *numbers)


def _seen(content: Any, name: Any) -> tuple[Any, Any, Any, Any]:
    import tensorflow as tf

    from keraserve_models.preprocessing import decoding

    pixels, size, orientation = reduced.decoded(content, name, _SIDE)
    figures = tf.numpy_function(_figures, [decoding.within(pixels, _SIDE)], tf.float32)
    return reduced.small(pixels, orientation), size, orientation, figures


def _figures(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The last six of `Measured`, of uint8 [h, w, 1 or 3]."""
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float32)
    grey = colours @ _LUMA
    brightness = np.sqrt(colours**2 @ _PERCEIVED) / 255
    shares = np.bincount(np.rint(grey).astype(np.int64).ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return np.array(
        [
            *np.percentile(brightness, (99, 5)),
            -(shares * np.log2(shares)).sum(),
            colours.std(axis=(0, 1)).max(),
            _sharpness(grey),
            np.abs(colours - colours.mean(axis=2, keepdims=True)).mean(),
        ],
        np.float32,
    )


def _sharpness(grey: npt.NDArray[np.float32]) -> float:
    if min(grey.shape) < 3:
        return np.inf
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var() / max(grey.var(), 1.0))


def _transparent(file: Path) -> bool:
    """Whether an image that our decoders can decode has a pixel that is not opaque."""
    try:
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("ignore")  # Pillow on files that it finds odd
            if image.format == "JPEG" or not image.has_transparency_data:
                return False
            return image.convert("RGBA").getchannel("A").getextrema()[0] != 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
