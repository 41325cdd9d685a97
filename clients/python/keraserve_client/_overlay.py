"""An image with a map of what decided laid over it, as a PNG. Needs the extra `pillow`."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from keraserve_client import _pil
from keraserve_client._errors import InvalidInput
from keraserve_client._types import Explanation

if TYPE_CHECKING:
    from PIL import Image

# Viridis (matplotlib, CC0) at nine places from 0 to 1: its lightness rises evenly, so that it can be read in
# grey and with any colour vision.
VIRIDIS = (
    (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140),
    (40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37),
)  # fmt: skip
_OPACITY = 0.6  # of these colours; the image is grey, so that there are no others
_LEAST, _MOST = 480, 1600  # pixels of the longer side, so that the scale can be read
_TEXT, _BAR = 18, 140  # pixels


def write(file: Path, image: Path, explanation: Explanation) -> None:
    """Write the image, upright, on white and grey, with the map, the class and a scale of colours below it.

    Raises:
        InvalidInput: Pillow is not installed, or can't read the image.
        OSError: a file can't be read or written.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InvalidInput('--why draws with Pillow: pip install "keraserve-client[pillow]"') from error
    try:
        with Image.open(image) as opened:
            upright = Image.open(BytesIO(_pil.encode(cast(Any, opened), f"{image}: "))).convert("RGBA")
    except UnidentifiedImageError as error:
        raise InvalidInput(f"{image}: Pillow can't read it") from error
    shown = (
        Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("L").convert("RGB")
    )
    factor = min(max(1.0, _LEAST / max(shown.size)), _MOST / max(shown.size))
    size = (max(1, round(shown.width * factor)), max(1, round(shown.height * factor)))
    shown = shown.resize(size, Image.Resampling.LANCZOS)
    values = Image.fromarray(explanation.map.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    blended = Image.blend(shown, Image.fromarray(coloured(np.asarray(values))), _OPACITY)
    _with_scale(blended, explanation).save(file, "PNG")


def coloured(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The colour of each value from 0 to 1; uint8 [..., 3]."""
    places = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(values, places, channel) for channel in zip(*VIRIDIS, strict=True)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _with_scale(blended: "Image.Image", explanation: Explanation) -> "Image.Image":
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_TEXT)
    title = f"{explanation.label} {explanation.probability:.1%}"
    low, high = "speaks for it: nothing ", " most"
    width = max(blended.width, round(font.getlength(low + high)) + _BAR + 2 * _TEXT)
    page = Image.new("RGB", (width, blended.height + 4 * _TEXT), "white")
    page.paste(blended, ((width - blended.width) // 2, 0))
    draw = ImageDraw.Draw(page)
    top = blended.height + _TEXT // 2
    draw.text((_TEXT, top), title, "black", font)
    top += round(1.5 * _TEXT)
    draw.text((_TEXT, top), low, "black", font)
    left = _TEXT + round(font.getlength(low))
    scale = coloured(np.tile(np.linspace(0, 1, _BAR), (_TEXT, 1)))
    page.paste(Image.fromarray(scale), (left, top))
    draw.text((left + _BAR, top), high, "black", font)
    return page
