"""What the formats share: the header of an image, and the errors."""

# ruff: noqa: N818 (the names say what is wrong with the image)

from dataclasses import dataclass


class UnknownFormat(ValueError):
    """The bytes are in none of the accepted formats; the message says what they are."""


class BadImage(ValueError):
    """An accepted format, but cut off, damaged, or of a kind that is not decoded; the message says which."""


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image say.

    Attributes:
        format: jpeg, png, gif, bmp or webp.
        width: in pixels.
        height: in pixels.
        pixels: for which a decoder allocates memory: width times height, or those of all of a GIF's frames.
        frames: 1, or how many a GIF has.
    """

    format: str
    width: int
    height: int
    pixels: int
    frames: int = 1
