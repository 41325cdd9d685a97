"""JPEG (ITU-T T.81, annex B): segments that begin with markers; compressed data between some of them."""

import re
import struct
from collections.abc import Iterator

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_SOI, _EOI, _SOS, _DQT, _DHT, _DAC = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, _DAC}
# Baseline, extended and progressive, Huffman or arithmetic; not lossless, hierarchical, …
_DECODED_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_DNL, _DRI, _COM = 0xDC, 0xDD, 0xFE
_OTHERS = {_DAC, _DNL, _DRI, _COM, *range(0xE0, 0xF0)}
# A marker that begins a segment: FF 00 is data, FF 01 and the restart markers stand alone. Decoders also skip
# what is between two segments, compressed data or junk.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
# In files with restart markers, decoders skip reserved markers.
_MARKER_AMID_RESTARTS = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_LENGTH = struct.Struct(">H")
# Real images have dozens of markers and at most some twenty scans, each of them work on the whole image.
_MOST_MARKERS, _MOST_SCANS = 1000, 100
_PIECE = 256 << 10  # bytes in one search, during which no other thread runs


def read(data: bytes) -> ImageHeader:
    """Go through the segments (EXIF, tables, …) up to the start of frame, which has the size."""
    for marker, start, _ in _segments(data):
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 1)
            return ImageHeader("jpeg", width, height, width * height)
        if marker == _SOS:
            break
    raise BadImage("the jpeg has no frame header before its data")


def check(data: bytes) -> None:
    """Go through all segments up to the end marker; each has to be complete and to fit to earlier ones."""
    frame: dict[int, int] = {}
    tables: set[int] = set()
    scans = 0
    for marker, start, end in _segments(data):
        segment = data[start:end]
        if len(segment) < end - start:
            raise BadImage("the jpeg is cut off")
        if marker in _FRAMES:
            if frame or marker not in _DECODED_FRAMES:
                raise BadImage("the jpeg has two frame headers, or is of a kind that models don't decode")
            frame = _frame(segment)
        elif marker == _DQT:
            tables |= _quantization(segment)
        elif marker == _DHT:
            _check_huffman(segment)
        elif marker == _SOS:
            _check_scan(segment, frame, tables)
            scans += 1
        elif marker != _EOI and marker not in _OTHERS:
            raise BadImage(f"the jpeg is damaged: it has a marker {marker:#x}")
    if not 0 < scans <= _MOST_SCANS:
        raise BadImage(f"the jpeg has {scans} scans")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each segment's marker, and where its content begins and ends; the end marker comes last."""
    place, pattern = 2, _MARKER
    for _ in range(_MOST_MARKERS):
        found = _search(pattern, data, place)
        if found is None:
            raise BadImage(
                "the jpeg is cut off: it has no end marker; if viewers show it whole, save it again"
            )
        place = found.end()
        marker = data[place - 1]
        if marker == _EOI:
            yield marker, place, place
            return
        if marker == _SOI:
            raise BadImage("the jpeg begins a second time within itself")
        (length,) = _LENGTH.unpack_from(data, place)
        if length < 2:
            raise BadImage("the jpeg has a segment of impossible length")
        yield marker, place + 2, place + length
        if marker == _DRI and any(data[place + 2 : place + 4]):
            pattern = _MARKER_AMID_RESTARTS
        place += length
    raise BadImage(f"the jpeg has more than {_MOST_MARKERS} segments")


def _search(pattern: re.Pattern[bytes], data: bytes, place: int) -> re.Match[bytes] | None:
    """Search for a pattern of two bytes in pieces that overlap by one byte."""
    for start in range(place, len(data), _PIECE):
        if found := pattern.search(data, start, start + _PIECE + 1):
            return found
    return None


def _frame(segment: bytes) -> dict[int, int]:
    """Read which quantization table each component uses."""
    precision, count = segment[0], segment[5]
    if precision != 8 or not count or len(segment) != 6 + 3 * count:
        raise BadImage("the jpeg has a frame header that is damaged, or not of 8 bits a colour")
    return dict(zip(segment[6::3], segment[8::3], strict=True))


def _check_scan(segment: bytes, frame: dict[int, int], tables: set[int]) -> None:
    count = segment[0]
    components = segment[1 : 1 + 2 * count : 2]
    if not 1 <= count <= 4 or len(segment) != 4 + 2 * count or not frame.keys() >= set(components):
        raise BadImage("the jpeg has a scan of colours that it does not have")
    if not {frame[one] for one in components} <= tables:
        raise BadImage("the jpeg lacks a quantization table")


def _quantization(segment: bytes) -> set[int]:
    """Read the numbers of the tables in the segment, which have 64 values each, of one byte or two."""
    found: set[int] = set()
    place = 0
    while place < len(segment):
        precision, number = divmod(segment[place], 16)
        place += 129 if precision else 65
        if number > 3:
            raise BadImage("the jpeg has a quantization table that is damaged")
        found.add(number)
    if place != len(segment):
        raise BadImage("the jpeg has a quantization table of impossible length")
    return found


def _check_huffman(segment: bytes) -> None:
    place = 0
    while place < len(segment):
        count = sum(segment[place + 1 : place + 17])
        if segment[place] & 0xEF > 3 or count > 256:
            raise BadImage("the jpeg has a Huffman table that is damaged")
        place += 17 + count
    if place != len(segment):
        raise BadImage("the jpeg has a Huffman table of impossible length")
