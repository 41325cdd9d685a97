"""PIL images, as viewers show them, as the bytes of a PNG. PIL itself is not imported."""

from io import BytesIO
from typing import Any, Protocol, Self, cast, runtime_checkable

from keraserve_client import _exif
from keraserve_client._errors import InvalidInput


@runtime_checkable
class PilImage(Protocol):
    """As much of `PIL.Image.Image` as is needed, so that PIL is not."""

    mode: str
    info: Any

    @property
    def size(self) -> tuple[int, int]: ...
    def load(self) -> Any: ...
    def convert(self, mode: str) -> Self: ...
    def crop(self, box: tuple[int, int, int, int]) -> Self: ...
    def transpose(self, method: Any) -> Self: ...
    def save(self, fp: BytesIO, format: str, **options: Any) -> None: ...  # noqa: A002


# By orientation: what turns the image upright, as PIL numbers it (PIL.Image.Transpose).
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
# What PNG has a form for; also a palette's or one colour's transparency.
_IN_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_CLOSEST = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
_SIXTEEN_BITS = {"I;16B", "I;16L", "I;16N"}  # in another order of bytes
_WITHOUT_A_RANGE = {"I": "32-bit integers", "F": "floats"}


def encode(image: PilImage, where: str) -> bytes:
    """Turn an image upright, as its EXIF block says (`info["exif"]`), and encode it without loss.

    Transparency stays, and so do 16 bits of grey: the model makes of them what it makes of a file's.

    Raises:
        InvalidInput: a mode whose values have no fixed range, or PIL can't read or encode it; begins with
            `where`.
        OSError: the file that PIL reads it from can't be read.
    """
    mode = image.mode
    if mode in _WITHOUT_A_RANGE:
        raise InvalidInput(
            f"{where}the PIL image has mode {mode}, {_WITHOUT_A_RANGE[mode]} of no fixed range: "
            "bring them to 0 to 255 and convert it to mode L"
        )
    buffer = BytesIO()
    try:
        image.load()  # reads also what a file says of itself behind its pixels
        # Turned already: without an EXIF block, the model does not turn it again.
        _upright(_in_png(_first_frame(image)), image).save(buffer, "PNG", exif=b"")
    except (ValueError, SyntaxError) as error:  # PIL reads files late, and so finds them broken here
        raise InvalidInput(f"{where}PIL can't encode the image: {error}") from error
    return buffer.getvalue()


def _first_frame(image: PilImage) -> PilImage:
    """Make a GIF transparent around a first frame that is smaller: PIL puts the palette's first colour there.

    What PIL shows of later frames is composed already.
    """
    extent: tuple[int, int, int, int] | None = getattr(image, "dispose_extent", None)
    width, height = image.size
    if extent in (None, (0, 0, width, height)) or cast(Any, image).tell() != 0:
        return image
    left, top, *_ = extent
    around = (-left, -top, width - left, height - top)
    return image.convert("RGBA").crop(extent).crop(around)  # what lies outside of a crop is transparent


def _in_png(image: PilImage) -> PilImage:
    """Convert an image to a mode that PNG has."""
    if image.mode in _IN_PNG:
        return image
    if image.mode in _SIXTEEN_BITS:  # by way of 32 bits: PIL would clip them to 8
        return image.convert("I").convert("I;16")
    return image.convert(_CLOSEST.get(image.mode, "RGB"))


def _upright(ready: PilImage, image: PilImage) -> PilImage:
    """Turn `ready` as the EXIF block of `image` says."""
    block = image.info.get("exif")
    method = _UPRIGHT.get(_exif.orientation(block)) if isinstance(block, bytes) else None
    return ready if method is None else ready.transpose(method)
