"""Parse the JSON of requests strictly and within limits, and write the JSON of responses.

Strictly: UTF-8, one object and nothing after it, no key twice. Of two values with one name TensorFlow
Serving's parser takes the first and Python's the last, so a sender can't rely on either. NaN and Infinity
are accepted, as by TensorFlow Serving.

The limits keep a body of some megabytes from becoming gigabytes of objects, and the parser, during which no
other thread runs, from taking longer than some milliseconds. `number_text` parses large lists of numbers.
"""

import codecs
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, cast

import orjson

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MOST_VALUES = 524_288
MOST_CONTAINERS = 131_072
MOST_STRINGS = 131_072
MOST_KEYS = 32_768
MOST_ESCAPES = 524_288
MOST_DIGITS = 1_000
MOST_WIDE = 8_388_608
"""Characters of a text with one beyond U+FFFF in it: Python then stores each of them in four bytes."""

_LIMITS = (
    ("lists and objects", (b"[", b"{"), MOST_CONTAINERS),
    ("keys", (b":",), MOST_KEYS),
    ("strings", (b'"',), 2 * MOST_STRINGS),
    ("values", (b",", b"[", b"{"), MOST_VALUES),
)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_SMALL = 64 << 10  # bytes: too few to exceed a limit
_PIECE = 256 << 10  # bytes


class JsonError(ValueError):
    """JSON that does not fit the REST API, or a tensor that JSON can't represent; the message says where."""


class TooMuchError(JsonError):
    """More in a request than a limit allows; the message names the limit."""


class ResponseError(JsonError):
    """A model's response with an incomplete tensor, or without an output that was requested."""


class FormError(ResponseError):
    """A valid response that JSON can't represent; the message says how to request it otherwise."""


# These objects stand for the words: another infinite number was too large for a float.
CONSTANTS = {"NaN": math.nan, "Infinity": float("inf"), "-Infinity": float("-inf")}


def load(body: bytes) -> dict[str, Json]:
    """Parse a request body: an object, NaN and Infinity included.

    Raises:
        TooMuchError: more values, lists and objects, strings, keys, or characters than are allowed.
        JsonError: no JSON, too deeply nested, or no object.
    """
    if len(body) > _SMALL:
        check_amount(body)
    try:
        pieces = _decoded(body)
        if sum(map(len, pieces)) > MOST_WIDE and _has_wide(body):
            raise TooMuchError(
                f"the JSON holds more than {MOST_WIDE} characters, as many as are allowed where one is beyond"
                " U+FFFF, such as an emoji; send less at a time, or binary data (gRPC, or /v2/models/…/infer)"
            )
        value: Json = _decoder.decode("".join(pieces))
    except RecursionError as error:
        raise JsonError("the JSON is nested too deeply") from error
    except JsonError:
        raise
    except UnicodeDecodeError as error:
        raise JsonError(f"the body is not JSON: byte {error.start} is no UTF-8") from error
    except ValueError as error:
        if body.startswith(codecs.BOM_UTF8):
            raise JsonError(
                "the body is not JSON: it begins with a byte-order mark; send it without"
            ) from error
        raise JsonError(f"the body is not JSON: {error}") from error
    if _has_surrogate_escapes(body):
        _check_text(value)
    if not isinstance(value, dict):
        raise JsonError(f"the body has to be a JSON object, not {kind(value)}")
    return value


def dump(value: Any) -> bytes:
    """Write a response's JSON, NaN and Infinity as these words, half of a surrogate pair as "?".

    An iterator in it is written as a list: the elements of each list that it gives, and anything else as one
    element. Other threads may run in between, which they can't while a long list is written at once.
    """
    try:
        return _dump_at_once(value)
    except TypeError:  # an iterator, or half of a surrogate pair
        return b"".join(_written(value))


def check_amount(body: bytes) -> None:
    """Count what is in a JSON text before it is parsed.

    Raises:
        TooMuchError: as `load`.
    """
    if body.count(b"\\") > MOST_ESCAPES:
        raise TooMuchError(
            f"the JSON holds more than {MOST_ESCAPES} escapes, as many as are allowed; write text as UTF-8"
        )
    if _excess(body.count) is None:
        return
    # Count exactly: commas, brackets and colons within strings do not count.
    counts: Counter[bytes] = Counter()
    inside = 0  # 1 if a piece begins within a string
    for piece in _pieces_between_escapes(body):
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b" ".join(parts[inside::2])
        counts.update({sign: outside.count(sign) for sign in (b"[", b"{", b":", b",")})
        counts[b'"'] += len(parts) - 1
        inside ^= (len(parts) - 1) % 2
        excess = _excess(counts.__getitem__)
        if excess is not None:
            raise TooMuchError(
                f"the JSON holds more than {excess}, as many as are allowed beside one regular list of"
                " numbers; send less at a time, or binary data (gRPC, or /v2/models/…/infer)"
            )


