"""`images:classify`: images in, classes out, against a real model server."""

import io
from collections.abc import AsyncIterator

import httpx2
import pytest
from encoded_images import png, undecodable_png
from PIL import Image

from keraserve_gateway.settings import Settings
from keraserve_protocol import messages as m
from keraserve_protocol import services

PATH = "/v1/models/colours/images:classify"


@pytest.mark.shows("POST /v1/models/{m}/images:classify", 'the response: {"model", "version"')
async def test_one_image_as_the_body(gateway: httpx2.AsyncClient, red: bytes) -> None:
    response = await gateway.post(PATH, content=red)
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["model"], found["version"]) == ("colours", 1)
    (prediction,) = found["predictions"]
    assert prediction["filename"] is None
    labels = [one["label"] for one in prediction["classes"]]
    probabilities = [one["probability"] for one in prediction["classes"]]
    assert labels[0] == "red"
    assert set(labels) == {"red", "green", "blue"}
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


@pytest.mark.shows("JPEG, PNG, GIF and")
@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", "IMAGE/PNG; x=y", ""])
async def test_an_images_bytes_decide_its_format_whatever_the_content_type(
    gateway: httpx2.AsyncClient, red: bytes, kind: str
) -> None:
    response = await gateway.post(PATH, content=red, headers={"content-type": kind})
    assert response.status_code == 200, response.text


@pytest.mark.shows("JPEG, PNG, GIF and")
@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "webp"])
async def test_every_format_is_classified(gateway: httpx2.AsyncClient, kind: str) -> None:
    for mode, colour, label in (("RGB", (200, 0, 0), "red"), ("L", 200, None)):
        out = io.BytesIO()
        Image.new(mode, (9, 7), colour).save(out, kind)
        response = await gateway.post(PATH, content=out.getvalue(), headers={"content-type": f"image/{kind}"})
        assert response.status_code == 200, response.text
        (prediction,) = response.json()["predictions"]
        best = prediction["classes"][0]
        if label:
            assert best["label"] == label
        else:  # grey is as much red as green as blue
            assert best["probability"] == pytest.approx(1 / 3, abs=0.1)


async def test_a_bitmap_with_bytes_after_its_rows_is_classified(gateway: httpx2.AsyncClient) -> None:
    """As Photoshop writes it; TensorFlow's decoder, which this model calls, rejects such a file."""
    out = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 0, 0)).save(out, "BMP")
    response = await gateway.post(PATH, content=out.getvalue() + b"\0\0")
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["classes"][0]["label"] == "red"


async def test_text_that_begins_like_a_bitmap_is_rejected_as_text(gateway: httpx2.AsyncClient) -> None:
    response = await gateway.post(
        PATH, content=b"BMW has sold more of its cars than ever this year, it says."
    )
    assert response.status_code == 415, response.text
    assert "it is text, not an image" in response.json()["detail"]


async def test_a_response_that_does_not_say_its_version_is_502(make, serve_faults, red: bytes) -> None:
    def one(_: m.ClassificationRequest, context: object) -> m.ClassificationResponse:
        response = m.ClassificationResponse(model_spec=m.model_spec("colours"))
        response.result.classifications.add().classes.add(label="red", score=1)
        return response

    gateway = await make(await serve_faults({services.CLASSIFY: one}))
    response = await gateway.post(PATH, content=red)
    assert "does not say which version" in is_problem(response, 502)["detail"]


@pytest.mark.parametrize("version", ["+1", "%201", "1_0", "1.0", "-1", "%D9%A1", str(2**63)])
async def test_a_version_is_digits(gateway: httpx2.AsyncClient, red: bytes, version: str) -> None:
    response = await gateway.post(PATH.replace("/images", f"/versions/{version}/images"), content=red)
    assert "version" in is_problem(response, 400)["detail"]
    response = await gateway.get(f"/v2/models/colours/versions/{version}")
    assert response.status_code in {400, 404}  # there, it may be a label


async def test_a_slash_in_a_name_does_not_divide_the_path(gateway: httpx2.AsyncClient, red: bytes) -> None:
    for name in ("colours%2Fversions%2F1", "colours%2flabels%2fstable"):
        response = await gateway.post(PATH.replace("colours", name), content=red)
        assert "no slash" in is_problem(response, 404)["detail"]


