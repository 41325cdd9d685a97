"""Compute shards of features with a frozen network, and write them to the store."""

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keraserve_training.data.examples import Examples
from keraserve_training.pretrained import inference
from keraserve_training.pretrained.feature_store import Store
from keraserve_training.pretrained.inference import Inference
from keraserve_training.progress import Show

_WAITING_BYTES = 16 * 2**20  # of features that are computed while a shard is synced to the disk


@dataclass(frozen=True)
class Extraction:
    """A network, its images, and the store for their features.

    Attributes:
        model: images to features.
        examples: the images.
        store: the folder.
        batch: images in a batch. Every shard but the last is a whole number of batches, so its features are
            bit-identical, whichever other shards are computed with it.
    """

    model: keras.Model
    examples: Examples
    store: Store
    batch: int

    def missing(self) -> list[int]:
        """The shards that are not in the store."""
        there = self.store.shards()
        return [shard for shard in range(self.store.layout.shards) if shard not in there]

    def make(self, shards: Sequence[int], name: str, show: Show) -> None:
        """Compute some shards; each appears in the store when it is whole.

        Raises:
            FeaturesError: they can't be stored.
        """
        layout = self.store.layout
        rows = [np.arange(layout.count)[layout.rows(shard)] for shard in shards]
        network = inference.prepared(self.model, layout.dtype, self.batch)
        batches = iter(self.examples.batches(np.concatenate(rows), network.batch))
        steps = [-(-len(part) // network.batch) for part in rows]
        show.start(name, layout.shards, layout.shards - len(shards), "shard")
        one = network.batch * layout.bytes(shards[:1]) // len(rows[0])
        with contextlib.closing(_computed(network, batches, sum(steps), _WAITING_BYTES // one)) as features:
            for done, shard in enumerate(shards):
                with self.store.writing(shard) as writer:
                    for step in range(steps[done]):
                        writer.write(next(features))
                        show.batch((step + 1) / steps[done])
                show.part(layout.shards - len(shards) + done + 1)
        show.stop()


def _computed(
    network: Inference, batches: Iterator[Any], count: int, ahead: int
) -> Generator[npt.NDArray[Any]]:
    """The features of `count` batches, in order, of which about `ahead` are computed in advance.

    So the network goes on while a shard is synced to the disk.
    """
    waiting: deque[Future[npt.NDArray[Any]]] = deque()
    unprocessed = threading.Semaphore(2 * network.at_once)  # limits the batches that are read in advance

    def read() -> Any:
        unprocessed.acquire()
        return next(batches)[0]

    def run(images: Future[Any]) -> npt.NDArray[Any]:
        try:
            return network.run(images.result())
        finally:
            unprocessed.release()

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(network.at_once) as runners:
        try:
            for _ in range(count):
                waiting.append(runners.submit(run, reader.submit(read)))
                if len(waiting) > max(ahead, network.at_once):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            reader.shutdown(cancel_futures=True)  # first, since it may wait for a runner
            runners.shutdown(cancel_futures=True)
