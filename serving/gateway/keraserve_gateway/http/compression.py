"""Bodies that are compressed, both ways: gzip and deflate (zlib's form), as HTTP names them."""

import re
import zlib

from keraserve_gateway.errors import BadRequest, TooLarge, UnsupportedMediaType

_DEFLATE = 15
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": _DEFLATE}
CODINGS = ("gzip", "deflate")
_STEP = 1 << 18  # bytes that are expanded at once: what is left of the last ones is copied
_MOST_MEMBERS = 1000  # each of them costs some work, however short
_WORTH_IT = 1024  # bytes; a shorter answer would hardly become shorter
_FAST = 1  # tensors shrink by little, whatever the effort


def named(header: str | None) -> str:
    """Read a request's `Content-Encoding`, in small letters; nothing where its body is as it is."""
    if not header:
        return ""
    codings = [one.strip() for one in header.lower().split(",")]
    return ", ".join(one for one in codings if one not in ("", "identity"))


def expand(body: bytes, coding: str, limit: int) -> bytes:
    """Undo a request's `Content-Encoding`. A gzip body may have several members, one behind the other.

    Raises:
        UnsupportedMediaType: a coding that is not known, or several.
        BadRequest: not of that coding, cut off, with something behind it, or in far too many members.
        TooLarge: it would have more than `limit` bytes; no more than that are ever made.
    """
    window = _WINDOWS.get(coding)
    if window is None:
        raise UnsupportedMediaType(
            f"a body with the content encoding {coding[:40]!r}; send gzip, deflate or none"
        )
    sent, place, room = memoryview(body), 0, limit
    expanded: list[bytes] = []
    for _ in range(_MOST_MEMBERS if window != _DEFLATE else 1):
        try:
            pieces, place = _expand_member(sent, place, window, room)
        except zlib.error as error:
            form = "deflate in zlib's form" if window == _DEFLATE else coding
            raise BadRequest(f"the body is not {form}, or it is cut off") from error
        room -= sum(map(len, pieces))
        if room < 0:
            raise TooLarge(
                f"the body has more than {limit} bytes once expanded, as many as are allowed (max_body_bytes)"
            )
        expanded += pieces
        if place == len(body):
            return b"".join(expanded)
    raise BadRequest(f"the body has something behind its {coding} stream, or is in far too many pieces")


def _expand_member(sent: memoryview, place: int, window: int, room: int) -> tuple[list[bytes], int]:
    """Expand what begins at `place`, up to a byte more than there is room for; give the place behind it.

    Raises:
        zlib.error: not in that form, or cut off.
    """
    expanding, pieces, size = zlib.decompressobj(window), list[bytes](), 0
    while not expanding.eof and size <= room:
        step = sent[place : place + _STEP]
        if not step:
            raise zlib.error("cut off")
        place += len(step)
        pieces.append(expanding.decompress(step, room + 1 - size))
        size += len(pieces[-1])
    return pieces, place - len(expanding.unused_data)


def choose(accepted: str, size: int) -> str:
    """Choose a coding for a response of `size` bytes, by the request's `Accept-Encoding`; none is empty."""
    if size < _WORTH_IT:
        return ""
    for one in accepted.lower().split(","):
        coding, _, parameters = one.strip().partition(";")
        if coding.strip() in CODINGS and not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters):
            return coding.strip()
    return ""


def compress(body: bytes, coding: str) -> bytes:
    """Compress a response."""
    compressing = zlib.compressobj(_FAST, wbits=_WINDOWS[coding])
    return compressing.compress(body) + compressing.flush()
