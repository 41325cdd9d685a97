"""The signatures of every exported model (contract, section 2), and how they are written.

- `serving_default`: `images` uint8 [N, H, W, C]
- `image_bytes`: `image_bytes` string [N], encoded images
- `classify`: `inputs` string [N], each a serialized tf.Example with `image/encoded`
- `explain`: `image_bytes` string [N], and `label` string [N], a class of each or empty for the most probable;
  not of every model, see `explaining`
- `model_card`: no input

The first two give `probabilities` float32 [N, K] and `label` string [N]; `classify` gives `scores` float32
[N, K] and `classes` string [N, K], as TensorFlow Serving's Classify wants them; `explain` gives `map` float32
[N, h, w], which covers the upright image, with the class's `label` string [N] and `probability` float32 [N];
`model_card` gives the card as `json` string [], and `bytes` int64 [], its length.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from keraserve_models import drawn_images
from keraserve_models.exporting import explaining, openvino_network
from keraserve_models.preprocessing.decoders.checks import rejected
from keraserve_models.preprocessing.decoding import Preparation, decode, decode_seen
from keraserve_models.repository import folders
from keraserve_protocol.openvino_form import NETWORK_INPUT, NETWORK_OUTPUT
from keraserve_protocol.signatures import (
    CARD_OUTPUT,
    CLASSIFY,
    DEFAULT_SIGNATURE,
    EXPLAIN,
    IMAGE_BYTES,
    LABEL,
    MAP,
    MODEL_CARD,
    PROBABILITY,
)

CLASSIFY_METHOD = "tensorflow/serving/classify"
EXAMPLE_KEY = "image/encoded"


@dataclass(frozen=True)
class Network:
    """A network that classifies images.

    Attributes:
        shape: height, width and channels (1 or 3) of the images that it takes.
        probabilities: turns float32 [N, H, W, C], 0 to 255, into float32 [N, K].
        state: what it uses and is to be saved with it: variables, lookup tables, layers.
        cropped: of an image of other proportions the middle is taken; else it is stretched.
    """

    shape: tuple[int, int, int]
    probabilities: Callable[[Any], Any]
    state: Sequence[Any]
    cropped: bool = False

    @classmethod
    def of_keras(cls, model: Any, probabilities: Callable[[Any], Any] = lambda values: values) -> "Network":
        """Take a Keras 3 model that scales its images itself; `probabilities` is applied to what it gives."""
        height, width, channels = model.input_shape[1:]
        state = [variable.value for variable in model.variables]
        return cls(
            (height, width, channels), lambda images: probabilities(model(images, training=False)), state
        )


class ImageClassifier(tf.Module):
    """A trained network with all that a server needs: decoding, resizing, probabilities, labels.

    Args:
        network: the network.
        labels: the name of each class.
        assets: a folder with the files that become `assets/labels.txt` and `assets/model_card.json`.
    """

    def __init__(self, network: Network, labels: Sequence[str], assets: Path) -> None:
        super().__init__()
        height, width, channels = network.shape
        self._shape = network.shape
        self._prepare = Preparation((height, width), channels, network.cropped)
        self._probabilities = network.probabilities
        self._names = list(labels)
        self.map_found = ""  # how, or why there is none
        # What the graph captures has to hang on the object that is saved.
        self.state = list(network.state)
        self.labels_file = tf.saved_model.Asset(str(assets / Path(folders.LABELS).name))
        self.card_file = tf.saved_model.Asset(str(assets / Path(folders.CARD_ASSET).name))

    def signatures(self) -> dict[str, Any]:
        """All signatures, traced."""
        images = tf.TensorSpec((None, None, None, None), tf.uint8, name="images")
        encoded = tf.TensorSpec((None,), tf.string, name=IMAGE_BYTES)
        examples = tf.TensorSpec((None,), tf.string, name="inputs")
        labels = tf.TensorSpec((None,), tf.string, name=LABEL)
        signatures = {
            DEFAULT_SIGNATURE: tf.function(self._images).get_concrete_function(images=images),
            IMAGE_BYTES: tf.function(self._image_bytes).get_concrete_function(image_bytes=encoded),
            CLASSIFY: tf.function(self._classify).get_concrete_function(inputs=examples),
            MODEL_CARD: tf.function(self._card).get_concrete_function(),
        }
        try:
            explain = tf.function(self._explain)
            signatures[EXPLAIN] = explain.get_concrete_function(image_bytes=encoded, label=labels)
        except explaining.NoMapError as error:
            self.map_found = f"none: {error}"
        return signatures

    def _images(self, images: Any) -> dict[str, Any]:
        return self._named(self._scores(self._prepare(images)))

    def _image_bytes(self, image_bytes: Any) -> dict[str, Any]:
        return self._named(self._scores(decode(image_bytes, IMAGE_BYTES, self._prepare, self._shape)))

    def _classify(self, inputs: Any) -> dict[str, Any]:
        # A missing feature becomes an empty image, so that the error says which example lacks it.
        features = {EXAMPLE_KEY: tf.io.FixedLenFeature((), tf.string, default_value=b"")}
        encoded = tf.io.parse_example(inputs, features)[EXAMPLE_KEY]
        scores = self._scores(decode(encoded, EXAMPLE_KEY, self._prepare, self._shape))
        classes = tf.broadcast_to(tf.constant(self._names), tf.shape(scores))
        return {"scores": scores, "classes": classes}

    @tf.autograph.experimental.do_not_convert  # else the error of a model without a map would be another one
    def _explain(self, image_bytes: Any, label: Any) -> dict[str, Any]:
        images, seen = decode_seen(image_bytes, IMAGE_BYTES, self._prepare, self._shape)
        scores = self._scores(images)
        named = label[:, tf.newaxis] == tf.constant(self._names)
        unknown = ~(tf.reduce_any(named, axis=-1) | (label == ""))
        place = tf.argmax(unknown)
        reason = tf.strings.join(["is ", label[place], ", which is no class of the model"])
        with rejected(tf.reduce_any(unknown), tf.strings.format(f"{LABEL}[{{}}]", place), reason):
            chosen = tf.argmax(tf.where(named | (label == "")[:, tf.newaxis], scores, -1.0), axis=-1)
        found = explaining.explain(images, scores, tf.one_hot(chosen, len(self._names)))
        maps = explaining.placed(found.maps, seen) if self._prepare.cropped else found.maps
        self.map_found = f"{found.method}, {maps.shape[1]} x {maps.shape[2]}"
        return {
            MAP: maps,
            LABEL: tf.gather(tf.constant(self._names), chosen),
            PROBABILITY: tf.gather(scores, chosen, batch_dims=1),
        }

    def _card(self) -> dict[str, Any]:
        # Two outputs, so that one can be requested alone: before version 2.5, TensorFlow Serving batches no
        # request without inputs, except one for other outputs than all that the signature has. Since, none.
        content = tf.io.read_file(self.card_file.asset_path)
        return {CARD_OUTPUT: content, "bytes": tf.cast(tf.strings.length(content), tf.int64)}

    def network(self) -> Any:
        """What lies between pixels and probabilities, traced alone."""
        images = tf.TensorSpec((None, *self._shape), tf.float32, name=NETWORK_INPUT)
        return tf.function(
            lambda network_input: {NETWORK_OUTPUT: self._probabilities(network_input)}
        ).get_concrete_function(network_input=images)

    def _scores(self, images: Any) -> Any:
        # The names are where the embedded server may put another runtime's network.
        scores = self._probabilities(tf.identity(images, NETWORK_INPUT))
        return tf.identity(tf.ensure_shape(scores, (None, len(self._names))), NETWORK_OUTPUT)

    def _named(self, scores: Any) -> dict[str, Any]:
        label = tf.gather(tf.constant(self._names), tf.argmax(scores, axis=-1))
        return {"probabilities": scores, "label": label}


def save(folder: Path, network: Network, labels: Sequence[str]) -> dict[str, Any]:
    """Write the SavedModel: `saved_model.pb`, `variables/`, `assets/`, `fingerprint.pb`; and OpenVINO's form.

    The signature `model_card` returns an empty card until `assets/model_card.json` is replaced.

    Returns:
        For the card: what map the signature `explain` gives, or why there is no such signature; and the same
        of OpenVINO's form.
    """
    # Debug info is the files and line numbers of our source: useless to a server, with paths of this machine.
    options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
    with tempfile.TemporaryDirectory() as assets:  # where they have to exist while the model is saved
        (Path(assets) / Path(folders.CARD_ASSET).name).write_text("{}", encoding="utf-8")
        lines = "".join(f"{label}\n" for label in labels)
        (Path(assets) / Path(folders.LABELS).name).write_text(lines, encoding="utf-8")
        module = ImageClassifier(network, labels, Path(assets))
        tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
    _set_classify_method(folder)
    height, width, channels = network.shape
    drawn = drawn_images.images(8, classes=8, size=(height, width), channels=channels, seed=5)[0]
    rows = {NETWORK_INPUT: drawn.astype("float32")}
    served = (DEFAULT_SIGNATURE, IMAGE_BYTES, CLASSIFY)
    return {EXPLAIN: module.map_found, **openvino_network.write(folder, module.network(), served, rows)}


def _set_classify_method(folder: Path) -> None:
    """Give `classify` the method name that TensorFlow Serving's Classify requires.

    `tf.saved_model.save` writes `tensorflow/serving/predict` for every signature. TensorFlow's function that
    changes it leaves `fingerprint.pb` with the checksum of the old file, so that is made again.
    """
    from tensorflow.python.saved_model import fingerprinting_utils  # pyright: ignore

    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
    updater.replace_method_name(signature_key=CLASSIFY, method_name=CLASSIFY_METHOD, tags="serve")
    updater.save()
    fingerprinting_utils.write_fingerprint(str(folder))
