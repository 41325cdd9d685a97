"""Bodies that are compressed, both ways: gzip and deflate (zlib's form), as HTTP names them."""

import re
import zlib

from keraserve_gateway.errors import BadRequest, TooLarge, UnsupportedMedia

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
CODINGS = ("gzip", "deflate")
_WORTH_IT = 1024  # bytes; a shorter answer would hardly become shorter
_FAST = 1  # tensors shrink by little, whatever the effort


def expand(body: bytes, coding: str, limit: int) -> bytes:
    """Undo a request's `Content-Encoding`.

    Raises:
        UnsupportedMedia: a coding that is not known, or several.
        BadRequest: not of that coding, cut off, or with something behind it.
        TooLarge: it would have more than `limit` bytes; no more than that are ever made.
    """
    window = _WINDOWS.get(coding.strip().lower())
    if window is None:
        raise UnsupportedMedia(
            f"a body with the content encoding {coding[:40]!r}; send gzip, deflate or none"
        )
    expanding = zlib.decompressobj(window)
    try:
        expanded = expanding.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not {coding}") from error
    if len(expanded) > limit:
        raise TooLarge(f"the body has more than {limit} bytes once expanded, as many as are allowed")
    if not expanding.eof or expanding.unused_data:
        raise BadRequest(f"the body is not one whole {coding} stream")
    return expanded


def choose(accepted: str, size: int) -> str:
    """Choose a coding for an answer of `size` bytes, by the request's `Accept-Encoding`; none is empty."""
    if size < _WORTH_IT:
        return ""
    for one in accepted.lower().split(","):
        coding, _, parameters = one.strip().partition(";")
        if coding.strip() in CODINGS and not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters):
            return coding.strip()
    return ""


def compress(body: bytes, coding: str) -> bytes:
    """Compress an answer."""
    compressing = zlib.compressobj(_FAST, wbits=_WINDOWS[coding])
    return compressing.compress(body) + compressing.flush()
