"""Keras models in files, with what `predict` gives: as somebody has them who never saw this project.

Run as a program, a test process without TensorFlow can use it:

    python tests/keras_files.py FOLDER
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIZE = (12, 16)
LABELS = ["daisy", "rose", "tulip"]


def main(folder: Path) -> None:
    """Write two models, images, and `predicted.json` with what the models give."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((*SIZE, 3))
    values = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 50)(inputs))
    values = layers.Dense(len(LABELS), activation="softmax")(layers.GlobalAveragePooling2D()(values))
    flowers = keras.Model(inputs, values)
    flowers.save(folder / "flowers.keras")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    images = np.random.default_rng(2).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    for place, image in enumerate(images):
        (folder / f"{place}.png").write_bytes(tf.io.encode_png(image).numpy())

    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    numbers = keras.Model([left, right], layers.Dense(1, name="sum")(layers.Concatenate()([left, right])))
    numbers.save(folder / "numbers.keras")
    rows = {"left": [[1.5, -2.0], [0.25, 8.0]], "right": [[3.0], [-1.0]]}
    predicted = {
        "flowers": flowers.predict(images, verbose=0).tolist(),
        "rows": rows,
        "numbers": numbers.predict([np.array(each) for each in rows.values()], verbose=0).tolist(),
    }
    (folder / "predicted.json").write_text(json.dumps(predicted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
