"""Plots that show images: samples, augmentations, reconstructions and confident mistakes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from PIL import Image

from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import GREY, Pixels

Map = npt.NDArray[np.float32]
_COLUMNS = 3
_OPACITY = 0.6  # of a map over an image
_TILE = 1.8  # inches: three of them with captions can be read on a phone
_PIXELS_DRAWN = 400  # a side of a tile has fewer
_PIXELS_SEEN = 100  # smaller images are drawn as squares of pixels, larger ones are smoothed


def samples(
    path: Path,
    title: str,
    images: Sequence[Pixels],
    labels: Sequence[str],
    sizes: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Images three in a row with their labels, each in its own proportions; their sizes where they differ.

    Args:
        images: usually nine.
        labels: the name of each one's class.
        sizes: height and width of each one's original; None: those of `images`.
    """
    sizes = sizes or [(image.shape[0], image.shape[1]) for image in images]
    differ = len(set(sizes)) > 1
    told = [f"\n{width} by {height} pixels" if differ else "" for height, width in sizes]
    captions = [drawing.short(label) + size for label, size in zip(labels, told, strict=True)]
    _grid(path, title, images, captions)


def augmentations(path: Path, title: str, images: Sequence[Pixels], original: Pixels | None = None) -> None:
    """One image after random augmentations, three in a row, below the `original` if it is given."""
    above = [] if original is None else [None, original, None]
    captions = [] if original is None else ["", "as it is", ""]
    _grid(path, title, [*above, *images], captions + [""] * len(images))


def mistakes(
    path: Path,
    name: str,
    images: Sequence[Pixels],
    names: Sequence[tuple[str, str]],
    probabilities: Sequence[float],
) -> None:
    """The images that a network got wrong with the most confidence.

    Args:
        images: the most confident mistake first; if there is none, the plot says so.
        names: the true and the predicted class of each.
        probabilities: of the predicted class, 0 to 1.
    """
    captions = [
        f"{drawing.short(true)}\ntaken for\n{drawing.short(predicted)} ({percent(share)})"
        for (true, predicted), share in zip(names, probabilities, strict=True)
    ]
    title = f"{name}: the most confident mistakes"
    _grid(path, title, images, captions, none="no mistake on the test images")


def what_decided(
    path: Path,
    title: str,
    images: Sequence[Pixels],
    names: Sequence[str],
    explained: Mapping[str, Sequence[tuple[Map, str]]],
) -> None:
    """Images, each with what decided on it beside it: yellow places speak for the class, violet ones do not.

    Args:
        images: as the networks get them.
        names: the true class of each.
        explained: by network, one or two, for each image a map (float32 [h, w], 0 to 1) and its caption.
    """
    tiles: list[Pixels | None] = []
    captions: list[str] = []
    for place, (image, name) in enumerate(zip(images, names, strict=True)):
        beside = [maps[place] for maps in explained.values()]
        tiles += [image, *(_laid_over(image, values) for values, _ in beside)]
        captions += [
            drawing.short(name),
            *(f"{by}\n{caption}" for by, (_, caption) in zip(explained, beside, strict=True)),
        ]
        tiles += [None] * (_COLUMNS - 1 - len(explained))
        captions += [""] * (_COLUMNS - 1 - len(explained))
    _grid(path, title, tiles, captions, none="no mistake on the test images")


def _laid_over(image: Pixels, values: Map) -> Pixels:
    """A map over an image, which is grey then, so that all colours are those of the map."""
    grey = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).convert("L").convert("RGB")
    smooth = np.asarray(Image.fromarray(values).resize(grey.size, Image.Resampling.BILINEAR))
    colours = np.uint8(255 * colormaps["viridis"](smooth)[..., :3])
    return np.asarray(Image.blend(grey, Image.fromarray(colours), _OPACITY))


def reconstructions(
    path: Path, title: str, originals: Sequence[Pixels], reconstructed: Mapping[str, Sequence[Pixels]]
) -> None:
    """Originals in the first row, each network's reconstructions in a row below.

    Args:
        originals: up to about ten.
        reconstructed: by network, as many images as there are originals.
    """
    rows = {"originals": originals, **reconstructed}
    width = 1.2 + 0.95 * len(originals)
    with drawing.page(path, width, 0.6 + 1.0 * len(rows), title=title, photographs=True) as figure:
        axes = figure.subplots(len(rows), len(originals), squeeze=False)
        for line, (name, images) in zip(axes, rows.items(), strict=True):
            for axis, image in zip(line, images, strict=True):
                _show(axis, image)
            line[0].set_axis_on()
            line[0].set_ylabel(drawing.fill(name, 1.2), rotation=0, ha="right", va="center")


def _grid(
    path: Path,
    title: str,
    images: Sequence[Pixels | None],
    captions: Sequence[str],
    *,
    none: str = "no images",
) -> None:
    lines = max(1, math.ceil(len(images) / _COLUMNS))
    columns = min(_COLUMNS, max(1, len(images)))
    height = _TILE + 0.19 * max((_filled(caption).count("\n") + 1 for caption in captions), default=1)
    size = (_TILE * _COLUMNS, 0.6 + height * lines) if images else (5, 1.2)
    with drawing.page(path, *size, title=title, photographs=True) as figure:
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, image, caption in zip(axes, images, captions, strict=False):
            if image is None:  # an empty place
                continue
            _show(axis, image)
            axis.set_title(_filled(caption), fontsize=10)
        if not images:
            axes[0].text(0.5, 0.5, none, ha="center", va="center", color=GREY)


def _filled(caption: str) -> str:
    return "\n".join(drawing.fill(line, _TILE) for line in caption.split("\n"))


def _show(axis: Axes, pixels: Pixels) -> None:
    pixels = _thumbnail(pixels)
    small = max(pixels.shape[:2]) < _PIXELS_SEEN
    axis.imshow(
        pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if small else "antialiased",
    )
    axis.grid(visible=False)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _thumbnail(pixels: Pixels) -> Pixels:
    """Reduce an image to what a tile can show, since matplotlib needs sixteen bytes a pixel."""
    factor = max(pixels.shape[:2]) // _PIXELS_DRAWN
    if factor < 2:
        return pixels
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    small = np.asarray(image.reduce(factor))
    return small[..., np.newaxis] if pixels.shape[-1] == 1 else small


def percent(share: float) -> str:
    """A probability in a caption."""
    return f"{100 * share:.1f} %" if share < 0.9995 else "> 99.9 %"
