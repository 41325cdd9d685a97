"""One request on one loaded version, without a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from embedded.requests import floats, predict_request, strings

from keraserve_embedded.calls.predict import predict as begin
from keraserve_embedded.calls.request_limits import CallOptions
from keraserve_embedded.calls.work import finish
from keraserve_embedded.errors import (
    Code,
    ExecutionError,
    InvalidRequestError,
    UnknownSignatureError,
)
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import clean
from keraserve_protocol.messages import (
    DataType,
    PredictRequest,
    PredictResponse,
    TensorProto,
)
from keraserve_protocol.tensors import from_proto, to_proto

Load = Callable[[str], LoadedVersion]


def request(inputs: dict[str, Any], signature: str = "", outputs: tuple[str, ...] = ()) -> PredictRequest:
    made = predict_request("", inputs, signature=signature)
    made.output_filter.extend(outputs)
    return made


def images(*encoded: bytes) -> dict[str, Any]:
    return {"image_bytes": strings(*encoded)}


def predict(version: LoadedVersion, made: PredictRequest, **how: bool) -> PredictResponse:
    return finish(begin(version, made, CallOptions(**how)))


def responses(version: LoadedVersion, made: PredictRequest, **how: bool) -> dict[str, Any]:
    return {name: from_proto(proto) for name, proto in predict(version, made, **how).outputs.items()}


def test_images_as_pixels_and_as_bytes(colours: LoadedVersion, red: bytes, green: bytes) -> None:
    pixels = np.array([[[[230, 20, 20]]], [[[20, 230, 20]]]], np.uint8)
    for made in (request({"images": pixels}), request(images(red, green), "image_bytes")):
        response = responses(colours, made)
        assert response["label"].tolist() == [b"red", b"green"]
        assert response["probabilities"].shape == (2, 3)
        np.testing.assert_allclose(response["probabilities"].sum(axis=1), 1, rtol=1e-5)


def test_a_response_names_model_version_and_signature(colours: LoadedVersion, red: bytes) -> None:
    spec = predict(colours, request(images(red), "image_bytes")).model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("colours", 1, "image_bytes")


def test_typed_fields_unless_content_is_wanted(colours: LoadedVersion, red: bytes) -> None:
    made = request(images(red), "image_bytes")
    typed = predict(colours, made).outputs["probabilities"]
    content = predict(colours, made, as_content=True).outputs["probabilities"]
    assert len(typed.float_val) == 3
    assert not typed.tensor_content
    assert len(content.tensor_content) == 12
    assert not content.float_val
    np.testing.assert_array_equal(from_proto(typed), from_proto(content))


def test_inputs_in_typed_fields(colours: LoadedVersion) -> None:
    pixels = to_proto(np.full((1, 2, 2, 3), 7, np.uint8), typed_fields=True)
    assert responses(colours, request({"images": pixels}))["probabilities"].shape == (1, 3)


def test_an_empty_batch_has_an_empty_response(colours: LoadedVersion) -> None:
    assert responses(colours, request(images(), "image_bytes"))["label"].shape == (0,)


def test_the_filter_chooses_outputs(load: Load) -> None:
    made = request({"a": floats(3), "b": floats(1)}, outputs=("difference",))
    assert {name: value.tolist() for name, value in responses(load("numbers"), made).items()} == {
        "difference": [2.0]
    }


def test_inputs_and_outputs_keep_their_names(load: Load) -> None:
    response = responses(load("numbers"), request({"b": floats(1), "a": floats(3)}))
    assert (response["total"].tolist(), response["difference"].tolist()) == ([4.0], [2.0])
    square = np.array([[1.0, 2.0], [3.0, 4.0]])
    response = responses(load("numbers"), request({"scalar": np.int64(3), "square": square}, "shapes"))
    np.testing.assert_array_equal(response["scaled-square/0"], square * 3)
    assert response["text"].item() == b"3"


def test_bfloat16_which_numpy_lacks(load: Load) -> None:
    given = TensorProto.FromString(
        tf.make_tensor_proto(tf.constant([3, -4], tf.bfloat16)).SerializeToString()
    )
    outputs = predict(load("numbers"), request({"x": given}, "halves")).outputs
    half = tf.make_ndarray(
        tf.compat.v1.make_tensor_proto(0.0).FromString(outputs["half"].SerializeToString())
    )
    assert half.astype(float).tolist() == [1.5, -2.0]
    assert from_proto(outputs["whole"]).tolist() == [3, -4]
    assert from_proto(outputs["yes"]).tolist() == [True, False]
    short = TensorProto(dtype=DataType.DT_BFLOAT16, half_val=[0])
    short.tensor_shape.dim.add(size=1 << 20)
    with pytest.raises(InvalidRequestError, match="bfloat16"):
        predict(load("numbers"), request({"x": short}, "halves"))


def test_a_default_replaces_a_missing_input(load: Load) -> None:
    assert responses(load("defaults"), request({"a": floats(1)}))["total"].tolist() == [101.0]
    with pytest.raises(InvalidRequestError, match=r"alias: a\(feed name: .*default input alias set: b"):
        predict(load("defaults"), request({"b": floats(1)}))
    with pytest.raises(InvalidRequestError, match=r"Inputs contains invalid name\. Used request inputs: a, "):
        predict(load("defaults"), request({"a": floats(1), "c": floats(1)}))


def test_a_graph_of_tensorflow_1(load: Load) -> None:
    response = responses(load("old"), request({"words": np.array([b"ab", b"\xff\x00\x00"], dtype=object)}))
    assert response["lengths"].tolist() == [4, 6]
    assert response["echo"].tolist() == [b"ab!", b"\xff\x00\x00!"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            {"a": 1.0, "b": 1.0, "c": 1.0},
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). "
            "Sent extra: {c}. Missing but required: {}.",
        ),
        (
            {"a": 1.0},
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {b}.",
        ),
    ],
)
def test_inputs_that_are_missing_or_too_many(load: Load, inputs: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        predict(load("numbers"), request({name: floats(value) for name, value in inputs.items()}))
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (floats(1), 'Expects arg[0] to be uint8 but float is provided (input "images")'),
        (TensorProto(), "tensor parsing error: images: "),
        (TensorProto(dtype=DataType.DT_UINT8, tensor_shape={"dim": [{"size": 3}]}), "parsing error"),
    ],
)
def test_tensors_that_do_not_fit(colours: LoadedVersion, value: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        predict(colours, request({"images": value}))
    assert said in str(error.value)


def test_strings_are_not_repeated(colours: LoadedVersion) -> None:
    one = TensorProto(dtype=DataType.DT_STRING, string_val=[b"x" * 1000])
    one.tensor_shape.dim.add(size=1 << 12)
    with pytest.raises(InvalidRequestError, match="1 strings for 4096 elements"):
        predict(colours, request({"image_bytes": one}, "image_bytes"))


def test_an_unknown_signature(colours: LoadedVersion) -> None:
    with pytest.raises(UnknownSignatureError, match=r'Serving signature key "other" not found\.'):
        predict(colours, request({}, "other"))


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            ("logits",),
            "output tensor alias not found in signature: logits Outputs expected to be in the set "
            "{label,probabilities}.",
        ),
        (("label", "label"), "duplicate output tensor alias: label"),
    ],
)
def test_a_filter_that_does_not_fit(
    colours: LoadedVersion, red: bytes, outputs: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        predict(colours, request(images(red), "image_bytes", outputs))
    assert str(error.value) == said


def test_one_bad_image_is_named_by_its_place(colours: LoadedVersion, red: bytes) -> None:
    with pytest.raises(ExecutionError) as error:
        predict(colours, request(images(red, red, b"no image", b"nor this"), "image_bytes"))
    assert error.value.code == Code.INVALID_ARGUMENT
    assert str(error.value).startswith("image_bytes[2]: Unknown image file format.")
    for noise in ("{{", "[[", "Op:", "node", "Traceback", "\n"):
        assert noise not in str(error.value)


def test_an_image_that_ends_early(colours: LoadedVersion, red: bytes) -> None:
    with pytest.raises(ExecutionError) as error:
        predict(colours, request(images(red[:-20]), "image_bytes"))
    assert error.value.code == Code.INVALID_ARGUMENT


PREAMBLE = """Graph execution error:

Detected at node map/Decode defined at (most recent call last):
<stack traces unavailable>
Detected at node call defined at (most recent call last):
  File "/somewhere/signature.py", line 12, in in_order

    results = function()

"""


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        (PREAMBLE + "It is wrong.\n\t [[{{node map/Decode}}]] [Op:__inference_in_order_313]", "It is wrong."),
        (
            PREAMBLE + "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  It is wrong.\n\t [[{{node a}}]]\n"
            "\t [[b/_7]]\n  (1) INVALID_ARGUMENT:  So is this.\n\t [[{{node a}}]]\n0 successful operations.",
            "It is wrong.",
        ),
        ("{{function_node __wrapped__Call}} It is wrong. [Op:Call] name: ", "It is wrong."),
        ("a [2] b\nc", "a [2] b\nc"),
    ],
)
def test_tensorflows_messages_are_cleaned(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned
