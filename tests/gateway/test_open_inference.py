"""The Open Inference Protocol v2 by an unmodified `tritonclient`, on a real gateway and model server."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

NUMBERS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
NUMBERS += ["float16", "float32", "float64", "bool"]


@pytest.fixture(scope="module")
def client(stack: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(stack.http, connection_timeout=30, network_timeout=60) as opened:
        yield opened


def given(name: str, array: Any, *, binary: bool = True) -> triton.InferInput:
    one = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return one.set_data_from_numpy(array, binary_data=binary)


@pytest.mark.shows("GET /v2", "GET /v2/health/live", "GET /v2/health/ready")
def test_server_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    described = client.get_server_metadata()
    assert described["name"] == "keraserve-gateway"
    assert described["extensions"] == ["binary_tensor_data"]


@pytest.mark.shows("GET /v2/models/{m}", "GET /v2/models/{m}/ready")
def test_model_metadata(client: triton.InferenceServerClient) -> None:
    for version in ("", "1", "stable"):
        assert client.is_model_ready("colours", version)
        described = client.get_model_metadata("colours", version)
        assert (described["name"], described["versions"]) == ("colours", ["1"])
        assert described["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
        assert {one["name"]: one["datatype"] for one in described["outputs"]} == {
            "label": "BYTES",
            "probabilities": "FP32",
        }
    described = client.get_model_metadata("colours", query_params={"signature_name": "image_bytes"})
    assert described["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1]}]
    for absent in (("nope", ""), ("colours", "7"), ("colours", "none"), ("colours", "9" * 30)):
        assert not client.is_model_ready(*absent)
        with pytest.raises(InferenceServerException, match=absent[1][:20] or absent[0]):
            client.get_model_metadata(*absent)


@pytest.mark.shows("POST /v2/models/{m}/infer", "Inference-Header-Content-Length")
@pytest.mark.parametrize("binary", [True, False])
def test_images_as_pixels_and_as_files(
    client: triton.InferenceServerClient, red: bytes, green: bytes, *, binary: bool
) -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    pixels[0, ..., 0] = pixels[1, ..., 1] = 200
    outputs = [triton.InferRequestedOutput(name, binary) for name in ("probabilities", "label")]
    response = client.infer("colours", [given("images", pixels, binary=binary)], "1", outputs, "mine")
    said = response.get_response()
    assert (said["id"], said["model_name"], said["model_version"]) == ("mine", "colours", "1")
    assert [one["name"] for one in said["outputs"]] == ["probabilities", "label"]
    assert response.as_numpy("probabilities").shape == (2, 3)
    labels = response.as_numpy("label").tolist()
    assert labels == ([b"red", b"green"] if binary else ["red", "green"])
    encoded = np.array([green, red], dtype=object)
    response = client.infer("colours", [given("image_bytes", encoded)], "stable")
    assert response.as_numpy("label").tolist() == [b"green", b"red"]


@pytest.mark.shows("POST /v2/models/{m}/infer", "an unmodified tritonclient, sync")
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_number_type(client: triton.InferenceServerClient, dtype: str, *, binary: bool) -> None:
    array = np.array([[0, 1, 100], [1, 0, 7]]).astype(dtype)
    response = client.infer(
        "every_type",
        [given(f"{dtype}_in", array, binary=binary)],
        outputs=[triton.InferRequestedOutput("out", binary)],
        parameters={"signature_name": dtype},
    )
    found = response.as_numpy("out")
    assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


@pytest.mark.shows("POST /v2/models/{m}/infer", "no-json-form")
def test_bfloat16_strings_and_empty_tensors(client: triton.InferenceServerClient) -> None:
    from tritonclient.utils import triton_to_np_dtype

    halves = np.array([[1.5, -2.0]], triton_to_np_dtype("BF16"))
    one = triton.InferInput("bfloat16_in", [1, 2], "BF16").set_data_from_numpy(halves)
    assert client.infer("every_type", [one]).as_numpy("out").tolist() == [[1.5, -2.0]]
    strings = np.array([[b"\x00\xff", b""], ["ü".encode(), b"z"]], dtype=object)
    response = client.infer("every_type", [given("string_in", strings)])
    assert response.as_numpy("out").tolist() == strings.tolist()
    nothing = np.zeros((0, 3), np.float32)
    assert client.infer("every_type", [given("float32_in", nothing)]).as_numpy("out").shape == (0, 3)


@pytest.mark.shows("a body of any", "Content-Encoding")
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compression(client: triton.InferenceServerClient, coding: str) -> None:
    array = np.arange(2000, dtype=np.int64).reshape(2, 1000)
    for binary in (True, False):
        response = client.infer(
            "every_type",
            [given("int64_in", array, binary=binary)],
            outputs=[triton.InferRequestedOutput("out", binary)],
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        assert response.as_numpy("out").tolist() == array.tolist()


@pytest.mark.shows("an unmodified tritonclient, sync")
async def test_the_asyncio_client(stack: Any, red: bytes) -> None:
    async with triton_aio.InferenceServerClient(stack.http) as client:
        assert await client.is_server_ready()
        one = given("image_bytes", np.array([red], dtype=object))
        gzip = {"response_compression_algorithm": "gzip"}
        several = [client.infer("colours", [one], request_id=str(n), **gzip) for n in range(8)]
        responses = await asyncio.gather(*several)
    assert [response.get_response()["id"] for response in responses] == [str(n) for n in range(8)]
    assert [response.as_numpy("label").tolist() for response in responses] == [[b"red"]] * 8


@pytest.mark.shows("not-found")
@pytest.mark.parametrize(
    ("model", "given_name", "more", "says"),
    [
        ("nope", "images", {}, r"\[404\].*nope"),
        ("colours", "pixels", {}, r"no signature has exactly the inputs pixels: classify takes inputs; .*"),
        ("colours", "image_bytes", {}, "input 'image_bytes' is UINT8, signature 'image_bytes' takes BYTES"),
        (
            "colours",
            "images",
            {"signature_name": "none"},
            "no signature 'none'; it has classify, explain, image_bytes",
        ),
        ("colours", "x", {"signature_name": "serving_default"}, "no input 'x'; it takes images"),
        ("half_plus_two", "inputs", {}, "classify_x2_to_y3, .* have these inputs; the parameter"),
    ],
)
def test_rejections_name_the_mistake(
    client: triton.InferenceServerClient, model: str, given_name: str, more: dict[str, str], says: str
) -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    with pytest.raises(InferenceServerException, match=says):
        client.infer(model, [given(given_name, pixels)], parameters=more)


def test_wrong_shapes_outputs_and_images(client: triton.InferenceServerClient) -> None:
    flat = given("images", np.zeros((1, 12), np.uint8))
    with pytest.raises(InferenceServerException, match=r"\[400\].*2 dimension"):  # the graph's message
        client.infer("colours", [flat])
    pixels = given("images", np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(InferenceServerException, match="no output 'scores'; it gives label, probabilities"):
        client.infer("colours", [pixels], outputs=[triton.InferRequestedOutput("scores")])
    with pytest.raises(InferenceServerException, match=r"\[400\]"):
        client.infer("colours", [given("image_bytes", np.array([b"no image"], dtype=object))])
    with pytest.raises(InferenceServerException, match="COMPLEX64"):
        client.infer(
            "every_type",
            [given("complex64_in", np.zeros((1, 1), np.uint8))],
            parameters={"signature_name": "complex64"},
        )


@pytest.mark.shows("Content-Encoding", "Inference-Header-Content-Length", "unsupported-media")
async def test_bad_bodies_paths_and_methods(gateway: httpx2.AsyncClient) -> None:
    path = "/v2/models/colours/infer"
    for headers, status, says in (
        ({"content-encoding": "br"}, 415, "'br'; send gzip"),
        ({"content-encoding": "gzip"}, 400, "the body is not gzip"),
        ({"inference-header-content-length": "9"}, 400, "the body has 2 bytes"),
        ({"inference-header-content-length": "x"}, 400, "Inference-Header-Content-Length"),
        ([("inference-header-content-length", "2")] * 2, 400, "is there more than once"),
    ):
        response = await gateway.post(path, content=b"{}", headers=headers)
        assert (response.status_code, set(response.json())) == (status, {"error"}), response.text
        assert says in response.json()["error"]
    for query, says in (
        ("signature=classify", "signature: there is no such parameter"),
        ("signature_name=classify&signature_name=images", "is there twice"),
    ):
        response = await gateway.get(f"/v2/models/colours?{query}")
        assert response.status_code == 400
        assert says in response.json()["error"]
    response = await gateway.get("/v2/models/colours/config")
    assert (response.status_code, set(response.json())) == (404, {"error"})
    response = await gateway.get(path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
