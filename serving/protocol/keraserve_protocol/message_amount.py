"""Count the fields and messages in a serialized message before it is parsed.

Two bytes of a message may become an object of a hundred bytes. Only fields that become messages are read
further; texts, bytes and packed numbers count as one field, whatever their length.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from keraserve_protocol.messages import Message, PredictRequest, TensorProto, TensorShapeProto
from keraserve_protocol.number_text import Steps

MOST_MESSAGES = 4_096
MOST_FIELDS = 262_144
_SMALL = 8 << 10  # bytes: too few to exceed a limit
_LONGEST_SPEC = 4 << 10  # bytes
_TURN = 1_000  # fields, read in about a millisecond
_INTEGERS = tuple(
    TensorProto.DESCRIPTOR.fields_by_name[f"{name}_val"].number
    for name in ("int", "int64", "bool", "half", "uint32", "uint64")
)
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5


class AmountError(ValueError):
    """More in a message than a limit allows; the message names the limit."""


class MalformedError(ValueError):
    """No message, or one that no protobuf library writes."""


def check_amount(data: bytes, kind: type[Message]) -> Steps[None]:
    """Count fields and messages within a message of that kind.

    Raises:
        AmountError: there are too many.
        MalformedError: it can't be read.
    """
    if len(data) <= _SMALL:
        return
    fields = messages = 0
    left: list[tuple[Any, int, int]] = [(kind.DESCRIPTOR, 0, len(data))]
    while left:
        descriptor, start, end = left.pop()
        inner = _messages_in(descriptor)
        for number, begin, stop in _fields(data, start, end):
            fields += 1
            if number in inner and begin >= 0:
                messages += 1
                left.append((inner[number], begin, stop))
            if messages > MOST_MESSAGES:
                raise AmountError(
                    f"the request holds more than {MOST_MESSAGES} inputs, dimensions and tasks together,"
                    " as many as are allowed"
                )
            if fields > MOST_FIELDS:
                raise AmountError(
                    f"the request holds more than {MOST_FIELDS} values one by one, as many as are allowed;"
                    " send numbers as tensor_content"
                )
            if fields % _TURN == 0:
                yield


def without_values(data: bytes) -> PredictRequest:
    """Parse the model spec of a serialized PredictRequest, and the shapes of its inputs, but no elements.

    While protobuf parses, no other thread runs: for 100 ms if there are millions of packed integers of
    variable length. To be called after `check_amount`, which limits everything else.

    Raises:
        AmountError: a model spec that is too long.
        MalformedError, DecodeError: it is no such message.
    """
    request = PredictRequest()
    for number, begin, stop in _fields(data, 0, len(data)):
        if begin < 0:
            continue
        if number == PredictRequest.MODEL_SPEC_FIELD_NUMBER:
            if stop - begin > _LONGEST_SPEC:
                raise AmountError(f"names of model, label and signature of more than {_LONGEST_SPEC} bytes")
            request.model_spec.MergeFromString(data[begin:stop])
        elif number == PredictRequest.INPUTS_FIELD_NUMBER:
            name, shape = _input(data, begin, stop)
            request.inputs[name].tensor_shape.CopyFrom(shape)
    return request


def packed_integers(data: bytes) -> Iterator[memoryview]:
    """Yield the packed integers of a serialized PredictRequest's inputs: each ends with a byte below 128.

    Raises:
        MalformedError: it can't be read.
    """
    whole = memoryview(data)
    for _, begin, stop in _only(data, 0, len(data), PredictRequest.INPUTS_FIELD_NUMBER):
        for _, inner, end in _only(data, begin, stop, 2):  # of a map's entry, the value
            for _, first, last in _only(data, inner, end, *_INTEGERS):
                yield whole[first:last]


def _only(data: bytes, start: int, end: int, *numbers: int) -> Iterator[tuple[int, int, int]]:
    return (one for one in _fields(data, start, end) if one[0] in numbers and one[1] >= 0)


def _input(data: bytes, start: int, end: int) -> tuple[str, TensorShapeProto]:
    name, shape = b"", TensorShapeProto()
    for number, begin, stop in _fields(data, start, end):
        if number == 1 and begin >= 0:
            name = data[begin:stop]
        elif number == 2 and begin >= 0:
            for inner, inner_begin, inner_stop in _fields(data, begin, stop):
                if inner == TensorProto.TENSOR_SHAPE_FIELD_NUMBER and inner_begin >= 0:
                    shape.MergeFromString(data[inner_begin:inner_stop])
    try:
        return name.decode(), shape
    except UnicodeDecodeError as error:
        raise MalformedError("an input's name that is no text") from error


def first_message(data: bytes, kind: type[Message], name: str, *, within: str) -> bytes:
    """Find the field `name` in a serialized message of that kind, or in its first field `within`.

    Raises:
        MalformedError: the message can't be read.
    """
    descriptor, start, end = cast(Any, kind.DESCRIPTOR), 0, len(data)
    for one in (name,) if name in descriptor.fields_by_name else (within, name):
        if one not in descriptor.fields_by_name:
            return b""
        field = descriptor.fields_by_name[one]
        found = [place for place in islice(_fields(data, start, end), _TURN) if place[0] == field.number]
        if not found:
            return b""
        _, start, end = found[0]
        descriptor = field.message_type
    return data[start:end]


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield each field's number, and where its bytes begin and end; it begins at -1 if it is a number."""
    place = start
    while place < end:
        tag, place = _varint(data, place, end)
        number, form = tag >> 3, tag & 7
        begin = -1
        if form == _LENGTH:
            length, begin = _varint(data, place, end)
            place = begin + length
        elif form == _VARINT:
            _, place = _varint(data, place, end)
        elif form in (_EIGHT, _FOUR):
            place += 8 if form == _EIGHT else 4
        else:  # groups, which proto3 doesn't write: their fields are none of the message
            raise MalformedError("a field of no known form")
        if place > end or not number:
            raise MalformedError("a field that ends behind its message")
        yield number, begin, place


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(place, min(place + 10, end)):
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position + 1
        shift += 7
    raise MalformedError("a number without an end")


@lru_cache(256)
def _messages_in(descriptor: Any) -> dict[int, Any]:
    """Find the fields of a kind of message that are messages, with their kinds."""
    fields = cast("list[Any]", descriptor.fields)
    return {field.number: field.message_type for field in fields if field.message_type is not None}
