"""The image formats that are accepted: one list for gateway, client, web page, training and exported models.

A format is in the list if TensorFlow's `decode_image` decodes it correctly and its size can be read from its
first bytes. The second is not so for JPEG XL; the first is not so for AVIF, HEIC and TIFF.

An animated WebP whose header says that it has no alpha channel (byte 20 has 0x02 and not 0x10) makes
TensorFlow 2.21 write beyond its memory. The bit 0x10 has to be set before it is decoded; its pixels stay the
same.
"""

from dataclasses import dataclass

Signature = tuple[tuple[int, bytes], ...]
"""The first bytes of a file: parts, each with its offset."""


@dataclass(frozen=True)
class ImageFormat:
    """One format of encoded images.

    Attributes:
        name: for messages, such as "JPEG".
        media_types: the registered type first, then others that clients send.
        suffixes: of file names, in lower case, with the dot; the usual one first.
        signatures: each of its files begins with one of these.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    signatures: tuple[Signature, ...]

    def begins(self, data: bytes) -> bool:
        """Tell whether a file's first bytes (SIGNATURE_BYTES are enough) are of this format."""
        for signature in self.signatures:
            for place, part in signature:
                if not data.startswith(part, place):
                    break
            else:
                return True
        return False


JPEG = ImageFormat(
    "JPEG",
    ("image/jpeg", "image/jpg", "image/pjpeg", "image/jfif"),
    (".jpg", ".jpeg", ".jpe", ".jfif"),
    (((0, b"\xff\xd8\xff"),),),
)
PNG = ImageFormat(
    "PNG",
    ("image/png", "image/apng", "image/x-png"),
    (".png", ".apng"),
    (((0, b"\x89PNG\r\n\x1a\n"),),),
)
GIF = ImageFormat("GIF", ("image/gif",), (".gif",), (((0, b"GIF87a"),), ((0, b"GIF89a"),)))
BMP = ImageFormat(
    "BMP",
    ("image/bmp", "image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"),
    (".bmp", ".dib"),
    # The size of the second header, four bytes at 14, is 12 to 124. "BM" alone may begin a text.
    (((0, b"BM"), (15, b"\0\0\0")),),
)
WEBP = ImageFormat("WebP", ("image/webp",), (".webp",), (((0, b"RIFF"), (8, b"WEBP")),))

FORMATS = (JPEG, PNG, GIF, BMP, WEBP)
SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.suffixes)
SIGNATURE_BYTES = 18
"""So many first bytes are enough to find a file's format."""
MAX_PIXELS = 50_000_000
"""An exported model rejects a larger image before decoding it; so does the gateway, by default."""


def find(data: bytes) -> ImageFormat | None:
    """Find the format of a file's first bytes; None if it is not accepted."""
    return next((one for one in FORMATS if one.begins(data)), None)


def named() -> str:
    """List the formats in a sentence: "JPEG, PNG, GIF, BMP or WebP"."""
    *names, last = (one.name for one in FORMATS)
    return f"{', '.join(names)} or {last}"
