"""The tensors of the Open Inference Protocol v2 to and from `TensorProto`: in JSON, and as binary data.

Binary data of numbers is the same bytes as `tensor_content`. In BYTES, TensorFlow's DT_STRING, the length of
each element stands before it as a little-endian uint32.
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from keraserve_protocol.elements import (
    TensorError,
    bfloat16_reader,
    content_of,
    element_of,
    pieces,
    reader,
    shape_of,
    type_name,
)
from keraserve_protocol.json_tensors import check_form, nested, shortest, to_tensor
from keraserve_protocol.json_text import MOST_STRINGS, FormError, Json, JsonError, ResponseError, TooMuchError
from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto

DATATYPES: dict[DataType, str] = {
    DataType.DT_BOOL: "BOOL",
    DataType.DT_UINT8: "UINT8",
    DataType.DT_UINT16: "UINT16",
    DataType.DT_UINT32: "UINT32",
    DataType.DT_UINT64: "UINT64",
    DataType.DT_INT8: "INT8",
    DataType.DT_INT16: "INT16",
    DataType.DT_INT32: "INT32",
    DataType.DT_INT64: "INT64",
    DataType.DT_HALF: "FP16",
    DataType.DT_FLOAT: "FP32",
    DataType.DT_DOUBLE: "FP64",
    DataType.DT_BFLOAT16: "BF16",
    DataType.DT_STRING: "BYTES",
}
"""The protocol's names of TensorFlow's types; it has no other types."""

_DTYPES = {name: dtype for dtype, name in DATATYPES.items()}
_LENGTH = struct.Struct("<I")


def datatype_of(dtype: DataType) -> str:
    """Name a type as the protocol does; a type that it doesn't have as TensorFlow does: COMPLEX64."""
    return DATATYPES.get(dtype) or type_name(dtype).removeprefix("DT_")


def dtype_of(datatype: str, where: str) -> DataType:
    """Look up the type of that name.

    Raises:
        JsonError: the protocol has none.
    """
    if datatype not in _DTYPES:
        known = ", ".join(DATATYPES.values())
        raise JsonError(f"{where}: there is no datatype {datatype[:40]!r}; choose one of {known}")
    return _DTYPES[datatype]


def from_json(data: Json, shape: Sequence[int], dtype: DataType, where: str) -> TensorProto:
    """Encode `data`, a flat list in row-major order or nested lists, as a tensor.

    Raises:
        JsonError: another number of elements than the shape has, or an element of another type.
    """
    if dtype == DataType.DT_BFLOAT16:
        raise JsonError(f"{where}: BF16 has no form in JSON, send it as binary data")
    if not isinstance(data, list):
        raise JsonError(f"{where}: 'data' has to be a list")
    tensor = to_tensor(data, dtype, where)
    given = [dim.size for dim in tensor.tensor_shape.dim]
    if len(given) > 1 and given != list(shape):
        raise JsonError(f"{where}: the lists have the shape {given}, 'shape' is {list(shape)}")
    _check_count(math.prod(given), shape, where)
    tensor.tensor_shape.CopyFrom(_shape(shape))
    return tensor


def from_binary(data: memoryview, shape: Sequence[int], dtype: DataType, where: str) -> TensorProto:
    """Make a tensor of binary data; numbers are not checked.

    Raises:
        TooMuchError: more strings than are allowed.
        JsonError: more or fewer bytes or strings than the shape has elements.
    """
    tensor = TensorProto(dtype=dtype, tensor_shape=_shape(shape))
    if dtype == DataType.DT_STRING:
        strings = _split(data, where)
        _check_count(len(strings), shape, where)
        tensor.string_val.extend(strings)
        return tensor
    wanted = math.prod(shape) * _size(dtype)
    if len(data) != wanted:
        datatype = DATATYPES[dtype]
        raise JsonError(f"{where}: {len(data)} bytes, where {datatype} of shape {list(shape)} has {wanted}")
    tensor.tensor_content = bytes(data)
    return tensor


