"""An example of a request, for the model card: whoever sees it can send it, and put other values into it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from keraserve_protocol.json_tensors import from_tensor, nested
from keraserve_protocol.json_text import JsonError
from keraserve_protocol.tensors import TensorError, to_proto

_MOST_BYTES = 4096


def of(signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The body of `POST …:predict` with these arrays.

    Returns:
        The card's entry `example`; none where the arrays are large, or have no form in JSON (complex).
    """
    try:
        written = {name: nested(from_tensor(to_proto(value), binary=False)) for name, value in inputs.items()}
    except (JsonError, TensorError):
        return {}
    body = {"signature_name": signature, "inputs": written}
    return {"example": body} if len(json.dumps(body)) <= _MOST_BYTES else {}
