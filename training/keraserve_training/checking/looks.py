"""Which images are too small, blurred, dark, empty, or otherwise unlike the others.

The thresholds are conservative: of 2,199 photographs of cats and dogs they name one, nearly all of it white.

- dark, overexposed: 99 of 100 pixels are darker than 0.32, or 19 of 20 brighter than 0.95; extreme
  proportions: one side is less than 0.35 of the other. As in cleanvision 0.3.7, whose measures these are.
- blurred: the variance of the Laplacian (Pech-Pacheco and others, ICPR 2000) is less than 0.01 of that of the
  grey levels, on a copy of at most 224 pixels. Ours: the least of those photographs, of 100 pixels, is 0.028,
  and a Gaussian blur of 3 pixels brings them below 0.006. The quotient doesn't depend on the contrast.
- of one colour: red, green and blue each vary by less than 2 of 255. Nearly empty: the grey levels have less
  than 2 bits, and than 0.3 of what they usually have in this folder. cleanvision has 3 bits of all colours; a
  shoe or a digit on a plain ground has fewer.
- small: the shorter side is less than half of what the network gets. Odd: of less than a quarter of the usual
  size, the square root of the pixels.

What more than a tenth of the images have is the nature of these images, and only told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keraserve_training.checking.finding import Finding, Level
from keraserve_training.checking.measures import Measured

_USUAL = 0.1  # share of the images
_ONE_COLOUR, _FEW_BITS, _SHARE_OF_BITS = 2.0, 2.0, 0.3
_BLURRED, _DARK, _BRIGHT = 0.01, 0.32, 0.95
_PROPORTIONS = 0.35
_ODD = 0.25
_GREY = 0.5


@dataclass(frozen=True)
class _Criterion:
    key: str
    level: Level
    are: str  # what the images are, after "3 images are"
    todo: str
    meets: Callable[[Measured], bool]


def looks(files: Sequence[Path], measured: Sequence[Measured], size: int) -> list[Finding]:
    """Name the images that are unlike the others.

    Args:
        files: all that could be decoded.
        measured: what they look like.
        size: pixels a side of what the network gets.
    """
    if not files:
        return []
    findings = [_small(files, measured, size)]
    usual = float(np.median([_side(each) for each in measured]))
    entropy = float(np.median([each.entropy for each in measured]))
    criteria = [
        _Criterion(
            "odd-size",
            "note",
            f"far smaller than the others (less than {_ODD:g} of {usual:.0f} pixels a side)",
            "look at each: is it a preview of another?",
            lambda each: _side(each) < _ODD * usual,
        ),
        _Criterion(
            "nearly-empty",
            "look",
            "nearly empty",
            "look at each: does it show its class?",
            lambda each: _nearly_empty(each, min(_FEW_BITS, entropy * _SHARE_OF_BITS)),
        ),
        *_CRITERIA,
    ]
    findings += [_finding(each, files, measured) for each in criteria]
    return [finding for finding in findings if finding]


def _finding(criterion: _Criterion, files: Sequence[Path], measured: Sequence[Measured]) -> Finding | None:
    met = [(file,) for file, each in zip(files, measured, strict=True) if criterion.meets(each)]
    if not met:
        return None
    level, todo = criterion.level, criterion.todo
    if len(met) > _USUAL * len(files) and level == "look":
        level, todo = "note", "nothing: so many are the nature of these images"
    are = "image is" if len(met) == 1 else "images are"
    return Finding(criterion.key, level, f"{len(met):,} {are} {criterion.are}", todo, met)


def _small(files: Sequence[Path], measured: Sequence[Measured], size: int) -> Finding | None:
    sides = np.array([min(each.height, each.width) for each in measured])
    todo = "replace by larger ones: enlarged, an image looks blurred"
    about = f"smaller than half of the {size} pixels that the network gets"
    found = _finding(
        _Criterion("small", "look", about, todo, lambda each: 2 * min(each.height, each.width) < size),
        files,
        measured,
    )
    if found and found.level == "note":
        fitting = max(32, int(np.median(sides)) // 32 * 32)
        faster = f"--image-size {fitting} (make model IMAGE_SIZE={fitting}) is faster"
        todo = f"{faster}, {size} may be more accurate"
        return Finding(found.key, "note", found.about, todo, found.files)
    return found


def _side(each: Measured) -> float:
    return float(np.sqrt(each.height * each.width))


def _varies(each: Measured) -> bool:
    return each.deviation >= _ONE_COLOUR


def _dark(each: Measured) -> bool:
    return _varies(each) and each.bright < _DARK


def _overexposed(each: Measured) -> bool:
    return _varies(each) and each.dark > _BRIGHT


def _nearly_empty(each: Measured, bits: float) -> bool:
    return _varies(each) and each.entropy < bits and not _dark(each) and not _overexposed(each)


_CRITERIA = (
    _Criterion(
        "proportions",
        "look",
        "very long or high (one side less than 0.35 of the other)",
        "cut: a network gets squares, into which such images are pressed",
        lambda each: min(each.height, each.width) < _PROPORTIONS * max(each.height, each.width),
    ),
    _Criterion(
        "one-colour",
        "look",
        "of one colour",
        "delete: nothing is to be seen",
        lambda each: not _varies(each),
    ),
    _Criterion(
        "blurred",
        "look",
        "blurred",
        "look at each: can its class be recognised?",
        lambda each: _varies(each) and each.sharpness < _BLURRED,
    ),
    _Criterion(
        "dark",
        "look",
        "dark",
        "look at each: can its class be recognised?",
        _dark,
    ),
    _Criterion(
        "overexposed",
        "look",
        "overexposed",
        "look at each: can its class be recognised?",
        _overexposed,
    ),
    _Criterion(
        "grey",
        "note",
        "without colours",
        "nothing, unless one class has more: then that tells the classes apart",
        lambda each: _varies(each) and each.colour < _GREY,
    ),
    _Criterion(
        "transparent",
        "note",
        "transparent",
        "nothing: the ground is white, in training and in the served model",
        lambda each: each.transparent,
    ),
    _Criterion(
        "turned",
        "note",
        "stored on their side or upside down, as their EXIF data say",
        "nothing: training and the served model turn such images",
        lambda each: each.turned,
    ),
)
