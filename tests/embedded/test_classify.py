"""Classify, Regress and MultiInference on one loaded version, without a network."""

from collections.abc import Callable
from typing import Any

import pytest
from embedded.requests import example, examples

from keraserve_embedded.calls import classify as calls
from keraserve_embedded.calls.classify import CLASSIFY_METHOD, REGRESS_METHOD
from keraserve_embedded.calls.work import finish
from keraserve_embedded.errors import EmbeddedError, ExecutionError, InvalidRequestError, UnsupportedError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_protocol.messages import (
    ClassificationRequest,
    ExampleListWithContext,
    InferenceTask,
    Input,
    MultiInferenceRequest,
    RegressionRequest,
    model_spec,
)

Load = Callable[[str], LoadedVersion]


def classify(version: LoadedVersion, made: ClassificationRequest) -> Any:
    return finish(calls.classify(version, made))


def regress(version: LoadedVersion, made: RegressionRequest) -> Any:
    return finish(calls.regress(version, made))


def multi_inference(version: LoadedVersion, made: MultiInferenceRequest) -> Any:
    return finish(calls.multi_inference(version, made))


def requested(given: Input, signature: str = "classify") -> ClassificationRequest:
    return ClassificationRequest(model_spec=model_spec("m", signature=signature), input=given)


def test_classes_with_scores(colours: LoadedVersion, red: bytes, green: bytes) -> None:
    response = classify(colours, requested(examples(example(image=red), example(image=green))))
    assert response.model_spec.signature_name == "classify"
    best = [max(one.classes, key=lambda c: c.score).label for one in response.result.classifications]
    assert best == ["red", "green"]
    assert [c.label for c in response.result.classifications[0].classes] == ["red", "green", "blue"]


def test_scores_alone(load: Load) -> None:
    (one,) = classify(
        load("regressor"), requested(examples(example(x=(0.25, 0.5))), "scores")
    ).result.classifications
    assert [(c.label, c.score) for c in one.classes] == [("", 0.25), ("", 0.5)]


def test_a_context_stands_for_every_example(colours: LoadedVersion, red: bytes) -> None:
    nested = ExampleListWithContext(examples=[b"", b""], context=example(image=red))
    response = classify(colours, requested(Input(example_list_with_context=nested)))
    assert len(response.result.classifications) == 2


def test_one_bad_example_is_named_by_its_place(colours: LoadedVersion, red: bytes) -> None:
    with pytest.raises(ExecutionError, match=r"^inputs\[1\]: Unknown image file format"):
        classify(colours, requested(examples(example(image=red), example(image=b"no image"))))
    with pytest.raises(ExecutionError, match="Could not parse example input"):
        classify(colours, requested(examples(b"no example")))


@pytest.mark.parametrize(
    ("signature", "given", "said"),
    [
        ("classify", Input(), r"Input is empty\."),
        ("other", Input(), "No signature was found with the name: other"),
        ("image_bytes", Input(), "No classification inputs found in SignatureDef"),
    ],
)
def test_signatures_and_inputs_that_do_not_fit_are_rejected(
    colours: LoadedVersion, signature: str, given: Input, said: str
) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        classify(colours, requested(given, signature))


def test_one_number_for_each_example(load: Load) -> None:
    made = RegressionRequest(model_spec=model_spec("m"), input=examples(example(x=(1, 3)), example(x=(0, 1))))
    response = regress(load("regressor"), made)
    assert [r.value for r in response.result.regressions] == [2.0, 0.5]
    assert response.model_spec.signature_name == "serving_default"
    made.model_spec.signature_name = "scores"
    with pytest.raises(InvalidRequestError, match=r'at least one of "outputs"'):
        regress(load("regressor"), made)


def test_several_tasks_on_one_input(load: Load) -> None:
    made = MultiInferenceRequest(
        tasks=[
            InferenceTask(model_spec=model_spec("m"), method_name=REGRESS_METHOD),
            InferenceTask(model_spec=model_spec("m", signature="scores"), method_name=CLASSIFY_METHOD),
        ],
        input=examples(example(x=(1, 3))),
    )
    first, second = multi_inference(load("regressor"), made).results
    assert first.regression_result.regressions[0].value == 2.0
    assert [c.score for c in second.classification_result.classifications[0].classes] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("tasks", "error", "said"),
    [
        (["m:serving_default:x"], UnsupportedError, "Unsupported signature method_name: x"),
        (["m::x", "m:serving_default:x"], InvalidRequestError, "Duplicate evaluation of signature"),
        (["m:other:x"], InvalidRequestError, "Requested signature not found in model graph: other"),
        (["m::x", "n:scores:x"], InvalidRequestError, "must access the same model name"),
        ([":scores:x"], InvalidRequestError, "empty model name"),
    ],
)
def test_tasks_that_do_not_fit(load: Load, tasks: list[str], error: type[EmbeddedError], said: str) -> None:
    made = MultiInferenceRequest(input=examples(example(x=(1, 3))))
    for task in tasks:
        name, signature, method = task.split(":")
        made.tasks.add(model_spec=model_spec(name, signature=signature), method_name=method)
    with pytest.raises(error, match=said):
        multi_inference(load("regressor"), made)


def test_tasks_of_several_versions_are_rejected(load: Load) -> None:
    """TensorFlow Serving answers all of them by the first one's version."""
    made = MultiInferenceRequest(input=examples(example(x=(1, 3))))
    for version, signature in ((1, ""), (2, "scores")):
        spec = model_spec("m", version=version, signature=signature)
        made.tasks.add(model_spec=spec, method_name=CLASSIFY_METHOD)
    with pytest.raises(InvalidRequestError, match="must name the same version"):
        multi_inference(load("regressor"), made)
