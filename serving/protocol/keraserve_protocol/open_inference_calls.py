"""Write requests of the Open Inference Protocol v2 and read the responses, all tensors as binary data."""

import json
from collections.abc import Mapping
from typing import Any, cast

from keraserve_protocol.json_text import JsonError
from keraserve_protocol.messages import TensorProto
from keraserve_protocol.open_inference import SIGNATURE
from keraserve_protocol.open_inference_tensors import datatype_of, dtype_of, from_binary, to_binary


def infer_request(signature: str, inputs: Mapping[str, TensorProto]) -> tuple[bytes, int]:
    """Write an `infer` request with its tensors as binary data, that requests binary data.

    Returns:
        The body, and how many bytes of it are JSON.

    Raises:
        JsonError: an incomplete tensor, or a type that the protocol doesn't have.
    """
    data = {name: to_binary(tensor, f"input {name!r}") for name, tensor in inputs.items()}
    described = [
        {
            "name": name,
            "shape": [dim.size for dim in tensor.tensor_shape.dim],
            "datatype": datatype_of(tensor.dtype),
            "parameters": {"binary_data_size": len(data[name])},
        }
        for name, tensor in inputs.items()
    ]
    parameters = {SIGNATURE: signature, "binary_data_output": True}
    document = {"parameters": parameters, "inputs": described}
    header = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join((header, *data.values())), len(header)


def infer_outputs(body: bytes, header_length: int | None) -> dict[str, TensorProto]:
    """Read the outputs of a response to `infer_request`.

    Args:
        body: of the response.
        header_length: how many bytes of it are JSON; None: all, so that there is no output.

    Raises:
        JsonError: no response to `infer`, or an output without binary data of its shape and datatype.
    """
    try:
        return _outputs(body, len(body) if header_length is None else header_length)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise error if isinstance(error, JsonError) else JsonError("no response to infer") from error


def _outputs(body: bytes, length: int) -> dict[str, TensorProto]:
    document = cast("dict[str, Any]", json.loads(body[:length]))
    data, start = memoryview(body)[length:], 0
    outputs: dict[str, TensorProto] = {}
    for one in document["outputs"]:
        name, size = str(one["name"]), int(one["parameters"]["binary_data_size"])
        where = f"output {name!r}"
        if not 0 <= size <= len(data) - start:
            raise JsonError(f"{where} has {size} bytes, and {len(data) - start} are left")
        shape = [int(length) for length in one["shape"]]
        tensor = data[start : start + size]
        outputs[name] = from_binary(tensor, shape, dtype_of(str(one["datatype"]), where), where)
        start += size
    if start < len(data):
        raise JsonError(f"{len(data) - start} bytes belong to no output")
    return outputs
