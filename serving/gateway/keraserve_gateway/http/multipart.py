"""The files of a multipart/form-data body (RFC 7578), in memory and in order.

Starlette's own form parser writes files to disk, which a container with a read-only root file system does not
have; the body's size is limited already, so its files stay in memory.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from keraserve_gateway.calls.image_check import Image
from keraserve_gateway.errors import BadRequest, TooLarge, UnsupportedMediaType
from keraserve_protocol import image_formats, other_formats

_AS_IT_IS = {"", "7bit", "8bit", "binary"}  # transfer encodings
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ENCODED_NAME = re.compile(r";\s*filename\*=\s*(utf-8|iso-8859-1)'[^']*'([^;\s]*)", re.IGNORECASE)
_LONGEST_NAME = 255
_MOST_FIELDS = 100
_PIECE = 256 << 10  # bytes that are searched or parsed at once, while no other thread runs
_FILE_TYPES = ("image/", "application/octet-stream", "binary/octet-stream")


def images(body: bytes, content_type: str, most: int) -> list[Image]:
    """Return every file of the body as an image, in order; the fields' names don't matter.

    A part is a file if it has a file name or an image's content type, or if it begins like an image. Other
    fields, and file fields that were left empty, are skipped.

    Raises:
        TooLarge: there are more than `most` files, or far more other fields.
        UnsupportedMediaType: a file has a transfer encoding, or there are only other fields.
        BadRequest: there is no boundary, or the body is malformed or ends before its last boundary.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadRequest("multipart/form-data without a boundary")
    delimiter = b"\r\n--" + boundary
    if sum(body.count(delimiter, *piece) for piece in _pieces(body, delimiter)) > most + _MOST_FIELDS + 1:
        raise _too_many(most)  # before parsing: the parser takes a microsecond for each
    parts = _Parts(most)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_part_data": parts.part_data,
                "on_part_end": parts.part_end,
                "on_end": parts.end,
            },
        )
        begin = _after_preamble(body, boundary)
        for start in range(begin, len(body), _PIECE):
            parser.write(body[start : start + _PIECE])
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(f"the multipart body is malformed: {error}") from error
    if not parts.ended:
        raise BadRequest("the multipart body ends before its last boundary")
    if not parts.images and parts.other is not None:
        raise UnsupportedMediaType(
            f"the form has no file; in its first field, {other_formats.say(parts.other)}"
        )
    return parts.images


def _after_preamble(body: bytes, boundary: bytes) -> int:
    """Return the position of the first boundary (RFC 2046, 5.1.1); some clients write a line before it."""
    if body.startswith(b"--" + boundary):
        return 0
    delimiter = b"\r\n--" + boundary
    found = (body.find(delimiter, *piece) for piece in _pieces(body, delimiter))
    return next((position + 2 for position in found if position >= 0), 0)


def _pieces(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Return start and end of pieces, which overlap so that each delimiter is complete in exactly one."""
    for start in range(0, len(body), _PIECE):
        yield start, start + _PIECE + len(delimiter) - 1


class _Parts:
    """Collects the files from the parser's callbacks, which may give a value in pieces."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self.images: list[Image] = []
        self.other: bytes | None = None
        """The content of the first field that is not a file."""
        self.ended = False
        self._field, self._value, self._data = bytearray(), bytearray(), bytearray()
        self._filename: str | None = None
        self._typed = False

    def begin(self) -> None:
        self._count += 1
        if self._count > self._most + _MOST_FIELDS:
            raise _too_many(self._most)
        self._data.clear()
        self._filename, self._typed = None, False

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        name, value = bytes(self._field).lower(), self._value.decode("latin-1").strip()
        if name == b"content-disposition":
            self._filename = _filename(value)
        elif name == b"content-type":
            self._typed = value.lower().startswith(_FILE_TYPES)
        elif name == b"content-transfer-encoding" and value.lower() not in _AS_IT_IS:
            raise UnsupportedMediaType(
                f"a file in the transfer encoding {value[:40]!r}: send its own bytes, without an encoding"
            )
        self._field.clear()
        self._value.clear()

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def part_end(self) -> None:
        data, filename = bytes(self._data), self._filename
        if filename or (filename is None and self._typed) or image_formats.find(data):
            self._add(Image(data, filename))
        elif filename is None:
            self.other = data if self.other is None else self.other
        elif data:  # an empty file without a name is a file field that nothing was chosen for
            self._add(Image(data, filename))

    def _add(self, image: Image) -> None:
        if len(self.images) >= self._most:
            raise TooLarge(f"more than {self._most} images in a request, as many as are allowed (max_images)")
        self.images.append(image)

    def end(self) -> None:
        self.ended = True


def _too_many(most: int) -> TooLarge:
    return TooLarge(f"more than {most} images (max_images) and {_MOST_FIELDS} other fields in a form")


def _filename(disposition: str) -> str | None:
    """Return a file's name; in RFC 8187's form if the client sent that, too, as it can have any character."""
    encoded = _ENCODED_NAME.search(_QUOTED.sub('""', disposition))
    if encoded is not None:
        return unquote(encoded[2], encoded[1], errors="replace")[:_LONGEST_NAME]
    _, options = parse_options_header(disposition)
    plain = options.get(b"filename")
    return None if plain is None else plain.decode(errors="replace")[:_LONGEST_NAME]
