"""How batches go through a frozen network: in order, several at a time, few in advance."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from training import extractor_to_kill

from keraserve_training import runtime
from keraserve_training.data import procedural

_PATIENCE = 20.0  # seconds
pytestmark = pytest.mark.usefixtures("tensorflow")


class Network:
    """Gives back what it gets: the first when all `at_once` are there, and the second has been seen."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.seen: list[int] = []
        self._all, self._second = threading.Barrier(at_once), threading.Event()

    def run(self, number: int) -> int:
        if number < self.at_once:
            self._all.wait(_PATIENCE)
        if number == 0:
            assert self._second.wait(_PATIENCE)
        self.seen.append(number)
        if number == 1:
            self._second.set()
        return number


class Batches:
    """Numbers; knows how many were read."""

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        self.read, self._count, self._fail_at = 0, count, fail_at

    def __iter__(self) -> Iterator[tuple[int, None]]:
        for number in range(self._count):
            if number == self._fail_at:
                raise OSError("the file has gone")
            self.read += 1
            yield number, None


def until(reached: Callable[[], bool]) -> None:
    """Wait for it; fail where it does not come."""
    end = time.monotonic() + _PATIENCE
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.001)


def seen(network: Network, batches: Batches, count: int, most: int) -> Any:
    from keraserve_training.pretrained.extraction import _computed

    return _computed(network, iter(batches), count, most)  # type: ignore[arg-type]


def test_what_several_threads_make_comes_in_order() -> None:
    network = Network(at_once=3)
    assert list(seen(network, Batches(20), 20, most=5)) == list(range(20))
    assert network.seen.index(1) < network.seen.index(0)


def test_few_are_read_and_computed_in_advance() -> None:
    network, batches = Network(at_once=2), Batches(50)
    made = seen(network, batches, 50, most=6)
    assert next(made) == 0
    until(lambda: len(network.seen) == 7)  # the one that was taken, and six that wait
    assert batches.read == 7
    made.close()
    assert len(network.seen) == batches.read == 7


def test_close_ends_after_the_batches_that_are_being_computed() -> None:
    class Slow(Network):
        def run(self, number: int) -> int:
            assert number < 2 or going_on.wait(_PATIENCE)
            return super().run(number)

    going_on, network, batches = threading.Event(), Slow(at_once=2), Batches(50)
    made = seen(network, batches, 50, most=6)
    assert next(made) == 0
    until(lambda: batches.read >= 6)  # two are being computed, and two wait
    closing = threading.Thread(target=made.close, daemon=True)
    closing.start()
    going_on.set()
    closing.join(_PATIENCE)
    assert not closing.is_alive()
    assert batches.read <= 7


def test_few_batches_wait_for_the_network() -> None:
    network, batches = Network(at_once=2), Batches(50)
    for number in seen(network, batches, 50, most=40):
        assert batches.read - len(network.seen) <= 4, number


def test_an_error_comes_after_what_was_before_it() -> None:
    made = seen(Network(at_once=2), Batches(9, fail_at=5), 9, most=3)
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="has gone"):
        next(made)


def test_a_batch_is_one_call_of_a_gpu_and_three_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    from keraserve_training.pretrained import inference

    images, model = extractor_to_kill.images().images.astype(np.float32), extractor_to_kill.model()
    batch = inference.batch((160, 160, 3))
    for gpu, expected in ((False, (8, runtime.processors())), (True, (24, 1))):
        monkeypatch.setattr(inference, "_on_gpu", lambda gpu=gpu: gpu)
        network = inference.prepared(model, "float32", batch)
        assert (network.batch, network.at_once) == expected
        np.testing.assert_allclose(network.run(images), model(images), atol=1e-6)


def test_a_batch_that_can_not_be_divided_is_one_call() -> None:
    from keraserve_training.pretrained import inference

    assert inference.prepared(extractor_to_kill.model(), "float32", 4).batch == 4


def test_a_network_with_a_function_inside_is_called_as_it_is() -> None:
    import keras
    import tensorflow as tf

    from keraserve_training.pretrained import inference

    class Inside(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=shape[-1:], name="kernel")
            self._multiplied = tf.function(lambda values: values * self.kernel.value)

        def call(self, values: Any) -> Any:
            return self._multiplied(values)

    inputs = keras.Input((4, 4, 3))
    model, images = keras.Model(inputs, Inside()(inputs)), np.ones((2, 4, 4, 3), np.float32)
    network = inference.prepared(model, "float32", 3)
    assert network.at_once == 1
    np.testing.assert_allclose(network.run(tf.constant(images)), model(images), atol=1e-6)


def test_each_operation_has_one_thread() -> None:
    """Beside a TensorFlow that has all cores. With a core alone to compare with, this says nothing."""
    program = """
import time
from keraserve_training import runtime
runtime.prepare()
import keras, tensorflow as tf
from keraserve_training.pretrained import inference
inputs = keras.Input((96, 96, 32))
model = keras.Model(inputs, keras.layers.Conv2D(64, 3)(keras.layers.Conv2D(64, 3)(inputs)))
images = tf.ones((16, 96, 96, 32))
run = inference.prepared(model, "float32", 16).run
run(images)
began, spent = time.perf_counter(), time.process_time()
for _ in range(20):
    run(images)
print((time.process_time() - spent) / (time.perf_counter() - began))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.3


def test_a_worker_uses_as_many_processors_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    all_of_them = runtime.processors()
    assert all_of_them >= 1
    for said, processors in (("1", 1), ("3", 3), ("0", all_of_them), ("many", all_of_them)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", said)
        assert runtime.processors() == processors


def test_dropping_batches_does_not_wait_for_tuning() -> None:
    images = procedural.images(9, classes=3, size=(12, 12), channels=3, seed=1)
    for examples in (images, images.sized(16)):
        assert examples.batches(np.arange(9), 4).options().autotune.enabled is False
