"""Fields and messages are counted, and names and shapes read, without parsing a message."""

import pytest

from keraserve_protocol import messages as m
from keraserve_protocol.message_amount import (
    MOST_FIELDS,
    MOST_MESSAGES,
    AmountError,
    MalformedError,
    check_amount,
    first_message,
    packed_integers,
    without_values,
)
from keraserve_protocol.number_text import finish


def request() -> m.PredictRequest:
    made = m.PredictRequest(model_spec=m.model_spec("colours", label="stable", signature="image_bytes"))
    for name, sizes in (("a", (2, 3)), ("é", ())):
        made.inputs[name].dtype = m.DataType.DT_INT64
        made.inputs[name].int64_val.extend(range(9_000))
        for size in sizes:
            made.inputs[name].tensor_shape.dim.add(size=size)
    return made


def shapes(message: m.PredictRequest) -> dict[str, bytes]:
    return {name: tensor.tensor_shape.SerializeToString() for name, tensor in message.inputs.items()}


def test_names_and_shapes_are_those_of_the_whole_message() -> None:
    one = request()
    two = m.PredictRequest(model_spec=m.model_spec("other", version=3))
    two.inputs["a"].tensor_shape.dim.add(size=7)
    # Fields may come twice: later ones are merged into messages, and take the place of a map's entry.
    for data in (one.SerializeToString(), one.SerializeToString() + two.SerializeToString()):
        whole, part = m.PredictRequest.FromString(data), without_values(data)
        finish(check_amount(data, m.PredictRequest))
        assert part.model_spec == whole.model_spec
        assert shapes(part) == shapes(whole)


def test_packed_integers_end_with_a_byte_below_128() -> None:
    made = request()
    made.inputs["a"].float_val.extend([1.5] * 100)
    made.inputs["b"].bool_val.extend([True] * 100)
    made.inputs["c"].tensor_content = bytes(100)
    parts = list(packed_integers(made.SerializeToString() + b"\x12\x02\x18\x01"))
    assert sorted(sum(byte < 128 for byte in part) for part in parts) == [100, 9_000, 9_000]


def test_a_message_with_a_group_is_rejected() -> None:
    """To a parser what is in a group is none of the message's fields."""
    hidden = b"\x7b" + m.PredictRequest(model_spec=m.model_spec("hidden")).SerializeToString() + b"\x7c"
    data = request().SerializeToString() + hidden
    assert m.PredictRequest.FromString(data).model_spec.name == "colours"
    with pytest.raises(MalformedError):
        without_values(data)


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\x0a", b"\x0a" + b"\xff" * 11, b"\x00\x01", b"\x0f\x00"])
def test_malformed_messages_are_rejected(data: bytes) -> None:
    with pytest.raises(MalformedError):
        without_values(data)
    with pytest.raises(MalformedError):
        finish(check_amount(data * 8192 if data == b"\x0f\x00" else bytes(9000) + data, m.PredictRequest))


@pytest.mark.shows("fields of a message", "messages in it: inputs")
@pytest.mark.parametrize(
    ("unit", "most"), [(b"\x12\x00", MOST_MESSAGES), (b"\x1a\x00", MOST_FIELDS), (b"\x78\x01", MOST_FIELDS)]
)
def test_fields_and_messages_have_a_limit(unit: bytes, most: int) -> None:
    for data in (unit * 5000 if most == MOST_FIELDS else unit * most, unit * most):
        finish(check_amount(data, m.PredictRequest))
    with pytest.raises(AmountError, match=str(most)):
        finish(check_amount(unit * (most + 1) + bytes.fromhex("7801") * 5000, m.PredictRequest))


def test_the_model_spec_of_a_response_is_found() -> None:
    spec = m.model_spec("colours", version=4)
    several = m.MultiInferenceResponse()
    several.results.add(model_spec=spec)
    for response in (m.PredictResponse(model_spec=spec), m.ClassificationResponse(model_spec=spec), several):
        found = first_message(response.SerializeToString(), type(response), "model_spec", within="results")
        assert m.ModelSpec.FromString(found) == spec
    for empty in (m.PredictResponse(), m.MultiInferenceResponse(), m.GetModelStatusResponse()):
        assert first_message(b"", type(empty), "model_spec", within="results") == b""
