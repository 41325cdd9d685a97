"""What the formats have in common."""

# ruff: noqa: N818 (the names say what is wrong with the image)

from dataclasses import dataclass


class UnknownFormat(ValueError):
    """The bytes begin like none of the formats that are taken; says what they are."""


class BadImage(ValueError):
    """One of the formats, but cut off, damaged, or of a kind that is not decoded; says what."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself.

    Attributes:
        format: jpeg, png, gif, bmp or webp.
        width: in pixels.
        height: in pixels.
        pixels: those that a decoder makes room for: width times height, or all of a GIF's frames.
        frames: 1, or how many a GIF has.
    """

    format: str
    width: int
    height: int
    pixels: int
    frames: int = 1
