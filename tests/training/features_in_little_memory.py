"""Not a test: trains a head for an epoch on a store of features, and prints what memory of its own that took.

    features_in_little_memory.py FOLDER MEGABYTES

Prints the stored bytes and the greatest growth of the process's anonymous memory (RssAnon), in bytes.
"""

import sys
import threading
from pathlib import Path

import numpy as np

from keraserve_training import runtime

SHAPE, CLASSES = (7, 7, 512), 4


def anonymous() -> int:
    """Bytes of memory that is this process's own, without pages of mapped files."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def main() -> None:
    runtime.prepare()
    import keras

    from keraserve_training.learning.feed import Feed
    from keraserve_training.pretrained import feature_store
    from keraserve_training.pretrained.features import Features

    count = int(sys.argv[2]) * 2**20 // (4 * int(np.prod(SHAPE)))
    layout = feature_store.Layout(count, 640, SHAPE, "float32")
    place = feature_store.store(Path(sys.argv[1]), "large", {}, layout)
    labels = (np.arange(count) % CLASSES).astype(np.int32)
    place.folder.mkdir(parents=True)
    row = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    for shard in range(layout.shards):
        with place.writing(shard) as writer:
            for _ in layout.rows(shard):
                writer.write(row)
    place.finish(labels, 0.0)

    head = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    )
    head.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), optimizer="sgd")
    features = Features(tuple(place.shards().values()), layout, np.arange(count), labels)
    few = features.first(64)
    head.fit(Feed(few, 32).epoch(0, 0), verbose=0, shuffle=False)  # TensorFlow itself, threads and buffers
    before, peak, done = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    place.check(sys.stderr.write)
    head.fit(Feed(features, 32).epoch(0, 1), verbose=0, shuffle=False)
    done.set()
    watcher.join()
    sys.stdout.write(f"{layout.bytes(range(layout.shards))} {peak - before}\n")


if __name__ == "__main__":
    main()
