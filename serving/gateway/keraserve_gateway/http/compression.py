"""Compression of requests' and responses' bodies: gzip, and deflate in zlib's form."""

import re
import zlib

from keraserve_gateway.errors import BadRequest, TooLarge, UnsupportedMediaType

_DEFLATE = 15
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": _DEFLATE}
CODINGS = ("gzip", "deflate")
_STEP = 1 << 18  # bytes that are expanded at once: zlib copies what is left of them
_MOST_MEMBERS = 1000  # as each takes time, however short it is
_WORTH_IT = 1024  # bytes; a shorter response would hardly become shorter
_FAST = 1  # a higher level hardly makes tensors smaller


def coding_of(header: str | None) -> str:
    """Return the coding in a request's `Content-Encoding`, in lower case; empty for an uncompressed body."""
    if not header:
        return ""
    codings = [one.strip() for one in header.lower().split(",")]
    return ", ".join(one for one in codings if one not in ("", "identity"))


def expand(body: bytes, coding: str, limit: int) -> bytes:
    """Expand a request's body. A gzip body may have several members, one after the other.

    Raises:
        UnsupportedMediaType: the coding is not known, or there are several.
        BadRequest: the body is not of that coding, cut off, followed by other bytes, or has too many members.
        TooLarge: it has more than `limit` bytes, of which no more are ever expanded.
    """
    window = _WINDOWS.get(coding)
    if window is None:
        raise UnsupportedMediaType(
            f"a body with the content encoding {coding[:40]!r}; send gzip, deflate or none"
        )
    sent, position, left = memoryview(body), 0, limit
    expanded: list[bytes] = []
    for _ in range(_MOST_MEMBERS if window != _DEFLATE else 1):
        try:
            pieces, position = _expand_member(sent, position, window, left)
        except zlib.error as error:
            form = "deflate in zlib's form" if window == _DEFLATE else coding
            raise BadRequest(f"the body is not {form}, or it is cut off") from error
        left -= sum(map(len, pieces))
        if left < 0:
            raise TooLarge(
                f"the body has more than {limit} bytes once expanded, as many as are allowed (max_body_bytes)"
            )
        expanded += pieces
        if position == len(body):
            return b"".join(expanded)
    raise BadRequest(f"the body has something behind its {coding} stream, or is in far too many pieces")


def _expand_member(sent: memoryview, position: int, window: int, limit: int) -> tuple[list[bytes], int]:
    """Expand the member at `position`, up to `limit` + 1 bytes; return them, and the position after it.

    Raises:
        zlib.error: it is not of that form, or cut off.
    """
    expanding, pieces, size = zlib.decompressobj(window), list[bytes](), 0
    while not expanding.eof and size <= limit:
        step = sent[position : position + _STEP]
        if not step:
            raise zlib.error("cut off")
        position += len(step)
        pieces.append(expanding.decompress(step, limit + 1 - size))
        size += len(pieces[-1])
    return pieces, position - len(expanding.unused_data)


def choose(accepted: str, size: int) -> str:
    """Choose the coding of a response of `size` bytes by the request's `Accept-Encoding`; empty for none."""
    if size < _WORTH_IT:
        return ""
    for one in accepted.lower().split(","):
        coding, _, parameters = one.strip().partition(";")
        if coding.strip() in CODINGS and not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters):
            return coding.strip()
    return ""


def compress(body: bytes, coding: str) -> bytes:
    """Compress a response's body."""
    compressing = zlib.compressobj(_FAST, wbits=_WINDOWS[coding])
    return compressing.compress(body) + compressing.flush()