@pytest.mark.shows("five classes, or top_k")
async def test_five_classes_unless_top_k_says_otherwise(make, serve_faults, red: bytes) -> None:
    def seven(_: m.ClassificationRequest, context: object) -> m.ClassificationResponse:
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=1))
        one = response.result.classifications.add()
        for n in range(7):
            one.classes.add(label=str(n), score=n / 21)
        return response

    gateway = await make(await serve_faults({services.CLASSIFY: seven}))
    for params, count in (({}, 5), ({"top_k": 1}, 1), ({"top_k": 1000}, 7)):
        (prediction,) = (await gateway.post(PATH, params=params, content=red)).json()["predictions"]
        assert [one["label"] for one in prediction["classes"]] == list("6543210")[:count]


@pytest.mark.shows("POST /v1/models/{m}/images:classify", 'the response: {"model", "version"')
async def test_several_images_in_order(gateway: httpx2.AsyncClient, red: bytes, green: bytes) -> None:
    images = [red, green, green, red]
    files = [("files", (f"{n}.png", data, "image/png")) for n, data in enumerate(images)]
    response = await gateway.post(PATH, params={"top_k": 1}, files=files)
    assert response.status_code == 200, response.text
    found = [
        (one["filename"], [c["label"] for c in one["classes"]]) for one in response.json()["predictions"]
    ]
    assert found == [("0.png", ["red"]), ("1.png", ["green"]), ("2.png", ["green"]), ("3.png", ["red"])]


@pytest.mark.shows('the response: {"model", "version"')
async def test_a_file_name_is_returned_unchanged(gateway: httpx2.AsyncClient, red: bytes) -> None:
    response = await gateway.post(PATH, files=[("x", ("Füße <b>\u200b.png", red, "image/png"))])
    assert response.json()["predictions"][0]["filename"] == "Füße <b>\u200b.png"


@pytest.mark.shows("with Content-Length, or chunked")
async def test_chunked_body(gateway: httpx2.AsyncClient, red: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(red), 7):
            yield red[place : place + 7]

    response = await gateway.post(PATH, content=pieces())
    assert response.json()["predictions"][0]["classes"][0]["label"] == "red"


@pytest.mark.shows("five classes, or top_k")
@pytest.mark.parametrize(
    ("query", "says"),
    [
        *((f"top_k={top_k}", "top_k") for top_k in ("0", "x", "-1", "100000", "1_0", "%2B1", "%201", "1.0")),
        ("topk=3", "topk: there is no such parameter"),
        ("top_k=1&top_k=2", "a query parameter is there twice"),
    ],
)
async def test_a_query_is_checked(gateway: httpx2.AsyncClient, red: bytes, query: str, says: str) -> None:
    response = await gateway.post(f"{PATH}?{query}", content=red)
    assert response.status_code == 400
    assert says in response.json()["detail"]
    general = await gateway.post(f"{PATH.replace('/images', '/versions/1/images')}?{query}", content=red)
    assert (general.status_code, general.json()["detail"]) == (400, response.json()["detail"])


