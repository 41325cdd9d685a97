"""The JSON of TensorFlow Serving's REST API to and from the messages.

The format is that of TensorFlow Serving's documentation ("RESTful API") and, where it says nothing, of
its server: `results` as the key of `:classify` and `:regress`, every primitive field in the responses of
status and metadata, 64-bit integers as strings in those two.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, TypeVar, cast

import grpc
from google.protobuf import json_format

from keraserve_protocol import messages as m
from keraserve_protocol import number_text
from keraserve_protocol.elements import PIECE
from keraserve_protocol.examples import example
from keraserve_protocol.json_tensors import (
    JsonElements,
    from_tensor,
    is_binary,
    nested,
    pack_numbers,
    to_tensor,
)
from keraserve_protocol.json_tensors import shortest as shortest
from keraserve_protocol.json_text import FormError as FormError
from keraserve_protocol.json_text import Json, dump, load
from keraserve_protocol.json_text import JsonError as JsonError
from keraserve_protocol.json_text import ResponseError as ResponseError
from keraserve_protocol.json_text import TooMuchError as TooMuchError
from keraserve_protocol.number_text import NumberText, PackedNumbers, Steps
from keraserve_protocol.signatures import DEFAULT_SIGNATURE

HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""The HTTP status of TensorFlow Serving's REST port for a gRPC status."""

ExamplesRequest = TypeVar("ExamplesRequest", m.ClassificationRequest, m.RegressionRequest)
_RESULTS = 16  # that are written at once: each may have a thousand classes
_CODE_NAMES = {cast("tuple[int, str]", code.value)[0]: code.name for code in grpc.StatusCode}


class Layout(Enum):
    """How the tensors of a `:predict` are laid out: `instances` (rows) or `inputs` (columns)."""

    ROWS = "instances"
    COLUMNS = "inputs"


@dataclass(frozen=True)
class Prediction:
    """The body of a `:predict`, before the signature's dtypes are known."""

    signature: str
    layout: Layout
    value: Json | NumberText | PackedNumbers


def parse_prediction(body: bytes) -> Prediction:
    """Parse the body of `:predict`.

    Raises:
        JsonError: no JSON object, both or neither of `instances` and `inputs`, or no instance.
    """
    return find_numbers(body) or parse_whole(body)


def parse_whole(body: bytes) -> Prediction:
    """Parse the body of `:predict`, every value of it.

    Raises:
        JsonError: as `parse_prediction`.
    """
    document = load(body)
    given = [layout for layout in Layout if layout.value in document]
    if len(given) != 1:
        raise JsonError("give either 'instances' or 'inputs'" + (", not both" if given else ""))
    value = document[given[0].value]
    if given[0] is Layout.ROWS and not (isinstance(value, list) and value):
        raise JsonError("'instances' has to be a list of at least one instance")
    return Prediction(_signature(document) or DEFAULT_SIGNATURE, given[0], value)


def find_numbers(body: bytes) -> Prediction | None:
    """Parse the body of `:predict` if it has one large list of numbers only; they are not read yet."""
    found = number_text.find(body)
    if found is None:
        return None
    return Prediction(found.signature or DEFAULT_SIGNATURE, Layout(found.layout), found.numbers)


def pack(prediction: Prediction, inputs: Mapping[str, m.TensorInfo]) -> Steps[Prediction]:
    """Replace the text of a large list by a tensor's content, if the list is regular.

    If it is not, the whole body has to be parsed (`parse_whole`), which may name another signature: what
    looked like one list may be several values.

    Args:
        prediction: the parsed body.
        inputs: the signature's inputs; if there is one, it gives the dtype.

    Raises:
        JsonError: a regular list with more numbers than are allowed.
    """
    if not isinstance(prediction.value, NumberText) or len(inputs) != 1:
        return prediction
    [info] = inputs.values()
    packed = yield from pack_numbers(prediction.value, info.dtype)
    return Prediction(prediction.signature, prediction.layout, packed) if packed else prediction


