"""Pictures of pictures: samples, augmentations, reconstructions and confident mistakes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import GREY, Picture

_COLUMNS = 3
_TILE = 1.8  # inches: three of them with their captions can be read on a phone
_PIXELS_DRAWN = 400  # a side of a tile, and some more
_PIXELS_SEEN = 100  # smaller pictures show their pixels, larger ones are smoothed


def samples(
    path: Path,
    title: str,
    pictures: Sequence[Picture],
    labels: Sequence[str],
    sizes: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Pictures three in a row with their labels, each in its own proportions; their sizes where they differ.

    Args:
        path: the file.
        title: above the picture.
        pictures: usually nine.
        labels: the name of each one's class.
        sizes: height and width of each one's original; None: those of `pictures`.
    """
    sizes = sizes or [(picture.shape[0], picture.shape[1]) for picture in pictures]
    differ = len(set(sizes)) > 1
    told = [f"\n{width} by {height} pixels" if differ else "" for height, width in sizes]
    _grid(
        path,
        title,
        pictures,
        [drawing.short(label) + size for label, size in zip(labels, told, strict=True)],
    )


def augmentations(
    path: Path, title: str, pictures: Sequence[Picture], original: Picture | None = None
) -> None:
    """What random augmentation makes of one picture, three in a row.

    Args:
        path: the file.
        title: above the picture.
        pictures: usually nine of the same size.
        original: the picture itself, put above the others.
    """
    above = [] if original is None else [None, original, None]
    captions = [] if original is None else ["", "as it is", ""]
    _grid(path, title, [*above, *pictures], captions + [""] * len(pictures))


def mistakes(
    path: Path,
    name: str,
    pictures: Sequence[Picture],
    names: Sequence[tuple[str, str]],
    probabilities: Sequence[float],
) -> None:
    """The pictures that a network got wrong with the most confidence.

    Args:
        path: the file.
        name: the network's.
        pictures: the most confident mistake first; none at all is drawn as a sentence.
        names: the true class of each and the one that the network saw.
        probabilities: what the network gave the latter, 0 to 1.
    """
    captions = [
        f"{drawing.short(true)}\ntaken for\n{drawing.short(predicted)} ({_surely(share)})"
        for (true, predicted), share in zip(names, probabilities, strict=True)
    ]
    title = f"{name}: the most confident mistakes"
    _grid(path, title, pictures, captions, none="no mistake on the test pictures")


def reconstructions(
    path: Path, title: str, originals: Sequence[Picture], reconstructed: Mapping[str, Sequence[Picture]]
) -> None:
    """Originals in the first row, what each network makes of them in the rows below.

    Args:
        path: the file.
        title: above the picture.
        originals: up to about ten.
        reconstructed: by network, as many pictures as there are originals.
    """
    rows = {"originals": originals, **reconstructed}
    width = 1.2 + 0.95 * len(originals)
    with drawing.page(path, width, 0.6 + 1.0 * len(rows), title=title, photographs=True) as figure:
        axes = figure.subplots(len(rows), len(originals), squeeze=False)
        for line, (name, pictures) in zip(axes, rows.items(), strict=True):
            for axis, picture in zip(line, pictures, strict=True):
                _show(axis, picture)
            line[0].set_axis_on()
            line[0].set_ylabel(drawing.fill(name, 1.2), rotation=0, ha="right", va="center")


def _grid(
    path: Path,
    title: str,
    pictures: Sequence[Picture | None],
    captions: Sequence[str],
    *,
    none: str = "no pictures",
) -> None:
    lines = max(1, math.ceil(len(pictures) / _COLUMNS))
    columns = min(_COLUMNS, max(1, len(pictures)))
    height = _TILE + 0.19 * max((_filled(caption).count("\n") + 1 for caption in captions), default=1)
    size = (_TILE * _COLUMNS, 0.6 + height * lines) if pictures else (5, 1.2)
    with drawing.page(path, *size, title=title, photographs=True) as figure:
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, picture, caption in zip(axes, pictures, captions, strict=False):
            if picture is None:  # an empty place
                continue
            _show(axis, picture)
            axis.set_title(_filled(caption), fontsize=10)
        if not pictures:
            axes[0].text(0.5, 0.5, none, ha="center", va="center", color=GREY)


def _filled(caption: str) -> str:
    return "\n".join(drawing.fill(line, _TILE) for line in caption.split("\n"))


def _show(axis: Axes, picture: Picture) -> None:
    picture = _thumbnail(picture)
    small = max(picture.shape[:2]) < _PIXELS_SEEN
    axis.imshow(
        picture.squeeze(-1) if picture.shape[-1] == 1 else picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if small else "antialiased",
    )
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _thumbnail(picture: Picture) -> Picture:
    """At most so many pixels that more could not be seen: matplotlib makes sixteen bytes of every pixel."""
    factor = max(picture.shape[:2]) // _PIXELS_DRAWN
    if factor < 2:
        return picture
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    small = np.asarray(image.reduce(factor))
    return small[..., np.newaxis] if picture.shape[-1] == 1 else small


def _surely(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.9995 else "> 99.9 %"
