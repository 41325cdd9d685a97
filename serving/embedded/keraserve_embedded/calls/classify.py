"""Classify, Regress and MultiInference: serialized tf.Examples in, classes or numbers out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from keraserve_embedded.calls.predict import responding_spec
from keraserve_embedded.calls.request_limits import DEFAULT_OPTIONS, CallOptions, RequestLimits
from keraserve_embedded.calls.work import Call, Results, Work
from keraserve_embedded.errors import InvalidRequestError, UnsupportedError
from keraserve_embedded.models import tensors
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import CLASSIFY_METHOD, REGRESS_METHOD, Signature
from keraserve_embedded.quiet_tensorflow import tf
from keraserve_protocol.messages import (
    ClassificationRequest,
    ClassificationResponse,
    DataType,
    InferenceTask,
    Input,
    MultiInferenceRequest,
    MultiInferenceResponse,
    RegressionRequest,
    RegressionResponse,
    version_of,
)
from keraserve_protocol.signatures import DEFAULT_SIGNATURE
from keraserve_protocol.tensors import Array

_INPUTS, _CLASSES, _SCORES, _OUTPUTS = "inputs", "classes", "scores", "outputs"
_DTYPES = {_CLASSES: np.object_, _SCORES: np.float32}


def classify(
    version: LoadedVersion, request: ClassificationRequest, options: CallOptions = DEFAULT_OPTIONS
) -> Call[ClassificationResponse]:
    """Run one ClassificationRequest on a signature that maps `inputs` to `classes`, `scores` or both.

    Raises:
        InvalidRequestError: no such signature, one of another form, no examples, or too many.
        ExecutionError: the graph failed.
    """
    name, count, results = yield from _run(version, request, "classification", (_CLASSES, _SCORES), options)
    tables = {output: results[output] for output in _DTYPES if output in results}
    for output, table in tables.items():
        _check_table(table, output, _DTYPES[output], count)
    columns = [table.shape[1] for table in tables.values()]
    if columns[0] != columns[-1]:
        raise InvalidRequestError(
            f"Tensors class and score should match in dim_size(1). Got {columns[0]} vs. {columns[1]}"
        )
    labels = tables[_CLASSES].tolist() if _CLASSES in tables else [[b""] * columns[0]] * count
    scores = tables[_SCORES].tolist() if _SCORES in tables else [[0.0] * columns[0]] * count
    response = ClassificationResponse(model_spec=responding_spec(version, name))
    response.result.SetInParent()
    for row in zip(labels, scores, strict=True):
        classes = response.result.classifications.add().classes
        for label, score in zip(*row, strict=True):
            # The field is a string: bytes that are no UTF-8 can't be sent.
            classes.add(label=label.decode(errors="replace"), score=score)
    return response


def regress(
    version: LoadedVersion, request: RegressionRequest, options: CallOptions = DEFAULT_OPTIONS
) -> Call[RegressionResponse]:
    """Run one RegressionRequest on a signature that maps `inputs` to `outputs`, one float32 for each example.

    Raises:
        InvalidRequestError: no such signature, one of another form, no examples, or too many.
        ExecutionError: the graph failed.
    """
    name, count, results = yield from _run(version, request, "regression", (_OUTPUTS,), options)
    output = results[_OUTPUTS]
    if output.dtype != np.float32:
        raise InvalidRequestError(f"Expected output Tensor of DT_FLOAT.  Got: {_type(output.dtype)}")
    if output.shape not in ((count,), (count, 1)):
        raise InvalidRequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {output.shape}"
        )
    response = RegressionResponse(model_spec=responding_spec(version, name))
    response.result.SetInParent()
    for value in output.reshape(-1).tolist():
        response.result.regressions.add(value=value)
    return response


def multi_inference(
    version: LoadedVersion, request: MultiInferenceRequest, options: CallOptions = DEFAULT_OPTIONS
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
        if _version(task) != _version(request.tasks[0]):  # TensorFlow Serving takes the first task's for all
            raise InvalidRequestError("All ModelSpecs in a MultiInferenceRequest must name the same version.")
        if signature in signatures[:position]:
            raise InvalidRequestError(f"Duplicate evaluation of signature: {signature}")
        if signature not in version.signatures:
            raise InvalidRequestError(f"Requested signature not found in model graph: {signature}")
    response = MultiInferenceResponse()
    for task in request.tasks:
        yield from _run_task(version, task, request.input, response, options)
    return response


def _version(task: InferenceTask) -> tuple[int | None, str]:
    return version_of(task.model_spec), task.model_spec.version_label


def _run_task(
    version: LoadedVersion,
    task: InferenceTask,
    given: Input,
    response: MultiInferenceResponse,
    options: CallOptions,
) -> Call[None]:
    if task.method_name == CLASSIFY_METHOD:
        classification = ClassificationRequest(model_spec=task.model_spec, input=given)
        classified = yield from classify(version, classification, options)
        response.results.add(model_spec=classified.model_spec, classification_result=classified.result)
    elif task.method_name == REGRESS_METHOD:
        regression = RegressionRequest(model_spec=task.model_spec, input=given)
        regressed = yield from regress(version, regression, options)
        response.results.add(model_spec=regressed.model_spec, regression_result=regressed.result)
    else:
        raise UnsupportedError(f"Unsupported signature method_name: {task.method_name}")


def _run(
    version: LoadedVersion,
    request: ClassificationRequest | RegressionRequest,
    kind: str,
    outputs: tuple[str, ...],
    options: CallOptions,
) -> Call[tuple[str, int, Results]]:
    """Run a signature on a request's examples; returns its name, the number of examples, and the results."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = version.signatures.get(name)
    if signature is None:
        raise InvalidRequestError(f"No signature was found with the name: {name}")
    _check_form(signature, kind, outputs)
    examples = _examples(request.input, options.limits)
    dtype = signature.definition.inputs[_INPUTS].dtype
    if dtype != DataType.DT_STRING:
        raise InvalidRequestError(f"Expects arg[0] to be {tensors.type_name(dtype)} but string is provided")
    results = yield Work(signature, {_INPUTS: examples})
    return name, len(examples), results