def predict_request(
    prediction: Prediction, inputs: Mapping[str, m.TensorInfo], spec: m.ModelSpec
) -> m.PredictRequest:
    """Build the message of a `:predict`.

    Args:
        prediction: the parsed body; large lists should have gone through `pack`, which is much faster.
        inputs: the signature's inputs, which give the dtypes.
        spec: model and version; the signature's name is set from the body.

    Raises:
        JsonError: values that don't fit the signature; the message says which.
    """
    value = prediction.value
    if isinstance(value, NumberText):
        whole = parse_whole(value.body)
        if whole.signature != prediction.signature:
            raise JsonError(f"the inputs are those of another signature than {whole.signature!r}")
        value = cast(Json, whole.value)
    request = m.PredictRequest(model_spec=spec)
    request.model_spec.signature_name = prediction.signature
    if not inputs:
        if prediction.layout is Layout.COLUMNS and value == {}:
            return request
        raise JsonError(f'signature {prediction.signature!r} has no inputs: ask it with "inputs": {{}}')
    for name, given in _named(value, prediction.layout, sorted(inputs)).items():
        where = f"{prediction.layout.value}: {name}"
        if isinstance(given, PackedNumbers):
            given.fill(request.inputs[name])
        else:
            request.inputs[name].CopyFrom(to_tensor(given, inputs[name].dtype, where))
    return request


def predict_response(response: m.PredictResponse, layout: Layout) -> bytes:
    """Write the response to a `:predict`: `predictions` for rows, `outputs` for columns.

    A single output is written without its name; outputs whose names end in `_bytes` are base64, and so is
    every string that is no UTF-8.

    Raises:
        FormError: an output that JSON can't represent.
        ResponseError: no outputs, or an incomplete tensor.
        JsonError: (rows) outputs that don't share their first dimension.
    """
    if not response.outputs:
        raise ResponseError("the model gave no outputs")
    outputs = {name: _output(name, response.outputs[name]) for name in sorted(response.outputs)}
    if layout is Layout.COLUMNS:
        values = {name: nested(elements) for name, elements in outputs.items()}
        return dump({"outputs": values if len(values) > 1 else next(iter(values.values()))})
    sizes = {name: shape[0] if shape else None for name, (shape, _) in outputs.items()}
    [count, *others] = set(sizes.values())
    if count is None or others:
        raise JsonError(f"the outputs have no common batch dimension; ask with 'inputs' instead: {sizes}")
    if len(outputs) == 1:
        return dump({"predictions": nested(next(iter(outputs.values())))})
    size = sum(math.prod(shape[1:]) for shape, _ in outputs.values())  # of a row
    if count * size <= PIECE:
        return dump({"predictions": _rows(outputs, 0, count)})
    return dump({"predictions": _rows_in_pieces(outputs, count, size)})


