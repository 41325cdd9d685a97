"""Writes the models that are served, with keraserve's own exporter, and the request bodies.

A program, so that the process that measures has no TensorFlow: `python -m bench.model FOLDER`, with the names
of images as JSON on standard input.
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

from bench.workspace import CLOTHES, NETWORKS, PHOTOGRAPHS, BodyKind, Workspace
from keraserve_protocol import messages as m
from keraserve_protocol.signatures import IMAGE_BYTES
from keraserve_protocol.tensors import to_proto

_LONGEST_SIDE, _QUALITY = 160, 92  # about 5 KB
_LABELS = [f"class-{number}" for number in range(10)]
_WEIGHTS = "mobilenet_2_5_224_tf_no_top.h5"


def export(workspace: Workspace) -> None:
    """Write MobileNet 0.25 at 128 px and a small network for Fashion-MNIST's 28 px, each with ten classes."""
    from keraserve_training import runtime

    runtime.prepare()
    import keras

    from keraserve_models.repository import server_config
    from keraserve_training.pretrained import loading

    keras.utils.set_random_seed(0)
    cached = loading.folder() / _WEIGHTS
    network = keras.applications.MobileNet(
        (128, 128, 3),
        alpha=0.25,
        include_top=False,
        weights=str(cached) if cached.is_file() else cast(str, None),
    )
    (workspace.folder / "weights.txt").write_text(
        "ImageNet's weights" if cached.is_file() else "random weights"
    )
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
        _save(workspace.models, name, model)
    photographs.save(workspace.keras_model)
    server_config.write(workspace.models)
    for name, made in NETWORKS.items():
        models = workspace.of_network(name).models
        _save(models, name, _network(getattr(keras.applications, made)))
        server_config.write(models)


def _network(made: Any) -> Any:
    """A network at 224 px with random weights and ten classes; it gets pixels from -1 to 1."""
    import keras

    taken = keras.Input((224, 224, 3))
    network = made(input_shape=(224, 224, 3), include_top=False, weights=None)
    seen = network(keras.layers.Rescaling(1 / 127.5, -1)(taken), training=False)
    return keras.Model(taken, keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(seen)))


def _save(models: Path, name: str, model: Any) -> None:
    from keraserve_models.exporting import card, row_independence, signatures, warm_up
    from keraserve_models.exporting.served import served
    from keraserve_models.repository import folders

    def write(folder: Path) -> None:
        said = signatures.save(folder, signatures.Network.of_keras(model), _LABELS)
        shape = model.input_shape[1:]
        warm_up.write(folder / folders.WARM_UP, name, shape[:2], shape[2])
        with served(folder) as version:
            measured = row_independence.measure(version, shape[:2], shape[2])
        card.write(folder, {"made_for": "benchmarks", **measured, **said})

    folders.publish(models, name, write)


def bodies(workspace: Workspace, files: Sequence[Path]) -> None:
    """Write each image as a JPEG of about 5 KB, and as a request body of every other kind."""
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        jpeg = _encoded(image, "JPEG", quality=_QUALITY)
        workspace.body(BodyKind.JPEG, number).write_bytes(jpeg)
        listed = {"images": [base64.b64encode(jpeg).decode()]}
        workspace.body(BodyKind.BASE64, number).write_text(json.dumps(listed))
        predict = m.PredictRequest(model_spec=m.model_spec(workspace.model, signature=IMAGE_BYTES))
        predict.inputs[IMAGE_BYTES].CopyFrom(to_proto(np.array([jpeg], dtype=object)))
        workspace.body(BodyKind.PREDICT, number).write_bytes(predict.SerializeToString())
        with Image.open(io.BytesIO(jpeg)) as decoded:
            workspace.body(BodyKind.PIXELS, number).write_text(
                json.dumps({"image": np.asarray(decoded).tolist()})
            )
        large = np.asarray(image.resize((224, 224)))
        workspace.body(BodyKind.LARGE_PIXELS, number).write_text(json.dumps({"image": large.tolist()}))
        workspace.body(BodyKind.LARGE_INSTANCES, number).write_text(
            json.dumps({"instances": [large.tolist()]})
        )
        little = image.convert("L").resize((28, 28))
        workspace.body(BodyKind.CLOTHES_PNG, number).write_bytes(_encoded(little, "PNG"))
        row = np.asarray(little)[..., np.newaxis]
        workspace.body(BodyKind.CLOTHES_INSTANCES, number).write_text(
            json.dumps({"instances": [row.tolist()]})
        )


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


if __name__ == "__main__":
    here = Workspace(Path(sys.argv[1]), (Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 2 else None)
    if here.own:
        export(here)
    bodies(here, [Path(name) for name in json.load(sys.stdin)])
