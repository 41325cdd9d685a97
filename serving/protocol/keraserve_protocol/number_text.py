"""Convert the JSON text of a large nested list of numbers to a packed tensor.

An image as a list (224 x 224 x 3) is 150,000 numbers in 50,000 lists. Parsed at once, these are as many
Python objects, and no other thread can run meanwhile. Here the shape is read from the brackets, and the
numbers are parsed and packed some thousands at a time, with pauses for other threads. Only regular lists are
converted here; `json_tensors` handles all others, and says what is wrong with them.
"""

import math
import re
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import orjson

from keraserve_protocol.elements import TensorError, element_of, pack
from keraserve_protocol.json_text import TooMuchError
from keraserve_protocol.messages import DataType, TensorProto

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A generator that yields between parts of its work, so that its caller may let other tasks run."""

# Bounded, as no other thread runs during a search. A body with more white space is parsed as a whole.
_GAP = rb"[ \t\r\n]{0,1000}"
_NAME = rb'"signature_name"%b:%b"([^"\\\x00-\x1f]{0,1000})"%b' % (_GAP, _GAP, _GAP)
_HEAD = re.compile(
    rb'%b\{%b(?:%b,%b)?"(instances|inputs)"%b:%b(?=\[[ \t\r\n\[]{0,1000}[-\d])'
    % (_GAP, _GAP, _NAME, _GAP, _GAP, _GAP)
)
_TAIL = re.compile(rb"%b(?:,%b%b)?\}%b" % (_GAP, _GAP, _NAME, _GAP))
_NO_NUMBERS = {DataType.DT_STRING, DataType.DT_BOOL}
_WORTH_IT = 1 << 10  # bytes
_PIECE = 4 << 10  # bytes, packed in about 50 µs; the last piece may be twice as long
MOST_DIMENSIONS = 32
MOST_NUMBERS = 1 << 22
_WHITE_SPACE = b" \t\r\n"
_NUMBERS_0 = bytes.maketrans(b"123456789+-.eE", b"0" * 14)
_ALL_DIGITS_0 = bytes.maketrans(b"123456789", b"000000000")
_BLANK_BRACKETS = bytes.maketrans(b"[]", b"  ")


@dataclass(frozen=True)
class NumberText:
    """A nested list within a longer text, which probably holds numbers only.

    Attributes:
        body: the text.
        start: where the list begins.
        end: where it has ended.
    """

    body: bytes
    start: int
    end: int

    @property
    def text(self) -> bytes:
        """A copy of the list's text."""
        return self.body[self.start : self.end]


@dataclass(frozen=True)
class Found:
    """The body of a `:predict`: the signature's name or "", `instances` or `inputs`, and the list."""

    signature: str
    layout: str
    numbers: NumberText


@dataclass(frozen=True)
class PackedNumbers:
    """A tensor's type, shape and `tensor_content`."""

    dtype: DataType
    shape: tuple[int, ...]
    content: bytes

    def fill(self, proto: TensorProto) -> None:
        """Write it into an empty message; assigning a message would copy it, with the content."""
        proto.dtype = self.dtype
        proto.tensor_content = self.content
        for size in self.shape:
            proto.tensor_shape.dim.add(size=size)


def find(body: bytes) -> Found | None:
    """Find the list in a large `:predict` body that has only one list, and perhaps a signature's name."""
    head = _HEAD.match(body) if len(body) >= _WORTH_IT else None
    end = body.rfind(b"]") + 1
    tail = _TAIL.fullmatch(body, end)
    if head is None or tail is None or (head[1] is not None and tail[1] is not None):
        return None
    try:
        signature = (head[1] or tail[1] or b"").decode("ascii")
    except UnicodeDecodeError:
        return None
    return Found(signature, head[2].decode(), NumberText(body, head.end(), end))


def pack_numbers(numbers: NumberText, dtype: DataType, exact: int | None) -> Steps[PackedNumbers | None]:
    """Pack the numbers; None if the list is not regular, or has elements that are no numbers of `dtype`.

    Args:
        numbers: the list.
        dtype: of the tensor.
        exact: the largest integer that `dtype` holds exactly, if it is a float.

    Raises:
        TooMuchError: more numbers than are allowed.
    """
    if dtype in _NO_NUMBERS:
        return None
    structure: list[bytes] = []
    packed: list[bytes] = []
    count = 0
    try:
        size = struct.calcsize(element_of(dtype).code)
        for piece in _pieces(numbers):
            structure.append(_structure(piece))
            packed.append(_packed(piece, dtype, exact))
            count += len(packed[-1]) // size
            if count > MOST_NUMBERS:
                break
            yield
    except (ValueError, TypeError, TensorError):  # orjson raises ValueErrors; TypeError: a string
        return None
    if count > MOST_NUMBERS:
        raise TooMuchError(f"a list of more than {MOST_NUMBERS} numbers in JSON, as many as are allowed")
    whole = b",".join(structure)
    shape = _shape(whole) if len(packed) > 1 else _remembered_shape(whole)
    yield
    content = b"".join(packed)
    yield
    if shape is None or len(content) != math.prod(shape) * size:
        return None
    return PackedNumbers(dtype, shape, content)


def finish(steps: Steps[T]) -> T:
    """Run a generator to its end without pauses; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _structure(piece: bytes) -> bytes:
    """Keep brackets and commas only; there is one number between two commas.

    Raises:
        ValueError: a bracket opens after a number, or closes before one: no JSON.
    """
    marked = piece.translate(_NUMBERS_0, _WHITE_SPACE)
    if b"0[" in marked or b"]0" in marked or b"][" in marked:
        raise ValueError("a bracket on the wrong side of a number")
    return marked.translate(None, b"0")


def _shape(structure: bytes) -> tuple[int, ...] | None:
    """Read the shape from brackets and commas: each list has to repeat the first one of its depth.

    An empty list looks like a list of one number; the caller compares the count of numbers.
    """
    depth = len(structure) - len(structure.lstrip(b"["))
    if not 0 < depth <= MOST_DIMENSIONS:
        return None
    start, end = depth - 1, structure.find(b"]") + 1
    if structure[start + 1 : end - 1].strip(b","):
        return None
    shape = [end - start - 1]
    for _ in range(depth - 1):
        more = 0
        unit = b","
        if structure[end : end + 1] == b",":
            unit += structure[start:end]
            more = _repeats(structure, end, unit)
        start, end = start - 1, end + more * len(unit) + 1
        if structure[end - 1 : end] != b"]":
            return None
        shape.append(1 + more)
    return tuple(reversed(shape)) if end == len(structure) else None


_remembered_shape = lru_cache(64)(_shape)  # of short texts, as most requests have the same shape


def _repeats(text: bytes, start: int, unit: bytes) -> int:
    """Count how often `unit` is repeated from `start` on, by blocks that double, and then halve."""
    count, times, block = 0, 1, unit
    while text.startswith(block, start):
        start, count = start + len(block), count + times
        times, block = times * 2, block + block
    while times > 1:
        times //= 2
        block = block[: times * len(unit)]
        if text.startswith(block, start):
            start, count = start + len(block), count + times
    return count


def _pieces(numbers: NumberText) -> Iterator[bytes]:
    """Cut the text at commas.

    Raises:
        ValueError: a number is longer than a piece.
    """
    start = numbers.start
    while numbers.end - start > 2 * _PIECE:
        comma = numbers.body.rfind(b",", start, start + _PIECE)
        if comma < 0:
            raise ValueError("one number is longer than a piece")
        yield numbers.body[start:comma]
        start = comma + 1
    yield numbers.body[start : numbers.end]


def _packed(text: bytes, dtype: DataType, exact: int | None) -> bytes:
    """Pack numbers separated by commas; brackets are ignored.

    Raises:
        ValueError: not JSON, or an integer that `dtype` would round.
        TensorError: a number out of range, or a decimal number for an integer type.
    """
    numbers: list[float] = orjson.loads(b"[%b]" % text.translate(_BLANK_BRACKETS))
    if exact is not None and b"0" * len(str(exact)) in text.translate(_ALL_DIGITS_0):  # else all are smaller
        _check(numbers, exact)
    return pack(numbers, dtype)


def _check(numbers: list[float], exact: int) -> None:
    if max(numbers) > exact or min(numbers) < -exact:
        raise ValueError("perhaps an integer that loses digits")