def _rows_in_pieces(outputs: Mapping[str, JsonElements], count: int, size: int) -> Iterator[Any]:
    if size > PIECE:
        for row in range(count):
            yield {
                name: nested((shape[1:], read), row * math.prod(shape[1:]))
                for name, (shape, read) in outputs.items()
            }
        return
    for start in range(0, count, PIECE // size):
        yield _rows(outputs, start, min(start + PIECE // size, count))


def _rows(outputs: Mapping[str, JsonElements], start: int, stop: int) -> list[dict[str, Json]]:
    columns = [
        nested(((stop - start, *shape[1:]), read), start * math.prod(shape[1:]))
        for shape, read in outputs.values()
    ]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _output(name: str, tensor: m.TensorProto) -> JsonElements:
    try:
        return from_tensor(tensor, binary=name.endswith("_bytes"))
    except ResponseError as error:
        raise type(error)(f"output {name!r}: {error}") from error


def classification_request(
    body: bytes, spec: m.ModelSpec, most: int | None = None
) -> m.ClassificationRequest:
    """Build the message of a `:classify` from `examples`, `most` at most, and an optional `context`.

    Raises:
        JsonError: the body is not of that form.
    """
    return _with_examples(m.ClassificationRequest(model_spec=spec), load(body), most)


def regression_request(body: bytes, spec: m.ModelSpec, most: int | None = None) -> m.RegressionRequest:
    """Build the message of a `:regress`; as `classification_request`."""
    return _with_examples(m.RegressionRequest(model_spec=spec), load(body), most)


def classification_response(response: m.ClassificationResponse) -> bytes:
    """Write the response to a `:classify`: for every example a list of `[label, score]`."""
    found = response.result.classifications

    def results(start: int, stop: int) -> list[Json]:
        return [[[item.label, shortest(item.score)] for item in one.classes] for one in found[start:stop]]

    if len(found) <= _RESULTS:
        return dump({"results": results(0, _RESULTS)})
    starts = range(0, len(found), _RESULTS)
    return dump({"results": (results(start, start + _RESULTS) for start in starts)})


def regression_response(response: m.RegressionResponse) -> bytes:
    """Write the response to a `:regress`: one number for every example."""
    return dump({"results": [shortest(one.value) for one in response.result.regressions]})


def status_response(
    response: m.GetModelStatusResponse, warnings: Mapping[int, Sequence[str]] | None = None
) -> bytes:
    """Write the status of a model: `{"model_version_status": [{"version": "1", "state": …}]}`.

    Args:
        response: of the model server.
        warnings: by version; a version with warnings gets the field `"warnings": […]`, our extension.
    """
    versions: list[Json] = [
        {
            "version": str(one.version),
            "state": state_name(one.state),
            "status": {
                "error_code": _CODE_NAMES.get(one.status.error_code, str(one.status.error_code)),
                "error_message": one.status.error_message,
            },
            **({"warnings": list(own)} if (own := (warnings or {}).get(one.version)) else {}),
        }
        for one in response.model_version_status
    ]
    return dump({"model_version_status": versions})


def state_name(state: m.ModelVersionStatus.State) -> str:
    """Name a version's state: AVAILABLE, LOADING, …; an unknown state by its number."""
    known = m.ModelVersionStatus.State
    return known.Name(state) if state in known.values() else str(state)


def metadata_response(response: m.GetModelMetadataResponse) -> bytes:
    """Write the metadata of a model: its `model_spec`, and its signatures as protobuf's JSON.

    Raises:
        JsonError: the response carries no signatures.
    """
    try:
        signatures = _message(m.unpack_signatures(response))
    except ValueError as error:
        raise JsonError(str(error)) from error
    for signature in signatures["signature_def"].values():
        # TensorFlow Serving writes every field, and its SignatureDef has this additional one.
        signature["defaults"] = {}
    return dump({"model_spec": _message(response.model_spec), "metadata": {"signature_def": signatures}})


def error_response(message: str) -> bytes:
    """Write an error: `{"error": message}`."""
    return dump({"error": message})


def _signature(document: dict[str, Json]) -> str:
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise JsonError("'signature_name' has to be a string")
    return signature


def _named(
    value: Json | PackedNumbers, layout: Layout, names: list[str]
) -> Mapping[str, Json | PackedNumbers]:
    """Map each input to its value: by name, or one list for a single input."""
    if isinstance(value, PackedNumbers):
        return {names[0]: value}
    rows = cast("list[Json]", value) if layout is Layout.ROWS else [value]
    by_name = [isinstance(row, dict) and not is_binary(row) for row in rows]
    if not any(by_name):
        if len(names) > 1:
            raise JsonError(f"the signature has several inputs, give them by name: {', '.join(names)}")
        return {names[0]: value}
    if not all(by_name):
        raise JsonError(f"'instances' mixes objects and values, first at {by_name.index(not by_name[0])}")
    objects = cast("list[dict[str, Json]]", rows)
    for index, row in enumerate(objects):
        exact = layout is Layout.ROWS and row.keys() != set(names)
        if exact or not row.keys() >= set(names):
            place = f"instances[{index}]" if layout is Layout.ROWS else "'inputs'"
            raise JsonError(f"{place} has to have the keys {', '.join(names)}; it has {some(row)}")
    if layout is Layout.COLUMNS:
        return {name: objects[0][name] for name in names}
    return {name: [row[name] for row in objects] for name in names}


def some(names: Iterable[str]) -> str:
    """List at most ten names in a message, and at most 100 characters of each."""
    first = [name[:100] for name in islice(names, 11)]
    return ", ".join([*first[:10], "…"] if len(first) > 10 else first)


def _with_examples(request: ExamplesRequest, document: dict[str, Json], most: int | None) -> ExamplesRequest:
    """Fill a request with the document's examples, context and signature name."""
    listed = document.get("examples")
    if not isinstance(listed, list) or not listed:
        raise JsonError("'examples' has to be a list of at least one example")
    if most is not None and len(listed) > most:
        raise TooMuchError(f"{len(listed)} examples in a request, {most} are allowed (max_rows)")
    # Serialized one after the other: as a message each takes a hundred times its bytes.
    serialized = [example(value, f"examples[{index}]") for index, value in enumerate(listed)]
    if "context" in document:
        request.input.example_list_with_context.context = example(document["context"], "context")
        request.input.example_list_with_context.examples.extend(serialized)
    else:
        request.input.example_list.examples.extend(serialized)
    request.model_spec.signature_name = _signature(document)
    return request


def _message(message: m.Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
