"""Parse requests of the Open Inference Protocol v2, with the binary tensor extension.

A body is JSON; with the extension, the binary data of its tensors follows, in their order, and the header
`Inference-Header-Content-Length` says how long the JSON is.
"""

from dataclasses import dataclass
from typing import Any, cast

from keraserve_protocol import messages as m
from keraserve_protocol.json_text import Json, JsonError, load
from keraserve_protocol.open_inference_tensors import dtype_of, from_binary, from_json

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON; binary data follows."""

SIGNATURE = "signature_name"
"""The parameter of a request that names the signature: our extension, as the protocol has no signatures."""

_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 1 << 31

_CURL = " (curl: use --data-binary)"
_LONGEST = 1 << 62  # microseconds: larger integers may have no float


@dataclass(frozen=True)
class Inference:
    """An `infer` request.

    Attributes:
        id: repeated in the response.
        signature: the value of the parameter, if given.
        inputs: the tensors by name, not yet compared with a signature.
        outputs: the requested outputs, each with whether as binary data; empty for all.
        binary: whether outputs that are not named are sent as binary data.
        timeout: in seconds, from the parameter `timeout` (microseconds), if given.
    """

    id: str | None
    signature: str | None
    inputs: dict[str, m.TensorProto]
    outputs: dict[str, bool]
    binary: bool
    timeout: float | None


def parse(body: bytes, header_length: int | None) -> Inference:
    """Parse the body of `infer`; `header_length` is how many bytes of it are the JSON (None: all).

    Raises:
        JsonError: the body does not follow the protocol; the message says where.
    """
    if header_length is not None and header_length > len(body):
        raise JsonError(
            f"Inference-Header-Content-Length is {header_length}, the body has {len(body)} bytes{_CURL}"
        )
    document = load(body if header_length is None else body[:header_length])
    parameters = _parameters(document, "the request")
    for absent in _given(parameters, "sequence_id", "sequence_start", "sequence_end"):
        raise JsonError(f"the request: sequences are not offered ({absent!r})")
    data = memoryview(body)[len(body) if header_length is None else header_length :]
    binary = bool(_typed(parameters, "binary_data_output", bool, "the request"))
    timeout = _typed(parameters, "timeout", int, "the request")
    if timeout is not None and timeout < 0:
        raise JsonError("the request: 'timeout' has to be 0 or more microseconds")
    return Inference(
        id=_typed(document, "id", str, "the request"),
        signature=_typed(parameters, SIGNATURE, str, "the request"),
        inputs=_inputs(_objects(document, "inputs"), data),
        outputs=_outputs(document, binary=binary),
        binary=binary,
        timeout=min(timeout, _LONGEST) / 1e6 if timeout else None,
    )


def _inputs(objects: list[dict[str, Json]], data: memoryview) -> dict[str, m.TensorProto]:
    tensors: dict[str, m.TensorProto] = {}
    used = 0
    for index, one in enumerate(objects):
        name = _named(one, f"inputs[{index}]")
        if name in tensors:
            raise JsonError(f"input {name!r} is there twice")
        tensors[name], used = _tensor(one, f"input {name!r}", data, used)
    if used < len(data):
        raise JsonError(f"{len(data) - used} bytes of binary data belong to no input")
    return tensors


def _tensor(one: dict[str, Json], where: str, data: memoryview, used: int) -> tuple[m.TensorProto, int]:
    """Read an input; `used` bytes of the binary data belong to those before it."""
    parameters = _parameters(one, where)
    if _given(parameters, "shared_memory_region"):
        raise JsonError(f"{where}: shared memory is not offered, send the data")
    dtype = dtype_of(_typed(one, "datatype", str, where, needed=True), where)
    size = _typed(parameters, "binary_data_size", int, where)
    if (size is None) == (one.get("data") is None):
        raise JsonError(f"{where}: give either 'data' or the parameter 'binary_data_size'")
    if size is None:
        return from_json(one["data"], _shape(one, where), dtype, where), used
    if not 0 <= size <= len(data) - used:
        raise JsonError(f"{where}: binary_data_size is {size}, and {len(data) - used} bytes are left{_CURL}")
    return from_binary(data[used : used + size], _shape(one, where), dtype, where), used + size


def _shape(one: dict[str, Json], where: str) -> list[int]:
    sizes = one.get("shape")
    if not isinstance(sizes, list) or not all(type(size) is int and size >= 0 for size in sizes):
        raise JsonError(f"{where}: 'shape' has to be a list of whole numbers, 0 or more")
    numbers = cast("list[int]", sizes)
    elements = 1
    for size in numbers:
        elements *= max(size, 1)
        if elements > _MOST_ELEMENTS or len(numbers) > _MOST_DIMENSIONS:
            raise JsonError(f"{where}: the shape is too large")
    return numbers


def _outputs(document: dict[str, Json], *, binary: bool) -> dict[str, bool]:
    wanted: dict[str, bool] = {}
    for index, one in enumerate([] if document.get("outputs") is None else _objects(document, "outputs")):
        name = _named(one, f"outputs[{index}]")
        where = f"output {name!r}"
        if name in wanted:
            raise JsonError(f"{where} is there twice")
        parameters = _parameters(one, where)
        for absent in _given(parameters, "shared_memory_region", "classification"):
            raise JsonError(f"{where}: the parameter {absent!r} is not offered")
        said = _typed(parameters, "binary_data", bool, where)
        wanted[name] = binary if said is None else said
    return wanted


def _objects(document: dict[str, Json], key: str) -> list[dict[str, Json]]:
    listed = document.get(key)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise JsonError(f"'{key}' has to be a list of objects")
    return cast("list[dict[str, Json]]", listed)


def _parameters(one: dict[str, Json], where: str) -> dict[str, Json]:
    return _typed(one, "parameters", dict, where) or {}


def _given(parameters: dict[str, Json], *names: str) -> list[str]:
    return [name for name in names if parameters.get(name) is not None]


def _named(one: dict[str, Json], where: str) -> str:
    return _typed(one, "name", str, where, needed=True)


_KINDS: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false", dict: "an object"}


def _typed(one: dict[str, Json], key: str, kind: type[Any], where: str, *, needed: bool = False) -> Any:
    """Return the value of a key; None if it is absent or null, as some clients write it, and not needed."""
    value = one.get(key)
    if value is None and not needed:
        return None
    if type(value) is not kind:
        raise JsonError(f"{where}: {key!r} has to be {_KINDS[kind]}")
    return value