def is_problem(response: httpx2.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return problem


BAD = {
    "empty": (b"", 400),
    "no image": (b"hello there", 415),
    "header only": (b"\x89PNG\r\n\x1a\n", 400),
    "another format": (b"II*\0\x08\0\0\0", 415),
    "cut off": (png(1, 2, 3)[:-20], 400),
    "too large": (png(1, 2, 3, width=2000), 413),
    "undecodable": (undecodable_png(), 400),
}


@pytest.mark.shows("a bad one among", "bad-image", "unsupported-media")
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_image_has_an_entry_of_its_own(make, embedded: str, red: bytes, name: str) -> None:
    gateway = await make(embedded, max_pixels=10_000)
    bad, status = BAD[name]
    files = [("f", (name, data, "image/png")) for name, data in (("a", red), ("bad.png", bad), ("c", red))]
    response = await gateway.post(PATH, files=files)
    assert response.status_code == 200, response.text
    assert response.json()["version"] == 1
    first, second, third = response.json()["predictions"]
    assert first["classes"][0]["label"] == third["classes"][0]["label"] == "red"
    assert set(second) == {"filename", "error"}
    assert second["filename"] == "bad.png"
    assert second["error"]

    problem = is_problem(await gateway.post(PATH, params={"strict": "true"}, files=files), status)
    assert problem["detail"] == f"image 1 ('bad.png'): {second['error']}"
    assert problem["image"] == {"index": 1, "filename": "bad.png"}
    alone = is_problem(await gateway.post(PATH, content=bad), status)
    assert alone["image"] == {"index": 0, "filename": None}


@pytest.mark.shows("none of several can")
async def test_when_no_image_can_be_classified(gateway: httpx2.AsyncClient) -> None:
    files = [("f", (name, bad, "image/png")) for name, (bad, _) in BAD.items() if name != "too large"]
    problem = is_problem(await gateway.post(PATH, files=files), 400)
    assert problem["detail"] == "none of the 6 images can be classified; image 0 ('empty'): it is empty"
    assert "images_total{" not in (await gateway.get("/metrics")).text


@pytest.mark.shows("too-large", "KERASERVE_MAX_BODY_BYTES", "KERASERVE_MAX_IMAGES")
async def test_limits(make, embedded: str, red: bytes) -> None:
    gateway = await make(embedded, max_images=2, max_pixels=119, max_body_bytes=2000)
    problem = is_problem(await gateway.post(PATH, content=red), 413)
    assert "12x10 = 120 pixels" in str(problem["detail"])
    problem = is_problem(await gateway.post(PATH, files=[("f", red)] * 3), 413)
    assert "more than 2 images" in str(problem["detail"])
    is_problem(await gateway.post(PATH, content=b"x" * 2001), 413)

    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1000

    # Beyond the limit by Content-Length, or by what has come: either way it is not read further.
    is_problem(await gateway.post(PATH, content=endless()), 413)
    assert read <= 4


@pytest.mark.shows("unsupported-media")
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"x", 415),
        ("application/json", b"{}", 415),
        ("image/webp", b"x", 415),
        ("multipart/mixed; boundary=x", b"x", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400),
        ("multipart/form-data; boundary=x", b"garbage", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\nab", 400),
    ],
)
async def test_bodies_without_an_image_are_rejected(
    gateway: httpx2.AsyncClient, kind: str, body: bytes, status: int
) -> None:
    is_problem(await gateway.post(PATH, content=body, headers={"content-type": kind}), status)


@pytest.mark.shows("not-found")
async def test_unknown_models_and_versions_are_named(gateway: httpx2.AsyncClient, red: bytes) -> None:
    for path, status, detail in (
        ("nope", 404, "model 'nope' is not served; known models: colours"),
        ("nope/versions/2", 404, "version 2 of model 'nope' is not served; known models: colours"),
        ("colours/versions/9", 404, "version 9 of model 'colours' is not served"),
        ("colours/labels/none", 404, "Unrecognized servable version label: none"),
        ("colours/versions/x", 400, "version: "),
    ):
        response = await gateway.post(f"/v1/models/{path}/images:classify", content=red)
        assert str(is_problem(response, status)["detail"]).startswith(detail)


@pytest.mark.shows("not-found")
async def test_ten_of_many_models_are_named(make, embedded: str, red: bytes) -> None:
    names = [f"m{number}" for number in range(12)]
    known = f"; known models: {', '.join(names[:10])} and 2 more"
    gateway = await make(embedded, models=",".join(names))
    response = await gateway.post("/v1/models/nope/images:classify", content=red)
    assert response.json()["detail"].endswith(known)
    assert (await gateway.get("/v2/models/nope")).json()["error"].endswith(known)
    as_tensorflow_serving = await gateway.post("/v1/models/nope:predict", content=b'{"instances":[1]}')
    assert as_tensorflow_serving.json()["error"] == "Servable not found for request: Latest(nope)"


def test_the_defaults_are_safe() -> None:
    settings = Settings()
    # A body fits into a gRPC message, and the bodies in flight into memory.
    assert settings.max_body_bytes < 64 << 20
    assert settings.max_body_bytes <= settings.max_bytes_in_flight <= 256 << 20
    assert settings.host == "127.0.0.1"
