"""Features that are to be made: the work itself, whoever does it."""

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

_WAITING_BYTES = 16 * 2**20  # of features that are made while a shard is synced to the disk


@dataclass(frozen=True)
class Extraction:
    """Features that are to be made: a network, what it looks at, and where they go.

    Attributes:
        model: images to features.
        examples: the images.
        store: the folder.
        batch: images that a network sees at once, or in a whole number of calls. It divides every shard but
            the last, so a shard's features are the same, to the last bit, whichever others are made with it.
    """

    model: keras.Model
    examples: Examples
    store: Store
    batch: int

    def missing(self) -> list[int]:
        """The shards that are not there yet."""
        there = self.store.shards()
        return [shard for shard in range(self.store.layout.shards) if shard not in there]

    def make(self, shards: Sequence[int], name: str, show: Show) -> None:
        """Make some shards; each appears when it is whole.

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
        with contextlib.closing(_seen(network, batches, sum(steps), _WAITING_BYTES // one)) as made:
            for done, shard in enumerate(shards):
                with self.store.writing(shard) as writer:
                    for step in range(steps[done]):
                        writer.write(next(made))
                        show.batch((step + 1) / steps[done])
                show.part(layout.shards - len(shards) + done + 1)
        show.stop()


def _seen(network: Inference, batches: Iterator[Any], count: int, most: int) -> Generator[npt.NDArray[Any]]:
    """What a network makes of `count` batches, in order, some `most` of them before they are asked for.

    So the network goes on while a shard is synced to the disk.
    """
    waiting: deque[Future[npt.NDArray[Any]]] = deque()
    room = threading.Semaphore(2 * network.at_once)  # for batches that are read and not yet seen

    def read() -> Any:
        room.acquire()
        return next(batches)[0]

    def look(images: Future[Any]) -> npt.NDArray[Any]:
        try:
            return network.look(images.result())
        finally:
            room.release()

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(network.at_once) as lookers:
        try:
            for _ in range(count):
                waiting.append(lookers.submit(look, reader.submit(read)))
                if len(waiting) > max(most, network.at_once):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            reader.shutdown(cancel_futures=True)  # first: what it waits for, the others still do
            lookers.shutdown(cancel_futures=True)
