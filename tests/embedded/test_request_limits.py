"""A small message with a shape of millions of rows is rejected before any allocation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from embedded.requests import example, image_request
from embedded.test_batch_survives import classification

from keraserve_embedded.batching.options import IMPLICIT_BATCHING, BatchingOptions
from keraserve_embedded.calls import predict
from keraserve_embedded.calls.request_limits import DEFAULT_LIMITS, CallOptions, RequestLimits
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import InvalidRequestError
from keraserve_embedded.models import tensors
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process import cli
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import from_proto, to_proto


def claim(*shape: int) -> m.PredictRequest:
    """62 bytes: one value that stands for all."""
    made = m.PredictRequest(model_spec=m.model_spec("colours"))
    tensor = made.inputs["images"]
    tensor.dtype = m.DataType.DT_UINT8
    tensor.int_val.append(7)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize(
    "batching", [None, BatchingOptions(), IMPLICIT_BATCHING], ids=["none", "explicit", "implicit"]
)
def test_a_shape_that_claims_too_much_is_rejected_before_anything_is_allocated(
    models: Path,
    engines: Callable[..., Engine],
    batching: BatchingOptions | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engines(ModelEntry("colours", (models / "colours",)), batching=batching)
    monkeypatch.setattr(tensors, "decode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(
        InvalidRequestError, match=r'"images" has 262144 rows; at most 16384 .*max_request_rows'
    ):
        engine.predict(claim(262144, 1, 1, 3))
    with pytest.raises(InvalidRequestError, match=r"has 100663296 elements; at most 67108864 .*_elements"):
        engine.predict(claim(2, 4096, 4096, 3))


def test_one_value_for_many_elements_is_legal(models: Path, engines: Callable[..., Engine]) -> None:
    engine = engines(ModelEntry("colours", (models / "colours",)))
    assert from_proto(engine.predict(claim(16384, 1, 1, 3)).outputs["label"]).shape == (16384,)


def test_strings_and_examples_are_rows(models: Path, engines: Callable[..., Engine], red: bytes) -> None:
    engine = engines(ModelEntry("colours", (models / "colours",)), limits=RequestLimits(rows=2))
    assert len(engine.classify(classification(*[example(image=red)] * 2)).result.classifications) == 2
    with pytest.raises(InvalidRequestError, match='"inputs" has 3 rows; at most 2 '):
        engine.classify(classification(*[example(image=red)] * 3))
    with pytest.raises(InvalidRequestError, match='"image_bytes" has 3 rows; at most 2 '):
        engine.predict(image_request(*[red] * 3))


def test_a_context_counts_for_each_example(models: Path, engines: Callable[..., Engine]) -> None:
    engine = engines(ModelEntry("colours", (models / "colours",)))
    nested = m.ExampleListWithContext(context=bytes(1 << 20), examples=[b""] * 100)
    request = m.ClassificationRequest(model_spec=m.model_spec("colours", signature="classify"))
    request.input.example_list_with_context.CopyFrom(nested)
    with pytest.raises(InvalidRequestError, match="a context of 1048576 bytes before each of 100 examples"):
        engine.classify(request)


def test_numbers_in_one_dimension_are_no_rows_nor_is_a_fixed_first_dimension() -> None:
    definition = m.SignatureDef()
    for size in (-1, 20000):
        definition.inputs[str(size)].tensor_shape.dim.add(size=size)
    DEFAULT_LIMITS.check(definition, {"-1": to_proto(np.zeros(160_000, np.float32))})
    definition.inputs["20000"].tensor_shape.dim.add(size=2)
    DEFAULT_LIMITS.check(definition, {"20000": to_proto(np.zeros((20000, 2), np.float32))})


def test_the_operator_sets_them() -> None:
    given = cli.parse(["--model_base_path=x", "--max_request_rows=7", "--max_request_elements=70"])
    assert given.limits == RequestLimits(7, 70)
    assert cli.parse(["--model_base_path=x"]).limits == RequestLimits(16384, 67_108_864)
    assert predict.predict.__defaults__ == (CallOptions(limits=DEFAULT_LIMITS),)
