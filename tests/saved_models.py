"""A small SavedModel that tells whether an image is red, green or blue, without training.

It is not made by our exporter, but has its signatures, so that the tests of the servers do not depend on the
training package. Run as a program, a test process without TensorFlow can use it:

    python tests/saved_models.py FOLDER [VERSION [LABEL LABEL LABEL]]
"""

import sys
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

NAMES = ("serving_default", "image_bytes", "classify", "explain")


class Colours(tf.Module):
    """Probabilities of three colours, from the mean of each channel; a colour's map is its channel."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self.scale = tf.Variable(0.1, trainable=False)
        self.labels = tf.constant(labels)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="network_input")])
    def network(self, network_input: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"network_output": self.probabilities(network_input)}

    def probabilities(self, pixels: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.scale * tf.reduce_mean(pixels, axis=[1, 2]))

    def outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.identity(tf.cast(images, tf.float32), "network_input")
        probabilities = tf.identity(self.probabilities(pixels), "network_output")
        return {
            "probabilities": probabilities,
            "label": tf.gather(self.labels, tf.argmax(probabilities, axis=1)),
        }

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        def one(data: tf.Tensor) -> tf.Tensor:
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            return tf.image.resize(image, [8, 8])

        return tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec([8, 8, 3], tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.outputs(images)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.outputs(self.decode(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_example(inputs, feature)["image/encoded"]
        scores = self.outputs(self.decode(encoded))["probabilities"]
        classes = tf.repeat(self.labels[tf.newaxis], tf.shape(scores)[0], axis=0)
        return {"scores": scores, "classes": classes}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="image_bytes"),
            tf.TensorSpec([None], tf.string, name="label"),
        ]
    )
    def explain(self, image_bytes: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        images = self.decode(image_bytes)
        probabilities = self.outputs(images)["probabilities"]
        named = label[:, tf.newaxis] == self.labels
        tf.debugging.Assert(tf.reduce_all(tf.reduce_any(named, 1) | (label == "")), ["label: no such class"])
        chosen = tf.argmax(tf.where(named | (label == "")[:, tf.newaxis], probabilities, -1.0), axis=1)
        return {
            "map": tf.gather(images, chosen, axis=3, batch_dims=1) / 255.0,
            "label": tf.gather(self.labels, chosen),
            "probability": tf.gather(probabilities, chosen, batch_dims=1),
        }


def save(folder: Path, version: int = 1, labels: list[str] | None = None) -> None:
    """Write version `version` below `folder`, whole or not at all."""
    module = Colours(labels or ["red", "green", "blue"])
    target = folder / str(version)
    beside = folder / f".saving-{version}"
    signatures = {name: getattr(module, name) for name in NAMES}
    tf.saved_model.save(module, str(beside), signatures=signatures)
    graph = beside / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    saved.meta_graphs[0].signature_def["classify"].method_name = "tensorflow/serving/classify"
    graph.write_bytes(saved.SerializeToString())
    card = beside / "assets.extra/model_card.json"
    card.parent.mkdir()
    card.write_text('{"independent_rows": true}')  # so that servers may merge requests
    beside.rename(target)


if __name__ == "__main__":
    save(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, sys.argv[3:])
