"""The limit: the signature in this process, one caller for each core, and nothing else.

A program: `python -m bench.limit VERSION-FOLDER SECONDS JPEG…` prints pictures a second by batch size, and of
each picture its label and its greatest probability, which every system has to give too.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.place import SIZES
from keraserve_embedded.quiet_tensorflow import set_threads, tf


def measure(signature: Any, pictures: Sequence[bytes], size: int, seconds: float) -> float:
    """Give pictures a second with batches of `size`, one in flight for each core."""
    batches = [
        tf.constant([pictures[(start + place) % len(pictures)] for place in range(size)])
        for start in range(0, len(pictures), size)
    ]
    callers = len(os.sched_getaffinity(0))
    done = [0] * callers
    end = time.perf_counter() + seconds

    def call(caller: int) -> None:
        while time.perf_counter() < end:
            for batch in batches:
                signature(image_bytes=batch)["probabilities"].numpy()
                done[caller] += size

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def main(folder: str, seconds: str, *files: str) -> None:
    """Load, warm up, measure, print."""
    set_threads(1, 0)
    signature = tf.saved_model.load(folder).signatures["image_bytes"]
    pictures = [Path(file).read_bytes() for file in files]
    answers = signature(image_bytes=tf.constant(pictures))
    found = {
        "labels": [label.decode() for label in answers["label"].numpy().tolist()],
        "probabilities": answers["probabilities"].numpy().max(axis=1).tolist(),
        "rates": {},
    }
    for size in SIZES:
        measure(signature, pictures, size, min(1.0, float(seconds)))
        found["rates"][size] = measure(signature, pictures, size, float(seconds))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
