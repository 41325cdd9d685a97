"""Features that are to be made: the work itself, whoever does it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from keraserve_training.data.examples import Examples, ahead
from keraserve_training.pretrained import bfloat16, folding
from keraserve_training.pretrained.feature_store import Store
from keraserve_training.progress import Show

T = TypeVar("T")


@dataclass(frozen=True)
class Extraction:
    """Features that are to be made: a network, what it looks at, and where they go.

    Attributes:
        model: pictures to features.
        examples: the pictures.
        store: the folder.
        batch: pictures that the network sees at once. It divides every shard but the last, so a shard's
            features are the same, to the last bit, whichever others are made with it.
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
        batches = iter(self.examples.batches(np.concatenate(rows), self.batch))
        network = _computing(self.model, layout.dtype)
        look = tf.function(lambda pictures: network(pictures, training=False))
        steps = [-(-len(part) // self.batch) for part in rows]
        show.start(name, layout.shards, layout.shards - len(shards), "shard")
        made = _in_advance(
            lambda: np.asarray(look(next(batches)[0])), sum(steps), ahead(layout.shape, self.batch)
        )
        for done, shard in enumerate(shards):
            with self.store.writing(shard) as writer:
                for step in range(steps[done]):
                    writer.write(next(made))
                    show.batch((step + 1) / steps[done])
            show.part(layout.shards - len(shards) + done + 1)
        show.stop()


def _computing(model: keras.Model, dtype: str) -> keras.Model:
    """The same model as it computes fastest."""
    model = folding.folded(model)
    return bfloat16.converted(model) if dtype == "bfloat16" else model


def _in_advance(make: Callable[[], T], count: int, most: int) -> Iterator[T]:
    """Call `make` `count` times in a thread of its own, at most `most` calls ahead of who takes the results.

    So the network goes on while a shard is synced to the disk.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            for _ in range(count):
                waiting.append(thread.submit(make))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)
