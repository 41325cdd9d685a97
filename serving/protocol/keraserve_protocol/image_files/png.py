"""PNG (W3C's Portable Network Graphics Specification): chunks with checksums; also animated ones (APNG)."""

import struct
import zlib

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_FIRST = 8  # where the chunks begin
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_APPLES = b"CgBI"  # the first chunk of PNGs that Apple's tools have converted for an app
_PALETTE = 3
# The bit depths of each colour type: grey, RGB, palette, grey with alpha, RGBA.
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, _PALETTE: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
# Encoders write some kilobytes a chunk. A body of empty chunks would take long to read, and all requests
# would wait.
_MOST_CHUNKS = 20_000


def read(data: bytes) -> ImageHeader:
    """Read the IHDR chunk."""
    kind, width, height = struct.unpack_from(">4sII", data, _FIRST + 4)
    if kind == _APPLES:
        raise BadImage(
            "the png is in a form that only Apple's programs read (CgBI): save it as an ordinary PNG"
        )
    if kind != b"IHDR":
        raise BadImage("the png does not begin with an IHDR chunk")
    return ImageHeader("png", width, height, width * height)


def check(data: bytes) -> None:
    """Go through the chunks up to IEND; those that a decoder needs must have the right checksum."""
    colours = _check_header(data)
    place, before, seen = _FIRST, b"", set[bytes]()
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if not kind.isalpha():
            raise BadImage("the png has a chunk without a name")
        if end > len(data):
            raise BadImage(f"the png ends in its {kind.decode()} chunk")
        if kind in seen and not (kind == b"IDAT" == before):
            raise BadImage(f"the png has a second {kind.decode()} chunk where none may be")
        if kind[:1].isupper():
            _check_critical(data, kind, place, end)
            seen.add(kind)
        if kind == b"IEND":
            break
        place, before = end, kind
    else:
        raise BadImage(f"the png has more than {_MOST_CHUNKS} chunks")
    if b"IDAT" not in seen or (colours == _PALETTE and b"PLTE" not in seen):
        raise BadImage("the png has no IDAT chunk, or no PLTE chunk where it has to have one")


def _check_header(data: bytes) -> int:
    length, _, _, _, depth, colours, *rest = struct.unpack_from(">I4sIIBBBBB", data, _FIRST)
    compression, filtering, interlace = rest
    known = depth in _DEPTHS.get(colours, ()) and not compression and not filtering and interlace <= 1
    if length != 13 or not known:
        raise BadImage("the png has an IHDR chunk that means nothing")
    return colours


def _check_critical(data: bytes, kind: bytes, place: int, end: int) -> None:
    if kind not in _CRITICAL:
        raise BadImage(f"the png has a {kind.decode()} chunk, which is none of the specification's")
    (stored,) = struct.unpack_from(">I", data, end - 4)
    if zlib.crc32(memoryview(data)[place + 4 : end - 4]) != stored:
        raise BadImage(
            f"the png is damaged: the checksum of its {kind.decode()} chunk at byte {place} is wrong"
        )
