"""A signature's inputs as tensors and its outputs as arrays, the same for every transport."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_client._casting import BFLOAT16, from_bfloat16, to_bfloat16, to_numbers, to_strings
from keraserve_client._errors import InvalidInput, InvalidResponse, NotSupported
from keraserve_client._types import Arrays, Signature, TensorSpec
from keraserve_protocol import tensors
from keraserve_protocol.json_text import JsonError
from keraserve_protocol.messages import DataType, TensorProto
from keraserve_protocol.open_inference_tensors import to_binary

Array = npt.NDArray[Any]
Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]
Tensors = Mapping[str, TensorProto]


def fit(inputs: Inputs, signature: Signature) -> dict[str, TensorProto]:
    """Name the inputs and cast them to the dtypes of the signature.

    Args:
        inputs: an array or nested lists for a signature with one input; by name for another.
        signature: what the model takes.

    Raises:
        InvalidInput: missing or unknown names, or values that the dtype can't hold.
        NotSupported: an input or output of a type that no array holds.
    """
    wanted = signature.inputs
    if isinstance(inputs, Mapping):
        given = inputs
    elif len(wanted) == 1:
        given = {next(iter(wanted)): inputs}
    else:
        raise InvalidInput(f"the signature has {len(wanted)} inputs, give them by name: {_names(wanted)}")
    if set(given) != set(wanted):
        instead = f", not {_names(given)}" if given else ": none is given"
        raise InvalidInput(f"the signature's inputs are {_names(wanted)}{instead}")
    for kind, specs in (("input", wanted), ("output", signature.outputs)):
        for name, spec in specs.items():
            if spec.numpy is None and spec.dtype != BFLOAT16:
                raise NotSupported(
                    f"{kind} {name!r} is {spec.dtype}, which numpy doesn't have; "
                    "export the model with a signature that casts it"
                )
    return {name: _tensor(given[name], wanted[name], name) for name in wanted}


def read(outputs: Tensors, signature: Signature) -> Arrays:
    """Read the outputs as arrays that the caller may write to.

    Raises:
        InvalidResponse: other outputs than the signature's, or broken tensors.
    """
    if set(outputs) != set(signature.outputs):
        raise InvalidResponse(
            f"the response doesn't have the signature's outputs: {_names(signature.outputs)}"
        )
    try:
        return {name: _array(outputs[name], name) for name in sorted(outputs)}
    except (tensors.TensorError, JsonError) as error:
        raise InvalidResponse(f"an output is no tensor: {error}") from error


def _names(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"


def _tensor(values: npt.ArrayLike, spec: TensorSpec, name: str) -> TensorProto:
    where = f"input {name!r}"
    if spec.dtype == "string":
        return tensors.to_proto(to_strings(values, where))
    array = to_numbers(values, spec.dtype, f"{where} is {spec.dtype}")
    if spec.dtype == BFLOAT16:
        proto = tensors.to_proto(to_bfloat16(array))
        proto.dtype = DataType.DT_BFLOAT16
        return proto
    return tensors.to_proto(array)


def _array(proto: TensorProto, name: str) -> Array:
    if proto.dtype == DataType.DT_BFLOAT16:
        bits = np.frombuffer(to_binary(proto, f"output {name!r}"), "<u2")
        return from_bfloat16(bits).reshape([dim.size for dim in proto.tensor_shape.dim])
    array = tensors.from_proto(proto)
    return array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable)
