"""What is served: two models written by keraserve's own exporter, photographs, and the bodies made of them.

A program, so that the process that measures has no TensorFlow: `python -m bench.model FOLDER`, and the names
of pictures as JSON on standard input.
"""

import base64
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageOps

from bench.place import CLOTHES, PHOTOGRAPHS, Place
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import to_proto

_LONGEST_SIDE, _QUALITY = 160, 92  # about 5 KB
_LABELS = [f"class-{number}" for number in range(10)]
_WEIGHTS = "mobilenet_2_5_224_tf_no_top.h5"


def export(place: Place) -> None:
    """Write MobileNet 0.25 at 128 px and a small network for Fashion-MNIST's 28 px, each with ten classes."""
    from keraserve_training import runtime

    runtime.prepare()
    import keras

    from keraserve_training.exporting import server_config
    from keraserve_training.pretrained import loading

    keras.utils.set_random_seed(0)
    cached = loading.folder() / _WEIGHTS
    network = keras.applications.MobileNet(
        (128, 128, 3),
        alpha=0.25,
        include_top=False,
        weights=str(cached) if cached.is_file() else cast(str, None),
    )
    (place.folder / "weights.txt").write_text("ImageNet's weights" if cached.is_file() else "random weights")
    taken = keras.Input((128, 128, 3))
    seen = network(keras.layers.Rescaling(1 / 127.5, -1)(taken), training=False)
    scores = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(seen))
    photographs = keras.Model(taken, scores)
    clothes = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(300, "relu"),
            keras.layers.Dense(100, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    for name, model in ((PHOTOGRAPHS, photographs), (CLOTHES, clothes)):
        _save(place, name, model)
    photographs.save(place.keras_model)
    server_config.write(place.models)


def _save(place: Place, name: str, model: Any) -> None:
    from keraserve_training.exporting import model_card, repository, row_independence, signatures, warm_up

    labels = place.folder / "labels.txt"
    labels.write_text("".join(f"{label}\n" for label in _LABELS))

    def write(folder: Path) -> None:
        signatures.save(folder, model, "softmax", _LABELS, labels)
        shape = model.input_shape[1:]
        warm_up.write(folder / repository.WARM_UP, name, shape[:2], shape[2])
        measured = row_independence.measure(folder, shape[:2], shape[2])
        model_card.write(folder, {"made_for": "benchmarks", **measured})

    repository.publish(place.models, name, write)


def pictures(place: Place, files: Sequence[Path]) -> None:
    """Write each picture as a JPEG of about 5 KB, and the bodies that ask about it in other ways."""
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        jpeg = _encoded(picture, "JPEG", quality=_QUALITY)
        place.body("jpeg", number).write_bytes(jpeg)
        listed = {"pictures": [base64.b64encode(jpeg).decode()]}
        place.body("base64", number).write_text(json.dumps(listed))
        predict = m.PredictRequest(model_spec=m.model_spec(place.model, signature="image_bytes"))
        predict.inputs["image_bytes"].CopyFrom(to_proto(np.array([jpeg], dtype=object)))
        place.body("predict", number).write_bytes(predict.SerializeToString())
        with Image.open(io.BytesIO(jpeg)) as decoded:
            place.body("pixels", number).write_text(json.dumps({"image": np.asarray(decoded).tolist()}))
        large = np.asarray(picture.resize((224, 224)))
        place.body("large-tutorial", number).write_text(json.dumps({"image": large.tolist()}))
        place.body("large", number).write_text(json.dumps({"instances": [large.tolist()]}))
        little = picture.convert("L").resize((28, 28))
        place.body("clothes", number).write_bytes(_encoded(little, "PNG"))
        row = np.asarray(little)[..., np.newaxis]
        place.body("clothes-row", number).write_text(json.dumps({"instances": [row.tolist()]}))


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


if __name__ == "__main__":
    here = Place(Path(sys.argv[1]), (Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 2 else None)
    if here.own:
        export(here)
    pictures(here, [Path(name) for name in json.load(sys.stdin)])
