"""PIL images encoded as PNG, upright as viewers show them. PIL itself is not imported."""

from io import BytesIO
from typing import Any, Protocol, Self, cast, runtime_checkable

from keraserve_client import _exif
from keraserve_client._errors import InvalidInput


@runtime_checkable
class PilImage(Protocol):
    """The part of `PIL.Image.Image` that is used here."""

    mode: str
    info: Any

    @property
    def size(self) -> tuple[int, int]: ...
    def load(self) -> Any: ...
    def convert(self, mode: str) -> Self: ...
    def crop(self, box: tuple[int, int, int, int]) -> Self: ...
    def transpose(self, method: Any) -> Self: ...
    def save(self, fp: BytesIO, format: str, **options: Any) -> None: ...  # noqa: A002


# EXIF orientation to the transposition that turns the image upright (PIL.Image.Transpose).
_UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
# The modes that PNG has, also with a transparent colour.
_IN_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_CLOSEST = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
_SIXTEEN_BITS = {"I;16B", "I;16L", "I;16N"}  # in another order of bytes
_UNBOUNDED = {"I": "32-bit integers", "F": "floats"}


def encode(image: PilImage, where: str) -> bytes:
    """Turn an image upright, as its EXIF block says (`info["exif"]`), and encode it without loss.

    Transparency stays, and so do 16 bits of grey: the model reads them as it reads a file's.

    Raises:
        InvalidInput: the mode's values have no fixed range, or PIL can't read or encode the image; the
            message begins with `where`.
        OSError: the image's file can't be read.
    """
    mode = image.mode
    if mode in _UNBOUNDED:
        raise InvalidInput(
            f"{where}the PIL image has mode {mode}, {_UNBOUNDED[mode]} of no fixed range: "
            "bring them to 0 to 255 and convert it to mode L"
        )
    buffer = BytesIO()
    try:
        image.load()  # reads also the metadata behind the pixels
        # Without its EXIF block, so that the model does not turn the image again.
        _upright(_in_png(_first_frame(image)), image).save(buffer, "PNG", exif=b"")
    except (ValueError, SyntaxError) as error:  # PIL reads a file here, and may find it broken
        raise InvalidInput(f"{where}PIL can't encode the image: {error}") from error
    return buffer.getvalue()


def _first_frame(image: PilImage) -> PilImage:
    """Make a GIF transparent around a smaller first frame, where PIL has the palette's first colour.

    Later frames need nothing: PIL has composed them already.
    """
    extent: tuple[int, int, int, int] | None = getattr(image, "dispose_extent", None)
    width, height = image.size
    if extent in (None, (0, 0, width, height)) or cast(Any, image).tell() != 0:
        return image
    left, top, *_ = extent
    around = (-left, -top, width - left, height - top)
    return image.convert("RGBA").crop(extent).crop(around)  # a crop's outside is transparent


def _in_png(image: PilImage) -> PilImage:
    if image.mode in _IN_PNG:
        return image
    if image.mode in _SIXTEEN_BITS:  # over 32 bits, as PIL would clip them to 8
        return image.convert("I").convert("I;16")
    return image.convert(_CLOSEST.get(image.mode, "RGB"))


def _upright(ready: PilImage, image: PilImage) -> PilImage:
    """Turn `ready` as the EXIF block of `image` says."""
    block = image.info.get("exif")
    method = _UPRIGHT.get(_exif.orientation(block)) if isinstance(block, bytes) else None
    return ready if method is None else ready.transpose(method)
