"""The processes that `make demo` starts: the embedded model server and the gateway."""

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from encoded_images import png_file
from programs import train
from stack import Ports, Stack, StackError, running
from waiting import until

from keraserve_client import BadRequest, Client, GrpcClient, TooLarge

A, B = "fashion-mnist-reuse-a-sample", "fashion-mnist-reuse-b-sample"


def test_images_are_classified_over_every_api(stack: Stack, images: list[Path]) -> None:
    with Client(stack.url) as http, GrpcClient(stack.grpc) as grpc, GrpcClient(stack.model_server) as direct:
        responses = [client.classify(A, images, top_k=8) for client in (http, grpc, direct)]
    labels = [[[found.label for found in one.classes] for one in response] for response in responses]
    assert labels[0] == labels[1] == labels[2]
    assert len(labels[0][0]) == 8


def test_a_binary_model_has_two_labels(stack: Stack, images: list[Path]) -> None:
    with Client(stack.url) as client:
        (response,) = client.classify(B, images[0])
    assert {found.label for found in response.classes} == {"sandal", "shirt"}
    assert sum(found.probability for found in response.classes) == pytest.approx(1)


PROCEDURAL = (
    "Trained on procedural images, which mean nothing: to try the machinery, never to classify anything."
)


@pytest.mark.shows('"warnings": [...]')
def test_a_model_of_procedural_images_has_a_warning_everywhere(stack: Stack, images: list[Path]) -> None:
    with Client(stack.url) as client:
        assert [each.warnings for model in client.models() for each in model.versions] == [(PROCEDURAL,)] * 2
    for kind, address in ((Client, stack.url), (GrpcClient, stack.grpc), (GrpcClient, stack.model_server)):
        with kind(address) as client:
            assert client.classify(A, images[0])[0].warnings == (PROCEDURAL,)
            assert [each.warnings for each in client.classify_many(A, images[:1])] == [(PROCEDURAL,)]
            (version,) = client.status(B).versions
            assert version.warnings == (PROCEDURAL,)
    program = Path(sys.executable).with_name("keraserve")
    for verb in (["models"], ["classify", A, str(images[0])], ["status", A, "--grpc", stack.grpc]):
        done = subprocess.run(
            [program, *verb], env={**os.environ, "KERASERVE_URL": stack.url}, capture_output=True, text=True
        )
        assert f"warning: {A} version 1: {PROCEDURAL}" in " ".join(done.stdout.split()), done


def test_an_image_of_too_many_pixels_is_rejected_by_every_api(stack: Stack, images: list[Path]) -> None:
    """729 KiB of PNG would be 768 MiB of pixels; it is rejected before it is decoded."""
    large = wide_png(16_000)
    with Client(stack.url) as http, GrpcClient(stack.grpc) as grpc, GrpcClient(stack.model_server) as direct:
        for client in (http, grpc, direct):
            with pytest.raises((BadRequest, TooLarge), match="pixels"):
                client.classify(A, large)
            with pytest.raises((BadRequest, TooLarge), match="pixels"):
                client.predict(A, [large], "image_bytes")
            assert client.classify(A, images[0])[0].classes


def wide_png(side: int) -> bytes:
    """A black square, compressed row by row."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(side)) + packer.flush()
    return png_file(side, side, rows)


def test_a_second_version_is_served_without_a_failed_request(
    exported: Path, images: list[Path], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(exported / "models", models)
    with running(models, Ports(0, 0, 0), logs=tmp_path) as stack, Client(stack.url, retries=0) as client:
        assert client.classify(A, images[0])[0].version == 1
        train("export", "--profile", "sample", "--force", "--runs", exported / "runs", "--models", models)
        until(lambda: client.classify(A, images[0])[0].version == 2, "version 2 is not served")
        assert client.classify(A, images[0], version=2)[0].version == 2


def test_an_empty_repository_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match="`make demo` does it in minutes, `make model"),
        running(tmp_path, Ports(0, 0, 0), logs=tmp_path),
    ):
        pass
