"""The files of a multipart/form-data body (RFC 7578), in memory and in order.

Starlette's own form parser writes files to disk, which a container with a read-only root does not have;
the body is bounded already, so memory is the simpler place.
"""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from keraserve_gateway.calls.picture_check import Picture
from keraserve_gateway.errors import BadRequest, TooLarge


def pictures(body: bytes, content_type: str, most: int) -> list[Picture]:
    """Take every part of the body as a picture, in order; the names of the fields don't matter.

    Raises:
        TooLarge: more than `most` parts.
        BadRequest: no boundary, a malformed body, or one that ends before its last boundary.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadRequest("multipart/form-data without a boundary")
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
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(f"the multipart body is malformed: {error}") from error
    if not parts.ended:
        raise BadRequest("the multipart body ends before its last boundary")
    return parts.pictures


class _Parts:
    """Collects what the parser reports; it may report a value in pieces."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.pictures: list[Picture] = []
        self.ended = False
        self._field, self._value, self._data = bytearray(), bytearray(), bytearray()
        self._filename: str | None = None

    def begin(self) -> None:
        if len(self.pictures) >= self._most:  # here, not after: a body has room for 100,000 empty parts
            raise TooLarge(f"more than {self._most} pictures in a request, as many as are allowed")
        self._data.clear()
        self._filename = None

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            filename = options.get(b"filename")
            self._filename = filename.decode(errors="replace")[:255] if filename is not None else None
        self._field.clear()
        self._value.clear()

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += memoryview(data)[start:end]

    def part_end(self) -> None:
        self.pictures.append(Picture(bytes(self._data), self._filename))

    def end(self) -> None:
        self.ended = True
