"""A model server that merges several callers' images into one batch, and rejects the batch as a whole."""

import asyncio
import zlib
from typing import Any

import grpc
import pytest
from encoded_images import undecodable_png

from keraserve_protocol import messages as m
from keraserve_protocol import services

PATH = "/v1/models/colours/images:classify"


class Merging:
    """Batches as TensorFlow Serving does: the first `first` requests, later those that come within 20 ms."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._waiting: list[tuple[list[bytes], asyncio.Future[list[str]]]] = []
        self.batches: list[int] = []

    async def classify(self, request: m.ClassificationRequest, context: Any) -> m.ClassificationResponse:
        examples = [m.Example.FromString(one) for one in request.input.example_list.examples]
        images = [one.features.feature["image/encoded"].bytes_list.value[0] for one in examples]
        done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((images, done))
        if len(self._waiting) == (self._first if not self.batches else 1):
            asyncio.get_running_loop().call_later(0 if not self.batches else 0.02, self._run)
        try:
            labels = await done
        except zlib.error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Invalid PNG data")
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=1))
        for label in labels:
            response.result.classifications.add().classes.add(label=label, score=1)
        return response

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.batches.append(len(waiting))
        try:
            labels = [[colour(image) for image in images] for images, _ in waiting]
        except zlib.error as error:
            for _, done in waiting:
                done.set_exception(zlib.error(str(error)))
            return
        for found, (_, done) in zip(labels, waiting, strict=True):
            done.set_result(found)


def colour(image: bytes) -> str:
    """Decode a PNG of one colour."""
    place = image.index(b"IDAT")
    pixels = zlib.decompress(image[place + 4 : -16])
    return "red" if pixels[1] > pixels[2] else "green"


def metadata(request: Any, context: Any) -> m.GetModelMetadataResponse:
    signatures = m.SignatureDefMap()
    signatures.signature_def["classify"].method_name = "tensorflow/serving/classify"
    return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})


@pytest.mark.shows("another caller's image in")
async def test_other_requests_survive_a_bad_image_in_their_batch(
    make, serve_faults, red: bytes, green: bytes
):
    server = Merging(first=6)
    calls = {services.CLASSIFY: server.classify, services.GET_MODEL_METADATA: metadata}
    gateway = await make(await serve_faults(calls), max_merged=1)  # only the server merges
    bad = undecodable_png()
    sent = [gateway.post(PATH, content=one) for one in (red, green, red, green, bad)]
    mixed = gateway.post(PATH, files=[("f", red), ("f", bad), ("f", green)])
    *responses, rejected, partly = await asyncio.gather(*sent, mixed)

    assert [one.status_code for one in responses] == [200] * 4
    labels = [one.json()["predictions"][0]["classes"][0]["label"] for one in responses]
    assert labels == ["red", "green", "red", "green"]
    assert rejected.status_code == 400
    assert "Invalid PNG data" in rejected.json()["detail"]
    assert partly.json()["version"] == 1
    entries = [one.get("classes", [{"label": "rejected"}])[0] for one in partly.json()["predictions"]]
    assert [one["label"] for one in entries] == ["red", "rejected", "green"]
    # All were in the first batch; each image was repeated once, alone.
    assert server.batches == [6] + [1] * 8


async def test_an_image_rejected_alone_is_repeated_once(make, serve_faults) -> None:
    server = Merging(first=1)
    calls = {services.CLASSIFY: server.classify, services.GET_MODEL_METADATA: metadata}
    gateway = await make(await serve_faults(calls))
    response = await gateway.post(PATH, content=undecodable_png())
    assert response.status_code == 400
    assert server.batches == [1, 1]


async def test_repeating_ends_with_the_deadline(make, serve_faults, red: bytes) -> None:
    calls = 0

    async def rejects_then_hangs(request: Any, context: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "another caller's image")
        await asyncio.sleep(60)

    faults = {services.CLASSIFY: rejects_then_hangs, services.GET_MODEL_METADATA: metadata}
    gateway = await make(await serve_faults(faults), deadline_seconds=1)
    response = await gateway.post(PATH, content=red)
    assert response.status_code == 504
    assert calls == 2