def _check_form(signature: Signature, kind: str, outputs: tuple[str, ...]) -> None:
    if len(signature.inputs) != 1:
        raise InvalidRequestError("Expected one input Tensor.")
    if not 1 <= len(signature.outputs) <= len(outputs):
        number = "one" if len(outputs) == 1 else "one or two"
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
    """Return the serialized tf.Examples, string [N], with a context's features before each example's."""
    examples: Sequence[bytes] = given.example_list.examples
    if given.WhichOneof("kind") == "example_list_with_context":
        nested = given.example_list_with_context
        limits.check_rows(len(nested.examples), _INPUTS)
        limits.check_context(nested.context, len(nested.examples))
        # Two concatenated serialized messages parse as their union.
        examples = [nested.context + example for example in nested.examples]
    limits.check_rows(len(examples), _INPUTS)
    if not examples:
        raise InvalidRequestError("Input is empty.")
    array = np.empty(len(examples), dtype=object)
    array[:] = examples
    return array


def _check_table(table: Array, name: str, dtype: npt.DTypeLike, examples: int) -> None:
    """Check that a result is a table [examples, classes] of `dtype`."""
    if len(table.shape) != 2:
        raise InvalidRequestError(f"Expected Tensor shape: [batch_size num_classes] but got {table.shape}")
    if table.dtype != dtype:
        raise InvalidRequestError(f"Expected {name} Tensor of {_type(dtype)}. Got: {_type(table.dtype)}")
    if table.shape[0] != examples:
        raise InvalidRequestError(f"Expected {name} output batch size of {examples}. Got: {table.shape[0]}")


def _type(dtype: npt.DTypeLike) -> str:
    return DataType.Name(tf.dtypes.as_dtype(dtype).as_datatype_enum)
