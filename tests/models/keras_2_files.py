"""Models as Keras 2 saves them, each with rows and what it predicts of them. Run as a program:

python tests/models/keras_2_files.py FOLDER
"""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SIDE = 16
_OF_LAST_RELEASES = ("module", "registered_name", "build_config")


def write(folder: Path) -> None:
    """Write every model, and `<name>.npz` with `rows` and `predicted` of each."""
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    layers = keras.layers

    def classifier(*first: Any) -> Any:
        last = [layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")]
        return keras.Sequential([layers.Input((SIDE, SIDE, 3)), *first, *last])

    sequential = classifier(layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.BatchNormalization())
    sequential.compile("adam", "categorical_crossentropy")
    inputs = layers.Input((SIDE, SIDE, 3))
    values = layers.DepthwiseConv2D(3)(layers.Rescaling(1 / 127.5, -1)(inputs))
    values = layers.GlobalAveragePooling2D()(layers.Add()([values, values]))
    functional = keras.Model(inputs, layers.Dense(2, activation="softmax")(values))
    recurrent = keras.Sequential(
        [layers.Input((6, 4)), layers.Bidirectional(layers.LSTM(3)), layers.Dense(2)]
    )
    operators_in = layers.Input((SIDE, SIDE, 3))
    operators = keras.Model(operators_in, classifier(layers.Conv2D(4, 3))(operators_in / 255.0))
    # Two networks, one after the other: what Teachable Machine saves.
    pixels = layers.Input((SIDE, SIDE, 3))
    features = keras.Model(pixels, layers.ReLU(6.0)(layers.DepthwiseConv2D(3)(pixels)))
    machine = keras.Sequential(
        [
            keras.Sequential([features, layers.GlobalAveragePooling2D()]),
            keras.Sequential([layers.Dense(5, activation="relu"), layers.Dense(2, activation="softmax")]),
        ]
    )
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    for name, model, rows, taken in (
        ("sequential.h5", sequential, images, images),
        ("functional.h5", functional, images, images),
        ("operators.h5", operators, images, images),
        ("recurrent.h5", recurrent, *[generator.random((3, 6, 4), np.float32)] * 2),
        ("saved_model", sequential, *[images.astype(np.float32)] * 2),
        ("keras_model.h5", machine, images, images / np.float32(127.5) - 1),
    ):
        predicted = model.predict(taken, verbose=0)
        model.save(folder / name)
        if name.endswith(".h5"):
            _as_before_2_13(folder / name)
        np.savez(folder / f"{name}.npz", rows=rows, predicted=predicted)
    with zipfile.ZipFile(folder / "converted_keras.zip", "w") as archive:
        archive.write(folder / "keras_model.h5", "keras_model.h5")
        archive.writestr("labels.txt", "0 Cat\n1 Big Dog\n")
    (folder / "keras_model.h5.npz").rename(folder / "converted_keras.zip.npz")


def _as_before_2_13(file: Path) -> None:
    """Take out of the configuration what only the last releases of Keras 2 wrote, as most files are older."""
    with h5py.File(file, "r+") as content:
        content.attrs["model_config"] = json.dumps(_older(json.loads(content.attrs["model_config"])))
        content.attrs["keras_version"] = "2.4.0"


def _older(part: Any) -> Any:
    if isinstance(part, list):
        return [_older(each) for each in part]
    if isinstance(part, dict):
        return {key: _older(each) for key, each in part.items() if key not in _OF_LAST_RELEASES}
    return part


if __name__ == "__main__":
    write(Path(sys.argv[1]))
