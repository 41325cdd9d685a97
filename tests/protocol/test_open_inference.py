"""The Open Inference Protocol's bodies to tensors and back."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from keraserve_protocol import messages as m
from keraserve_protocol import open_inference, tensors
from keraserve_protocol.json_text import MOST_STRINGS, JsonError, TooMuchError
from keraserve_protocol.open_inference_calls import infer_outputs, infer_request
from keraserve_protocol.open_inference_responses import model_metadata, reply
from keraserve_protocol.open_inference_tensors import DATATYPES

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
NUMPY = {"BOOL": "bool", **{name.upper(): name for name in INTEGERS}}
NUMPY |= {"FP16": "float16", "FP32": "float32", "FP64": "float64"}


def body(*inputs: dict[str, Any], data: bytes = b"", **more: Any) -> tuple[bytes, int]:
    header = json.dumps({"inputs": list(inputs), **more}).encode()
    return header + data, len(header)


def one(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2.5]} | changes
    return {key: value for key, value in tensor.items() if value is not None}


def binary(size: int, **changes: Any) -> dict[str, Any]:
    return one(data=None, parameters={"binary_data_size": size}, **changes)


def model_response(inference: open_inference.Inference, *, typed_fields: bool) -> m.PredictResponse:
    """Give the inputs back, as a model server would that fills typed fields, or tensor_content."""
    response = m.PredictResponse(model_spec=m.model_spec("echo", version=3))
    for name, tensor in inference.inputs.items():
        if tensor.dtype != m.DataType.DT_BFLOAT16:
            tensor = tensors.to_proto(tensors.from_proto(tensor), typed_fields=typed_fields)
        response.outputs[name].CopyFrom(tensor)
    return response


@pytest.mark.parametrize("typed_fields", [True, False])
@pytest.mark.parametrize("datatype", NUMPY)
def test_numbers_of_every_type_are_read_and_written(datatype: str, *, typed_fields: bool) -> None:
    numbers = np.array([[0, 1, 1], [1, 0, 1]], NUMPY[datatype])
    given = {"name": "x", "shape": [2, 3], "datatype": datatype}
    size = {"parameters": {"binary_data_size": numbers.nbytes}}
    flat, nested = {"data": numbers.ravel().tolist()}, {"data": numbers.tolist()}
    for form, data in ((flat, b""), (nested, b""), (size, numbers.tobytes())):
        for wanted in (True, False):
            inference = open_inference.parse(
                *body(given | form, data=data, parameters={"binary_data_output": wanted})
            )
            assert tensors.from_proto(inference.inputs["x"]).tolist() == numbers.tolist()
            said = reply(inference, model_response(inference, typed_fields=typed_fields))
            (output,) = json.loads(said.header)["outputs"]
            assert (output["name"], output["datatype"], output["shape"]) == ("x", datatype, [2, 3])
            if wanted:
                assert said.data == (numbers.tobytes(),)
                assert output["parameters"] == {"binary_data_size": numbers.nbytes}
            else:
                assert output["data"] == numbers.ravel().tolist()


def test_bytes_are_read_and_written() -> None:
    strings = [b"\x00\xff", b"", "Grün".encode()]
    packed = b"".join(struct.pack("<I", len(string)) + string for string in strings)
    inference = open_inference.parse(
        *body(binary(len(packed), shape=[3, 1], datatype="BYTES"), data=packed, outputs=[{"name": "x"}])
    )
    assert list(inference.inputs["x"].string_val) == strings
    response = model_response(inference, typed_fields=True)
    with pytest.raises(JsonError, match="no text, ask for it with binary_data"):
        reply(inference, response)
    inference = open_inference.parse(
        *body(one(shape=[2], datatype="BYTES", data=["a", "ü"]), parameters={"binary_data_output": True})
    )
    assert reply(inference, response).data == (packed,)
    said = reply(open_inference.parse(*body(one())), model_response(inference, typed_fields=True))
    assert json.loads(said.header)["outputs"][0]["data"] == ["a", "ü"]


def test_bfloat16_is_binary_only() -> None:
    bits = struct.pack("<2H", 0x3F80, 0x4000)
    inference = open_inference.parse(
        *body(binary(4, datatype="BF16"), data=bits, parameters={"binary_data_output": True})
    )
    assert inference.inputs["x"].tensor_content == bits
    assert reply(inference, model_response(inference, typed_fields=False)).data == (bits,)
    typed = m.PredictResponse()
    typed.outputs["x"].CopyFrom(
        m.TensorProto(
            dtype=m.DataType.DT_BFLOAT16,
            tensor_shape=inference.inputs["x"].tensor_shape,
            half_val=[0x3F80],  # a shorter list: its last value repeats
        )
    )
    assert reply(inference, typed).data == (bits[:2] * 2,)
    with pytest.raises(JsonError, match="BF16 has no form in JSON, ask"):
        reply(open_inference.parse(*body(one())), typed)
    with pytest.raises(JsonError, match="BF16 has no form in JSON, send"):
        open_inference.parse(*body(one(datatype="BF16")))


def test_several_inputs_share_the_binary_data_in_their_order() -> None:
    sent = [
        binary(2, name="b", datatype="UINT8"),
        one(name="a"),
        binary(1, name="c", datatype="INT8", shape=[1]),
    ]
    inference = open_inference.parse(*body(*sent, data=b"\x01\x02\xff"))
    assert {name: tensors.from_proto(tensor).tolist() for name, tensor in inference.inputs.items()} == {
        "b": [1, 2],
        "a": [1.0, 2.5],
        "c": [-1],
    }


def test_a_response_has_the_requested_outputs_in_order() -> None:
    wanted = [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]
    parsed = open_inference.parse(
        *body(one(name="a"), one(name="b"), id="7", outputs=wanted, parameters={"timeout": 2_000_000})
    )
    assert (parsed.timeout, parsed.signature) == (2.0, None)
    said = reply(parsed, model_response(parsed, typed_fields=False))
    assert json.loads(said.header) == {
        "model_name": "echo",
        "model_version": "3",
        "id": "7",
        "outputs": [
            {"name": "b", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
            {"name": "a", "datatype": "FP32", "shape": [2], "data": [1.0, 2.5]},
        ],
    }
    assert said.data == (struct.pack("<2f", 1, 2.5),)
    with pytest.raises(JsonError, match="the model gave no outputs"):
        reply(parsed, m.PredictResponse())


def test_a_type_that_the_protocol_does_not_have_is_named_and_rejected() -> None:
    info = m.TensorInfo(dtype=m.DataType.DT_COMPLEX64)
    info.tensor_shape.unknown_rank = True
    described = json.loads(model_metadata("a", [1, 2], m.SignatureDef(outputs={"z": info})))
    assert described["versions"] == ["1", "2"]
    assert described["outputs"] == [{"name": "z", "datatype": "COMPLEX64", "shape": [-1]}]
    parsed = open_inference.parse(*body(one()))
    for wanted in (parsed, open_inference.parse(*body(one(), parameters={"binary_data_output": True}))):
        response = m.PredictResponse()
        response.outputs["z"].CopyFrom(tensors.to_proto(np.array([1j], "complex64")))
        with pytest.raises(JsonError, match="no datatype for COMPLEX64"):
            reply(wanted, response)
    assert set(NUMPY) | {"BYTES", "BF16"} == set(DATATYPES.values())


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"[]", "a JSON object"),
        (b"{}", "'inputs' has to be a list of objects"),
        (b'{"inputs": [1]}', "a list of objects"),
        (body({}), r"inputs\[0\]: 'name' has to be a string"),
        (body(one(), one()), "'x' is there twice"),
        (body(one(shape=None)), "'shape' has to be"),
        (body(one(shape=[-1])), "'shape' has to be"),
        (body(one(shape=[True])), "'shape' has to be"),
        (body(one(shape=[1 << 20] * 3)), "too large"),
        (body(one(shape=[1] * 65)), "too large"),
        (body(one(datatype="FP8")), "there is no datatype 'FP8'; choose one of BOOL"),
        (body(one(datatype=None)), "'datatype' has to be a string"),
        (body(one(data=[[1, 2], [3, 4]], shape=[4])), r"the lists have the shape \[2, 2\], 'shape' is \[4\]"),
        (body(one(data=[[1, 2], [3, 4], [5, 6]], shape=[2, 3])), r"have the shape \[3, 2\]"),
        (body(one(data=[1])), "1 elements, where the shape"),
        (body(one(data=1)), "'data' has to be a list"),
        (body(one(data=["a", "b"])), "a string where float32"),
        (body(one(data=[300, 1], datatype="UINT8")), "range"),
        (body(one(data=None)), "either 'data' or the parameter"),
        (body(one(parameters={"binary_data_size": 8}), data=b"12345678"), "either 'data' or the parameter"),
        (body(one(parameters=[])), "'parameters' has to be an object"),
        (body(one(parameters={"shared_memory_region": "r"})), "shared memory is not offered"),
        (body(binary(8), data=b"1234"), r"8, and 4 bytes are left \(curl: use --data-binary\)"),
        (body(binary(-1), data=b"1234"), "binary_data_size is -1"),
        (body(binary(4), data=b"1234"), "4 bytes, where FP32 of shape"),
        (body(binary(8), data=b"12345678 and more"), "9 bytes of binary data belong to no input"),
        (body(binary(3, datatype="BYTES"), data=b"\x01\0\0"), "element 0 of the binary data ends after"),
        (body(binary(5, datatype="BYTES"), data=b"\x02\0\0\0a"), "element 0 of the binary data ends after"),
        (body(binary(4, datatype="BYTES"), data=b"\0\0\0\0"), "1 elements, where the shape"),
        (body(one(), id=7), "'id' has to be a string"),
        (body(one(), outputs=[{"name": "y"}, {"name": "y"}]), "output 'y' is there twice"),
        (body(one(), outputs=[{"name": "y", "parameters": {"classification": 3}}]), "not offered"),
        (body(one(), outputs=[{"name": "y", "parameters": {"binary_data": 1}}]), "has to be true or false"),
        (body(one(), outputs={}), "'outputs' has to be a list"),
        (body(one(), parameters={"signature_name": 1}), "'signature_name' has to be a string"),
        (body(one(), parameters={"sequence_id": 5}), "sequences are not offered"),
        (body(one(), parameters={"timeout": -1}), "'timeout' has to be 0 or more"),
        ((b"{}", 3), r"Content-Length is 3, the body has 2 bytes \(curl: use"),
    ],
)
def test_wrong_requests_are_rejected(sent: Any, says: str) -> None:
    with pytest.raises(JsonError, match=says):
        open_inference.parse(*(sent if isinstance(sent, tuple) else (sent, None)))


def test_requests_and_responses_are_read_as_they_were_written() -> None:
    inputs = {
        "ü": tensors.to_proto(np.array([[b"\x00\xff", b""]], object)),
        "none": tensors.to_proto(np.zeros((0, 4), np.uint64)),
        "scalar": tensors.to_proto(np.int64(-(2**63))),
    }
    body, length = infer_request("s", inputs)
    inference = open_inference.parse(body, length)
    assert (inference.signature, inference.binary) == ("s", True)
    response = reply(inference, m.PredictResponse(outputs=inputs))
    outputs = infer_outputs(b"".join((response.header, *response.data)), len(response.header))
    for name, tensor in inputs.items():
        sent = tensors.from_proto(tensor)
        for read in (inference.inputs[name], outputs[name]):
            found = tensors.from_proto(read)
            assert (found.dtype, found.shape, found.tolist()) == (sent.dtype, sent.shape, sent.tolist())
    assert infer_outputs(b'{"outputs":[]}', None) == {}
    body, length = infer_request("none", {})
    assert open_inference.parse(body, length).inputs == {}


@pytest.mark.shows("strings of a binary")
def test_a_binary_input_has_so_many_strings_and_no_more() -> None:
    for count in (MOST_STRINGS, MOST_STRINGS + 1):
        sent = body(binary(4 * count, shape=[count], datatype="BYTES"), data=bytes(4 * count))
        if count > MOST_STRINGS:
            with pytest.raises(TooMuchError, match=r"input 'x': more than 131072 strings"):
                open_inference.parse(*sent)
        else:
            assert len(open_inference.parse(*sent).inputs["x"].string_val) == count


def test_null_is_absent_where_a_field_may_be_absent() -> None:
    """As serializers write optional fields that were not set."""
    nulls = {"id": None, "parameters": None, "outputs": None}
    given = {**one(), "parameters": {"shared_memory_region": None}}
    assert open_inference.parse(*body(given, **nulls)) == open_inference.parse(*body(one()))
    outputs = [{"name": "y", "parameters": {"classification": None}}]
    sent = body({**binary(8), "data": None}, data=bytes(8), outputs=outputs)
    assert open_inference.parse(*sent).outputs == {"y": False}


def test_a_response_names_only_the_version_that_it_is_from() -> None:
    inference = open_inference.parse(*body(one()))
    for version, named in ((0, {"model_version": "0"}), (None, {})):
        response = model_response(inference, typed_fields=True)
        response.model_spec.CopyFrom(m.model_spec("echo", version=version))
        found = json.loads(reply(inference, response).header)
        assert found.items() >= {"model_name": "echo", **named}.items()
        assert ("model_version" in found) is (version is not None)


def test_a_timeout_may_have_any_number_of_digits() -> None:
    body = b'{"inputs": [], "parameters": {"timeout": %b}}'
    assert open_inference.parse(body % b"1500000", None).timeout == 1.5
    assert (open_inference.parse(body % (b"9" * 400), None).timeout or 0) > 3600
