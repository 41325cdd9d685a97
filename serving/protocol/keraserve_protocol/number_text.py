"""Large nested lists of numbers, from their JSON text straight to a packed tensor.

A picture as a list (224 x 224 x 3) is 150,000 numbers in 50,000 lists. Parsed as a whole, these are as many
objects, looked at several times, and nothing else can run meanwhile. Here the brackets tell the shape, and
the numbers are parsed and packed some thousands at a time, so that other threads get their turn. Only what is
regular is done here: for everything else there is `json_tensors`, which says what is wrong with it.
"""

import math
import re
import struct
from dataclasses import dataclass

import orjson

from keraserve_protocol.elements import TensorError, element_of, pack
from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto

_NAME = rb'"signature_name"\s*:\s*"([^"\\]*)"\s*'
_HEAD = re.compile(rb"\s*\{\s*(?:" + _NAME + rb',\s*)?"(instances|inputs)"\s*:\s*(?=\[[\s\[]*[-\d])')
_TAIL = re.compile(rb"\s*(?:,\s*" + _NAME + rb")?\}\s*")
_WORTH_IT = 1 << 10  # bytes
_PIECE = 64 << 10
_WITHOUT_STRUCTURE = b"0123456789+-.eE \t\r\n"
_BLANK_BRACKETS = bytes.maketrans(b"[]", b"  ")


@dataclass(frozen=True)
class NumberText:
    """The text of a nested list that may well hold numbers only."""

    text: bytes


@dataclass(frozen=True)
class Found:
    """The body of a `:predict`: the signature's name (or nothing), `instances` or `inputs`, and its list."""

    signature: str
    layout: str
    numbers: NumberText


def find(body: bytes) -> Found | None:
    """Find the one list of a large `:predict` body, if it is no more than that and a signature's name."""
    head = _HEAD.match(body) if len(body) >= _WORTH_IT else None
    end = body.rfind(b"]") + 1
    tail = _TAIL.fullmatch(body, end)
    if head is None or tail is None or (head[1] is not None and tail[1] is not None):
        return None
    try:
        signature = (head[1] or tail[1] or b"").decode("ascii")
    except UnicodeDecodeError:
        return None
    return Found(signature, head[2].decode(), NumberText(body[head.end() : end]))


def to_tensor(numbers: NumberText, dtype: DataType, exact: int | None) -> TensorProto | None:
    """Pack the numbers, or give nothing where they are not regular, not all numbers, or not all of `dtype`.

    Args:
        numbers: the list.
        dtype: of the tensor.
        exact: the largest integer that `dtype` holds exactly, if it is a float.
    """
    shape = _shape(numbers.text.translate(None, _WITHOUT_STRUCTURE))
    if shape is None or dtype in (DataType.DT_STRING, DataType.DT_BOOL):
        return None
    try:
        content = _packed(numbers.text.translate(_BLANK_BRACKETS), dtype, exact)
        size = struct.calcsize(element_of(dtype).code)
    except (ValueError, TensorError):  # orjson's errors are ValueErrors
        return None
    if len(content) != math.prod(shape) * size:
        return None
    dims = [TensorShapeProto.Dim(size=size) for size in shape]
    return TensorProto(dtype=dtype, tensor_shape=TensorShapeProto(dim=dims), tensor_content=content)


def _shape(structure: bytes) -> list[int] | None:
    """Read the shape off brackets and commas: each list has to repeat the first one of its depth.

    An empty list looks like one of one number; the numbers' count tells them apart.
    """
    depth = len(structure) - len(structure.lstrip(b"["))
    if not depth:
        return None
    start, end = depth - 1, structure.find(b"]") + 1
    if structure[start + 1 : end - 1].strip(b","):
        return None
    shape = [end - start - 1]
    for closing in range(2, depth + 1):
        unit = structure[start:end] + b","
        start -= 1
        close = structure.find(b"]" * closing, end - closing + 1)
        end = close + closing
        count, rest = divmod(end - start - 1, len(unit))
        if close < 0 or rest or structure[start + 1 : end] != (unit * count)[:-1] + b"]":
            return None
        shape.append(count)
    return shape[::-1] if end == len(structure) else None


def _packed(text: bytes, dtype: DataType, exact: int | None) -> bytes:
    """Pack numbers separated by commas, piece by piece.

    Raises:
        ValueError: not JSON, or an integer that `dtype` would round.
        TensorError: a number out of range, or with a point where there may be none.
    """
    packed: list[bytes] = []
    start = 0
    while start <= len(text):
        end = len(text) if len(text) - start <= _PIECE else text.rfind(b",", start, start + _PIECE)
        if end < start:
            raise ValueError("one number is longer than a piece")
        piece: list[float] = orjson.loads(b"[%b]" % text[start:end])
        if exact is not None and piece and (max(piece) > exact or min(piece) < -exact):
            raise ValueError("perhaps an integer that loses digits")
        packed.append(pack(piece, dtype))
        start = end + 1
    return b"".join(packed)
