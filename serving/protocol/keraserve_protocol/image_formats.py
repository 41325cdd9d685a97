"""The formats of images that are taken: one list for gateway, client, page, training and exported models.

A format is in it if TensorFlow's `decode_image` decodes it rightly and its size can be read from its first
bytes without decoding it. JPEG XL is not, for the second reason; nor are AVIF, HEIC and TIFF, for the first.

An animated WebP whose header claims no alpha (byte 20 has 0x02 and not 0x10) makes TensorFlow 2.21 write
beyond its memory. It has to get the bit 0x10 before it is decoded; its pixels stay what they were.
"""

from dataclasses import dataclass

Signature = tuple[tuple[int, bytes], ...]
"""What a file begins with: some bytes, each with its place, counted from 0."""


@dataclass(frozen=True)
class ImageFormat:
    """One format of encoded images.

    Attributes:
        name: as people write it, such as "JPEG".
        media_types: what clients call it; the registered type first.
        suffixes: of file names, in small letters, with the dot; the usual one first.
        signatures: its files begin with one of these.
    """

    name: str
    media_types: tuple[str, ...]
    suffixes: tuple[str, ...]
    signatures: tuple[Signature, ...]

    def begins(self, data: bytes) -> bool:
        """Say whether a file's first bytes (SIGNATURE_BYTES are enough) are of this format."""
        return any(
            all(data.startswith(part, place) for place, part in signature) for signature in self.signatures
        )


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
    # The size of the second header, of four bytes at 14, is 12 to 124. Two letters alone begin many a text.
    (((0, b"BM"), (15, b"\0\0\0")),),
)
WEBP = ImageFormat("WebP", ("image/webp",), (".webp",), (((0, b"RIFF"), (8, b"WEBP")),))

FORMATS = (JPEG, PNG, GIF, BMP, WEBP)
SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.suffixes)
MEDIA_TYPES = tuple(media_type for one in FORMATS for media_type in one.media_types)
# Each signature as its first part and the others: an image is looked at with every request.
_TABLE = [
    (*signature[0], [(part, place) for place, part in signature[1:]], one)
    for one in FORMATS
    for signature in one.signatures
]
SIGNATURE_BYTES = 18
"""So many first bytes say which format a file has."""
MAX_PIXELS = 50_000_000
"""An exported model rejects an image of more before it decodes it; so does the gateway, unless it is set."""


def find(data: bytes) -> ImageFormat | None:
    """Say which format a file's first bytes have; None: none of these."""
    for place, part, others, one in _TABLE:
        if data.startswith(part, place) and all(data.startswith(*other) for other in others):
            return one
    return None


def named(conjunction: str = "or") -> str:
    """Name the formats, for a sentence: "JPEG, PNG, GIF, BMP or WebP"."""
    *names, last = (one.name for one in FORMATS)
    return f"{', '.join(names)} {conjunction} {last}"
