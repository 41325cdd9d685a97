"""Convert a JSON object of features, as in TensorFlow Serving's REST API, to a serialized `tf.Example`."""

import struct
from itertools import islice
from typing import cast

from keraserve_protocol import messages as m
from keraserve_protocol.json_tensors import decode_binary
from keraserve_protocol.json_text import Json, JsonError

_FEATURES_AT_ONCE = 1_000


def example(value: Json, where: str) -> bytes:
    """Serialize an example, its features in parts: no other thread runs while protobuf serializes a part."""
    if not isinstance(value, dict):
        raise JsonError(f"{where} has to be an object of features")
    written: list[bytes] = []
    names = iter(value)
    while some_names := list(islice(names, _FEATURES_AT_ONCE)):
        features = m.Features()
        for name in some_names:
            content = value[name]
            feature = _feature(content if isinstance(content, list) else [content], f"{where}.{name}")
            features.feature[name].CopyFrom(feature)
        written.append(features.SerializeToString())
    return _as_field(m.Example.FEATURES_FIELD_NUMBER, b"".join(written)) if written else b""


def _as_field(number: int, data: bytes) -> bytes:
    """Write a message as a field of another: number and wire type, then the length, seven bits a byte."""
    length, left = bytearray(), len(data)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return bytes((number << 3 | 2, *length, left)) + data


def _feature(values: list[Json], where: str) -> m.Feature:
    """Make int64 of booleans and whole numbers, float of decimal numbers, bytes of text and `b64`."""
    kinds = {type(value) for value in values}
    if not values:
        return m.Feature()
    if kinds <= {str, dict}:
        encoded = [
            value.encode() if isinstance(value, str) else decode_binary(value, where) for value in values
        ]
        return m.Feature(bytes_list=m.BytesList(value=encoded))
    if kinds <= {int, bool}:
        whole = cast("list[int]", values)
        if min(whole) < -(1 << 63) or max(whole) >= 1 << 63:
            raise JsonError(f"{where}: a number is out of int64's range")
        return m.Feature(int64_list=m.Int64List(value=[int(value) for value in whole]))
    if kinds == {float}:
        decimals = cast("list[float]", values)
        try:
            struct.pack(f"<{len(decimals)}f", *decimals)
        except OverflowError as error:
            raise JsonError(f"{where}: a number is out of float32's range") from error
        return m.Feature(float_list=m.FloatList(value=decimals))
    raise JsonError(f"{where}: a feature holds strings, whole numbers or decimal numbers, and one kind only")
