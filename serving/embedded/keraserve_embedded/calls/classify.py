"""Classify, Regress and MultiInference: serialized tf.Examples in, classes or numbers out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_embedded.calls.predict import responding_spec
from keraserve_embedded.calls.request_limits import DEFAULT_LIMITS, RequestLimits
from keraserve_embedded.calls.work import Call, Work
from keraserve_embedded.errors import InvalidRequestError, UnsupportedError
from keraserve_embedded.models import tensors
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import CLASSIFY_METHOD, REGRESS_METHOD, Signature
from keraserve_embedded.quiet_tensorflow import tf
from keraserve_protocol.messages import (
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
    DataType,
    InferenceTask,
    Input,
    MultiInferenceRequest,
    MultiInferenceResponse,
    RegressionRequest,
    RegressionResponse,
    RegressionResult,
)
from keraserve_protocol.signatures import DEFAULT_SIGNATURE
from keraserve_protocol.tensors import Array

_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"


def classify(
    version: LoadedVersion, request: ClassificationRequest, limits: RequestLimits = DEFAULT_LIMITS
) -> Call[ClassificationResponse]:
    """Answer one ClassificationRequest on a signature that maps `inputs` to `classes`, `scores` or both.

    Raises:
        InvalidRequestError: no such signature, one of another form, no examples, or too many.
        ExecutionError: the graph failed.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _signature(version, name)
    _check_form(signature, "classification", (_CLASSES, _SCORES), most=2)
    examples = _examples(request.input, limits)
    results = yield _work(signature, examples)
    classes, scores = results.get(_CLASSES), results.get(_SCORES)
    _check_table(classes, "classes", np.object_, len(examples))
    _check_table(scores, "scores", np.float32, len(examples))
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise InvalidRequestError(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    response = ClassificationResponse(model_spec=responding_spec(version, name))
    response.result.SetInParent()
    _fill(response.result, _rows(classes), _rows(scores), len(examples))
    return response


def regress(
    version: LoadedVersion, request: RegressionRequest, limits: RequestLimits = DEFAULT_LIMITS
) -> Call[RegressionResponse]:
    """Answer one RegressionRequest on a signature that maps `inputs` to `outputs`, one float32 per example.

    Raises:
        InvalidRequestError: no such signature, one of another form, no examples, or too many.
        ExecutionError: the graph failed.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _signature(version, name)
    _check_form(signature, "regression", (_OUTPUTS,), most=1)
    examples = _examples(request.input, limits)
    output = (yield _work(signature, examples))[_OUTPUTS]
    if output.dtype != np.float32:
        raise InvalidRequestError(f"Expected output Tensor of DT_FLOAT.  Got: {_type(output.dtype)}")
    if output.shape not in ((len(examples),), (len(examples), 1)):
        raise InvalidRequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {output.shape}"
        )
    response = RegressionResponse(model_spec=responding_spec(version, name))
    response.result.CopyFrom(RegressionResult())
    for value in output.reshape(-1).tolist():
        response.result.regressions.add(value=value)
    return response


def multi_inference(
    version: LoadedVersion, request: MultiInferenceRequest, limits: RequestLimits = DEFAULT_LIMITS
) -> Call[MultiInferenceResponse]:
    """Run the tasks of one MultiInferenceRequest, each a classification or a regression of the same input.

    Raises:
        InvalidRequestError: tasks of several models, or the same signature twice; else as `classify`.
        UnsupportedError: a task with another method name.
        ExecutionError: the graph failed.
    """
    signatures = [task.model_spec.signature_name or DEFAULT_SIGNATURE for task in request.tasks]
    for position, (task, signature) in enumerate(zip(request.tasks, signatures, strict=True)):
        if not task.model_spec.name:
            raise InvalidRequestError("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise InvalidRequestError(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if signature in signatures[:position]:
            raise InvalidRequestError(f"Duplicate evaluation of signature: {signature}")
        if signature not in version.signatures:
            raise InvalidRequestError(f"Requested signature not found in model graph: {signature}")
    response = MultiInferenceResponse()
    for task in request.tasks:
        yield from _run_task(version, task, request.input, response, limits)
    return response


def _run_task(
    version: LoadedVersion,
    task: InferenceTask,
    given: Input,
    response: MultiInferenceResponse,
    limits: RequestLimits,
) -> Call[None]:
    if task.method_name == CLASSIFY_METHOD:
        classification = ClassificationRequest(model_spec=task.model_spec, input=given)
        classified = yield from classify(version, classification, limits)
        response.results.add(model_spec=classified.model_spec, classification_result=classified.result)
    elif task.method_name == REGRESS_METHOD:
        regression = RegressionRequest(model_spec=task.model_spec, input=given)
        regressed = yield from regress(version, regression, limits)
        response.results.add(model_spec=regressed.model_spec, regression_result=regressed.result)
    else:
        raise UnsupportedError(f"Unsupported signature method_name: {task.method_name}")


def _signature(version: LoadedVersion, name: str) -> Signature:
    signature = version.signatures.get(name)
    if signature is None:
        raise InvalidRequestError(f"No signature was found with the name: {name}")
    return signature


def _check_form(signature: Signature, kind: str, outputs: tuple[str, ...], *, most: int) -> None:
    if len(signature.inputs) != 1:
        raise InvalidRequestError("Expected one input Tensor.")
    if not 1 <= len(signature.outputs) <= most:
        number = "one" if most == 1 else "one or two"
        raise InvalidRequestError(f"Expected {number} output Tensors, found {len(signature.outputs)}")
    if signature.inputs[0] != _INPUTS:
        raise InvalidRequestError(
            f"No {kind} inputs found in SignatureDef: its input is {signature.inputs[0]!r}, not {_INPUTS!r}"
        )
    if not set(outputs) & set(signature.outputs):
        wanted = " or ".join(f'"{name}"' for name in outputs)
        raise InvalidRequestError(
            f"Expected {kind} signature outputs to contain at least one of {wanted}. "
            f"Its outputs are: {', '.join(signature.outputs)}"
        )


def _examples(given: Input, limits: RequestLimits) -> Array:
    """Give the serialized tf.Examples, string [N]; a context's features stand before each example's."""
    examples: Sequence[bytes] = given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        nested = given.example_list_with_context
        limits.check_rows(len(nested.examples), _INPUTS)
        limits.check_context(nested.context, len(nested.examples))
        # Two serialized messages, one after the other, parse as their union.
        examples = [nested.context + example for example in nested.examples]
    limits.check_rows(len(examples), _INPUTS)
    if not examples:
        raise InvalidRequestError("Input is empty.")
    array = np.empty(len(examples), dtype=object)
    array[:] = examples
    return array


def _work(signature: Signature, examples: Array) -> Work:
    info = signature.definition.inputs[_INPUTS]
    if info.dtype != DataType.DT_STRING:
        raise InvalidRequestError(
            f"Expects arg[0] to be {tensors.type_name(info.dtype)} but string is provided"
        )
    return Work(signature, {_INPUTS: examples})


def _check_table(table: Array | None, name: str, dtype: npt.DTypeLike, examples: int) -> None:
    """Check that a result is a table [examples, classes] of `dtype`."""
    if table is None:
        return
    if len(table.shape) != 2:
        raise InvalidRequestError(f"Expected Tensor shape: [batch_size num_classes] but got {table.shape}")
    if table.dtype != dtype:
        raise InvalidRequestError(f"Expected {name} Tensor of {_type(dtype)}. Got: {_type(table.dtype)}")
    if table.shape[0] != examples:
        raise InvalidRequestError(f"Expected {name} output batch size of {examples}. Got: {table.shape[0]}")


def _rows(table: Array | None) -> list[list[Any]] | None:
    return None if table is None else table.tolist()


def _fill(
    result: ClassificationResult,
    labels: list[list[bytes]] | None,
    scores: list[list[float]] | None,
    count: int,
) -> None:
    for row in range(count):
        classes = result.classifications.add().classes
        for column in range(len((labels or scores or [[]])[row])):
            one = classes.add()
            if labels is not None:
                # The field is a string: bytes that are no text can't be sent, whatever the model says.
                one.label = labels[row][column].decode(errors="replace")
            if scores is not None:
                one.score = scores[row][column]


def _type(dtype: npt.DTypeLike) -> str:
    return DataType.Name(tf.dtypes.as_dtype(dtype).as_datatype_enum)
