"""How batches go through a frozen network: in order, several at a time, few before they are needed."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training import extractor_to_kill

from keraserve_training import runtime
from keraserve_training.data import procedural

pytestmark = pytest.mark.usefixtures("tensorflow")


class Network:
    """Gives back what it gets, the first of two later than the second; knows how many it had at a time."""

    def __init__(self, at_once: int) -> None:
        self.at_once, self.now, self.most = at_once, 0, 0
        self.seen: list[int] = []
        self._lock = threading.Lock()

    def look(self, number: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02 if number % 2 == 0 else 0.001)
        with self._lock:
            self.now -= 1
            self.seen.append(number)
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


def seen(network: Network, batches: Batches, count: int, most: int) -> Any:
    from keraserve_training.pretrained.extraction import _seen

    return _seen(network, iter(batches), count, most)  # type: ignore[arg-type]


def test_what_several_threads_make_comes_in_order() -> None:
    network = Network(at_once=3)
    assert list(seen(network, Batches(20), 20, most=5)) == list(range(20))
    assert network.most == 3
    assert network.seen != sorted(network.seen)


def test_few_are_read_and_made_before_they_are_asked_for() -> None:
    network, batches = Network(at_once=2), Batches(50)
    made = seen(network, batches, 50, most=6)
    assert next(made) == 0
    time.sleep(0.3)
    assert len(network.seen) == 7  # the one that was taken, and six that wait
    assert batches.read == 7
    made.close()
    assert batches.read == 7
    assert network.now == 0


def test_pictures_wait_only_for_a_network_that_is_about_to_look() -> None:
    network, batches = Network(at_once=2), Batches(50)
    for number in seen(network, batches, 50, most=40):
        assert batches.read - len(network.seen) <= 4, number


def test_an_error_comes_after_what_was_before_it() -> None:
    made = seen(Network(at_once=2), Batches(9, fail_at=5), 9, most=3)
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(OSError, match="has gone"):
        next(made)


def test_on_a_gpu_one_large_batch_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from keraserve_training.pretrained import inference

    pictures = extractor_to_kill.pictures().images.astype(np.float32)
    model, size = extractor_to_kill.model(), (160, 160, 3)
    on_processors, batch = inference.prepared(model, "float32"), inference.batch(size)
    monkeypatch.setattr(inference, "_on_gpu", lambda: True)
    on_gpu = inference.prepared(model, "float32")
    assert (on_processors.at_once, on_gpu.at_once) == (runtime.processors(), 1)
    assert (batch, inference.batch(size)) == (8, 26)
    np.testing.assert_allclose(on_processors.look(pictures), on_gpu.look(pictures), atol=1e-6)
    np.testing.assert_allclose(on_gpu.look(pictures), model(pictures), atol=1e-6)


def test_a_worker_uses_as_many_processors_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    all_of_them = runtime.processors()
    assert all_of_them >= 1
    for said, processors in (("1", 1), ("3", 3), ("0", all_of_them), ("many", all_of_them)):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", said)
        assert runtime.processors() == processors


def test_dropping_batches_does_not_wait_for_tuning() -> None:
    pictures = procedural.pictures(9, classes=3, size=(12, 12), channels=3, seed=1)
    for examples in (pictures, pictures.sized(16)):
        assert examples.batches(np.arange(9), 4).options().autotune.enabled is False
