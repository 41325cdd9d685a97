"""`keraserve serve`: from a file that Keras saved to responses equal to `model.predict`, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from free_ports import free_ports
from waiting import until

from keraserve_client import Client, GrpcClient
from keraserve_models import quiet

quiet.prepare()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

PROGRAM = Path(sys.executable).with_name("keraserve")
LABELS = ["rose", "tulip", "daisy"]


@pytest.fixture
def classifier(tmp_path: Path) -> keras.Model:
    """Saved as `flowers.keras`."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((16, 24, 3))
    values = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    values = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(values))
    model = keras.Model(inputs, values)
    model.save(tmp_path / "flowers.keras")
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return model


class Served:
    """A running `keraserve serve`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        port, grpc_port = free_ports(2)
        self.url, self.grpc = f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc_port}"
        self._out, self._err = folder / "out", folder / "err"
        command = [PROGRAM, "serve", *arguments, f"--port={port}", f"--grpc-port={grpc_port}"]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)

    @property
    def printed(self) -> str:
        return self._out.read_text()

    @property
    def complained(self) -> str:
        return self._err.read_text()

    def _has_begun(self) -> bool:
        assert self.process.poll() is None, self.printed + self.complained
        return "Ctrl-C" in self.printed

    def wait_until_ready(self) -> None:
        until(self._has_begun, "it did not say that it serves", 120)


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Served]:
    """Serve, and interrupt it at the end as a person does."""
    served = Served(folder, *arguments)
    try:
        served.wait_until_ready()
        yield served
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(30) == 0
        assert served.complained == ""
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture(autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """A shell's background job ignores SIGINT, and so would what is started here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_file_is_served_as_its_model_predicts(tmp_path: Path, classifier: keras.Model) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 16, 24, 3), dtype=np.uint8)
    images = [tf.io.encode_png(each).numpy() for each in pixels]
    wanted = classifier.predict(pixels, verbose=0)
    with serving(tmp_path, "flowers.keras", "--labels", "labels.txt") as served:
        assert f"page    {served.url}" in served.printed
        assert f"gRPC    {served.grpc}" in served.printed
        assert "models  flowers" in served.printed
        for kind, where in ((Client, served.url), (GrpcClient, served.grpc)):
            with kind(where) as client:
                for found, expected in zip(client.classify("flowers", images), wanted, strict=True):
                    given = {each.label: each.probability for each in found.classes}
                    np.testing.assert_allclose([given[label] for label in LABELS], expected, atol=1e-5)
                values = client.predict("flowers", {"images": pixels})["probabilities"]
                np.testing.assert_allclose(values, wanted, atol=1e-5)
        assert "text/html" in httpx2.get(served.url).headers["content-type"]
        assert httpx2.get(f"{served.url}/docs").status_code == 200
    assert not (tmp_path / "models").exists()


def test_a_repository_without_models_config_gets_one(tmp_path: Path, classifier: keras.Model) -> None:
    size, count = keras.Input((4,), name="size"), keras.Input((2,), name="count", dtype="int32")
    values = layers.Concatenate()([size, layers.Rescaling(1.0)(count)])
    two = keras.Model([size, count], [layers.Dense(2, name="a")(values), layers.Dense(1, name="b")(values)])
    two.export(tmp_path / "models/two/1", verbose=False)
    subprocess.run([PROGRAM, "import", "flowers.keras"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "models/models.config").unlink()
    given: dict[str, Any] = {"size": np.ones((3, 4), np.float32), "count": np.ones((3, 2), np.int32)}
    wanted = two.predict([given["size"], given["count"]], verbose=0)
    with serving(tmp_path) as served:
        assert "models  flowers, two" in served.printed
        for kind, where in ((Client, served.url), (GrpcClient, served.grpc)):
            with kind(where) as client:
                results = client.predict("two", given)
                for expected in wanted:
                    [same] = [each for each in results.values() if each.shape == expected.shape]
                    np.testing.assert_allclose(same, expected, atol=1e-5)
    assert (tmp_path / "models/models.config").is_file()


def test_a_port_in_use_is_said_before_the_model_is_read(tmp_path: Path, classifier: keras.Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options, variables in (([f"--port={port}"], {}), ([], {"KERASERVE_PORT": str(port)})):
            done = subprocess.run(
                [PROGRAM, "serve", "flowers.keras", *options],
                env={**os.environ, **variables},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == (
                f"keraserve: port {port} on 127.0.0.1 is in use by another program; choose another with"
                " --port\n"
            )


def test_without_a_model_it_says_how(tmp_path: Path) -> None:
    done = subprocess.run([PROGRAM, "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "there is no repository 'models' here: name a model" in done.stderr
    (tmp_path / "models").mkdir()
    (tmp_path / "models/.lock").touch()
    done = subprocess.run([PROGRAM, "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("keraserve: models has no models: keraserve import adds one")
