"""The signature called without a server, by one thread for each core.

A program: `python -m bench.systems.bare_signature VERSION-FOLDER SECONDS BATCHES JPEG…` prints images a
second by batch size, and the label and greatest probability of each image, with which systems are checked.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keraserve_embedded.quiet_tensorflow import set_threads, tf
from keraserve_protocol.signatures import IMAGE_BYTES


def measure(signature: Any, images: Sequence[bytes], batch: int, seconds: float) -> float:
    """Return images a second with batches of this size, one in flight for each core."""
    batches = [
        tf.constant([images[(start + place) % len(images)] for place in range(batch)])
        for start in range(0, len(images), batch)
    ]
    callers = len(os.sched_getaffinity(0))
    done = [0] * callers
    end = time.perf_counter() + seconds

    def call(caller: int) -> None:
        while time.perf_counter() < end:
            for one in batches:
                signature(image_bytes=one)["probabilities"].numpy()
                done[caller] += batch

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def main(folder: str, seconds: str, batches: str, *files: str) -> None:
    """Load, warm up, measure, print."""
    set_threads(1, 0)
    signature = tf.saved_model.load(folder).signatures[IMAGE_BYTES]
    images = [Path(file).read_bytes() for file in files]
    outputs = signature(image_bytes=tf.constant(images))
    labels = [label.decode() for label in outputs["label"].numpy().tolist()]
    probabilities = outputs["probabilities"].numpy().max(axis=1).tolist()
    rates: list[tuple[int, float]] = []
    for batch in map(int, batches.split(",")):
        measure(signature, images, batch, min(1.0, float(seconds)))
        rates.append((batch, measure(signature, images, batch, float(seconds))))
    json.dump({"best": list(zip(labels, probabilities, strict=True)), "rates": rates}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
