"""Not a test: a process that extracts features and, if told a shard, kills itself by SIGKILL within it.

    extractor_to_kill.py STORE [SHARD]       prints which shards it made

The network and the images are the same in every process, so that one can go on where another was killed.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from keraserve_training import progress, runtime

BATCH, IN_SHARD, IMAGES = 4, 8, 30


def model() -> Any:
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((16, 16, 3), name="images")
    scaled = keras.layers.Rescaling(1 / 255, name="scaled")(inputs)
    seen = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="seen")(scaled)
    return keras.Model(inputs, seen, name="little")


def images() -> Any:
    from keraserve_training.data import procedural

    return procedural.images(IMAGES, classes=3, size=(16, 16), channels=3, seed=1)


class Parts(progress.Show):
    """Remembers what was made, and kills this process when it has done a batch of a certain shard."""

    def __init__(self, kill: int | None) -> None:
        self.made, self._kill = 0, kill

    def batch(self, share: float) -> None:  # noqa: ARG002
        if self.made == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def part(self, done: int) -> None:  # noqa: ARG002
        self.made += 1


if __name__ == "__main__":
    runtime.prepare()
    from keraserve_training.pretrained import features

    features._SHARD_BYTES = IN_SHARD * 7 * 7 * 8 * 4
    show = Parts(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    extracted = features.extract(
        model(), images(), store=Path(sys.argv[1]), name="little", show=show, batch=BATCH
    )
    sys.stdout.write(f"{show.made}\n")