def to_json(tensor: TensorProto, where: str) -> Any:
    """Return the elements in row-major order: as a flat list, if many as an iterator for `json_text.dump`.

    Raises:
        FormError: BF16, a type that the protocol lacks, or (when they are read) bytes that are no text.
        ResponseError: an incomplete tensor.
    """
    _check_known(tensor, where)
    if tensor.dtype == DataType.DT_BFLOAT16:
        raise FormError(f"{where}: BF16 has no form in JSON, ask for it with binary_data")
    try:
        check_form(tensor)
        shape = shape_of(tensor)
        stored = cast(Any, reader(tensor, shape))
    except ResponseError as error:
        raise type(error)(f"{where}: {error}") from error
    except TensorError as error:
        raise ResponseError(f"{where}: {error}") from error
    dtype = tensor.dtype

    def read(start: int, stop: int) -> list[Json]:
        if dtype == DataType.DT_STRING:
            return _texts(stored(start, stop), where)
        if dtype in (DataType.DT_FLOAT, DataType.DT_HALF):
            return [shortest(number, dtype) for number in stored(start, stop)]
        return list(stored(start, stop))

    return nested(((math.prod(shape),), read))


def to_binary(tensor: TensorProto, where: str) -> bytes:
    """Return the elements as binary data: `tensor_content`, or packed from the typed field.

    Raises:
        FormError: a type that the protocol doesn't have.
        ResponseError: an incomplete tensor.
    """
    _check_known(tensor, where)
    try:
        shape, dtype = shape_of(tensor), tensor.dtype
        count = math.prod(shape)
        if dtype == DataType.DT_STRING:
            strings = cast("Callable[[int, int], Sequence[bytes]]", reader(tensor, shape))
            return b"".join([_joined(strings(start, stop)) for start, stop in pieces(count)])
        if content := content_of(tensor, count, _size(dtype)):
            return content
        bits = dtype == DataType.DT_BFLOAT16
        code, read = (
            ("H", bfloat16_reader(tensor, shape)) if bits else (element_of(dtype).code, reader(tensor, shape))
        )
        return b"".join(
            [struct.pack(f"<{stop - start}{code}", *read(start, stop)) for start, stop in pieces(count)]
        )
    except (TensorError, struct.error) as error:
        raise ResponseError(f"{where}: {error}") from error


def _texts(strings: Sequence[bytes], where: str) -> list[Json]:
    try:
        return [one.decode() for one in strings]
    except UnicodeDecodeError as error:
        raise FormError(f"{where}: the bytes are no text, ask for it with binary_data") from error


def _joined(strings: Sequence[bytes]) -> bytes:
    return b"".join([part for one in strings for part in (_LENGTH.pack(len(one)), one)])


def _split(data: memoryview, where: str) -> list[bytes]:
    strings: list[bytes] = []
    offset = 0
    while offset < len(data):
        start = offset + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, offset)[0] if start <= len(data) else start
        if end > len(data):
            raise JsonError(f"{where}: element {len(strings)} of the binary data ends after the data")
        if len(strings) == MOST_STRINGS:
            raise TooMuchError(f"{where}: more than {MOST_STRINGS} strings, as many as are allowed")
        strings.append(bytes(data[start:end]))
        offset = end
    return strings


def _size(dtype: DataType) -> int:
    if dtype == DataType.DT_BFLOAT16:
        return 2
    return struct.calcsize(f"<{element_of(dtype).code}")


def _shape(shape: Sequence[int]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])


def _check_count(given: int, shape: Sequence[int], where: str) -> None:
    if given != math.prod(shape):
        raise JsonError(f"{where}: {given} elements, where the shape {list(shape)} has {math.prod(shape)}")


def _check_known(tensor: TensorProto, where: str) -> None:
    if tensor.dtype not in DATATYPES:
        known = tensor.dtype in DataType.values()
        raise (FormError if known else ResponseError)(
            f"{where}: the protocol has no datatype for {datatype_of(tensor.dtype)}"
        )
