"""Write responses of the Open Inference Protocol v2, with the binary tensor extension: for servers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keraserve_protocol import json_text
from keraserve_protocol import messages as m
from keraserve_protocol.json_text import ResponseError
from keraserve_protocol.open_inference import Inference
from keraserve_protocol.open_inference_tensors import datatype_of, to_binary, to_json


@dataclass(frozen=True)
class Reply:
    """A response to `infer` in parts, to be sent one after the other.

    Attributes:
        header: the JSON.
        data: the binary data of each output sent as such.
    """

    header: bytes
    data: tuple[bytes, ...]


def reply(inference: Inference, response: m.PredictResponse) -> Reply:
    """Write the response to `infer`, its outputs in the requested order, else by name.

    Raises:
        FormError: an output that does not have the requested form, or none in the protocol.
        ResponseError: no outputs, a missing one, or an incomplete tensor.
    """
    if not response.outputs:
        raise ResponseError("the model gave no outputs")
    described: list[dict[str, Any]] = []
    data: list[bytes] = []
    for name in inference.outputs or sorted(response.outputs):
        where = f"output {name!r}"
        if name not in response.outputs:
            raise ResponseError(f"the model gave no {where}")
        tensor = response.outputs[name]
        one: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(tensor.dtype),
            "shape": [dim.size for dim in tensor.tensor_shape.dim],
        }
        if inference.outputs.get(name, inference.binary):
            data.append(to_binary(tensor, where))
            one["parameters"] = {"binary_data_size": len(data[-1])}
        else:
            one["data"] = to_json(tensor, where)
        described.append(one)
    spec = response.model_spec
    document: dict[str, Any] = {"model_name": spec.name}
    version = m.version_of(spec)
    if version is not None:
        document["model_version"] = str(version)
    if inference.id is not None:
        document["id"] = inference.id
    return Reply(json_text.dump({**document, "outputs": described}), tuple(data))


def model_metadata(name: str, versions: Sequence[int], signature: m.SignatureDef) -> bytes:
    """Describe a signature of a model as if it were the model; `versions` are those that serve."""
    return json_text.dump(
        {
            "name": name,
            "versions": [str(version) for version in versions],
            "platform": "tensorflow_savedmodel",
            "inputs": _described(signature.inputs),
            "outputs": _described(signature.outputs),
        }
    )


def shape(info: m.TensorInfo) -> list[int]:
    """Return the shape of a signature's tensor, -1 for any size; [-1] for an unknown rank."""
    return [-1] if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]


def _described(tensors: Mapping[str, m.TensorInfo]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype_of(tensors[name].dtype), "shape": shape(tensors[name])}
        for name in sorted(tensors)
    ]