def kind(value: Json) -> str:
    """Name the kind of a value in a message."""
    names = {"list": "a list", "dict": "an object", "str": "a string", "bool": "a boolean"}
    return "null" if value is None else names.get(type(value).__name__, "a number")


def _dump_at_once(value: Any) -> bytes:
    written = orjson.dumps(value)
    if b"null" in written:  # orjson writes null for NaN and Infinity
        return _encoder.encode(value).encode()
    return written


def _written(value: Any) -> Iterator[bytes]:
    if isinstance(value, Iterator):
        return _joined(b"[", map(_elements, cast("Iterator[Any]", value)), b"]")
    if isinstance(value, list):
        try:
            return iter([_dump_at_once(value)])
        except TypeError:
            return _joined(b"[", map(_written, cast("list[Any]", value)), b"]")
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return _joined(b"{", (chain([dump(name), b":"], _written(one)) for name, one in pairs), b"}")
    return iter([_encoder.encode(value).encode(errors="replace")])


def _elements(given: Any) -> Iterator[bytes]:
    return iter([dump(given)[1:-1]]) if isinstance(given, list) else _written(given)


def _joined(begin: bytes, values: Iterable[Iterator[bytes]], end: bytes) -> Iterator[bytes]:
    yield begin
    for index, value in enumerate(values):
        if index:
            yield b","
        yield from value
    yield end


def _excess(count: Callable[[bytes], int]) -> str | None:
    for what, signs, most in _LIMITS:
        if sum(map(count, signs)) > most:
            return f"{most // 2 if what == 'strings' else most} {what}"
    return None


def _pieces_between_escapes(body: bytes) -> Iterator[bytes]:
    """Cut a text into pieces, but not within an escape: all of it at once would take 25 ms."""
    start = 0
    while start < len(body):
        end = start + _PIECE
        while body[end - 1 : end] == b"\\":
            end += 1
        yield body[start:end]
        start = end


def _has(body: bytes, word: bytes) -> bool:
    """Search in pieces: to search some megabytes at once takes 10 ms, in which no other thread runs."""
    pieces = range(0, len(body), _PIECE)
    return any(body.find(word, start, start + _PIECE + len(word) - 1) >= 0 for start in pieces)


def _has_surrogate_escapes(body: bytes) -> bool:
    return b"\\" in body and (_has(body, b"\\ud") or _has(body, b"\\uD"))


def _has_wide(body: bytes) -> bool:
    """Tell whether a character is beyond U+FFFF, which UTF-8 begins with F0 to F4."""
    return any(bytes([lead]) in body for lead in range(0xF0, 0xF5)) or _has_surrogate_escapes(body)


def _decoded(body: bytes) -> list[str]:
    """Decode in pieces: some megabytes beyond ASCII take 100 ms, in which no other thread runs."""
    if len(body) <= _PIECE or body.isascii():
        return [body.decode()]
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = range(0, len(body), _PIECE)
    decoded = [decoder.decode(body[start : start + _PIECE]) for start in pieces]
    return [*decoded, decoder.decode(b"", final=True)]


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = Counter(name for name, _ in pairs)
        raise JsonError(f"an object has the key {seen.most_common(1)[0][0][:100]!r} twice")
    return found


def _integer(text: str) -> int:
    return int(_short(text))


def _decimal(text: str) -> float:
    return float(_short(text))


def _short(text: str) -> str:
    if len(text) > MOST_DIGITS:
        raise TooMuchError(f"a number has more than {MOST_DIGITS} digits")
    return text


def _constant(text: str) -> float:
    return CONSTANTS[text]


# Functions in Python, not in C: other threads may run between two of their calls.
_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)


def _check_text(value: Json) -> None:
    """Reject half of a surrogate pair, which JSON can escape and UTF-8 can't encode."""
    left: list[Json] = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left.extend(one)
        elif isinstance(one, dict):
            left.extend(one)
            left.extend(one.values())
        elif isinstance(one, str) and not one.isascii():
            try:
                one.encode()
            except UnicodeEncodeError as error:
                raise JsonError("the body holds a string that is no Unicode text") from error
