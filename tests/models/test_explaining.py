"""The signature `explain`: the map of an exported model equals one that Keras' own gradients give."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import SIZE

from keraserve_models.exporting import explaining, signatures
from keraserve_models.exporting.served import served
from keraserve_models.preprocessing.decoding import Preparation, decode_seen

HEADS = {
    "pooled": [layers.GlobalAveragePooling2D, lambda: layers.Dense(6), lambda: layers.Dense(3)],
    "pooled, several": [
        layers.GlobalAveragePooling2D,
        lambda: layers.Dense(6, activation="silu"),
        lambda: layers.Dense(3),
    ],
    "flat": [
        layers.MaxPooling2D,
        layers.Flatten,
        lambda: layers.Dense(6, activation="relu"),
        lambda: layers.Dense(3),
    ],
    "one logit": [
        layers.GlobalMaxPooling2D,
        lambda: layers.Dense(6, activation="sigmoid"),
        lambda: layers.Dense(1),
    ],
}


def stem() -> keras.Model:
    """Two branches, which meet before a last convolution with normalization and activation."""
    inputs = keras.Input((*SIZE, 3))
    values = layers.Conv2D(5, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    values = layers.Add()([values, layers.Conv2D(5, 3, padding="same")(values)])
    values = layers.BatchNormalization()(layers.SeparableConv2D(7, 3)(values))
    return keras.Model(inputs, layers.ReLU(6.0)(values))


def chain(shape: tuple[int, ...], made: list[Any]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *(make() for make in made)])


def by_keras(features: Any, head: keras.Model, number: int) -> np.ndarray[Any, Any]:
    """Grad-CAM as its authors define it, of the logit of a class."""
    features = tf.convert_to_tensor(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = head(features)
        logit = logits[:, number] if logits.shape[-1] > 1 else logits[:, 0] * (2 * number - 1)
    weights = tf.reduce_mean(tape.gradient(logit, features), axis=(1, 2), keepdims=True)
    maps = np.maximum(tf.reduce_sum(weights * features, axis=-1), 0)
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


@pytest.mark.parametrize(
    ("head", "nested"),
    [("pooled", False), ("pooled, several", True), ("flat", True), ("one logit", False)],
)
def test_the_map_is_the_one_that_keras_gradients_give(tmp_path: Path, head: str, nested: bool) -> None:
    features = stem()
    tail = chain(features.output_shape[1:], HEADS[head])
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, tail(features(inputs)))
    if not nested:
        values = features.output
        for layer in tail.layers:
            values = layer(values)
        model = keras.Model(features.input, values)
    pixels = np.random.default_rng(1).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)

    def probabilities(values: Any) -> Any:
        if values.shape[-1] > 1:  # with a temperature, which a map does not depend on
            return tf.nn.softmax(tf.math.log(tf.nn.softmax(values)) / 1.5)
        return tf.concat([1 - tf.sigmoid(values), tf.sigmoid(values)], axis=-1)

    wanted = probabilities(model(pixels.astype(np.float32))).numpy()
    names = ["a", "b", "c"][: wanted.shape[1]]
    network = signatures.Network.of_keras(model, probabilities)
    told = signatures.save(tmp_path / "1", network, names)
    method = "class activation map" if head == "pooled" else "Grad-CAM"
    assert told["explain"] == f"{method}, 8 x 12"
    encoded = np.array([tf.io.encode_png(image).numpy() for image in pixels], object)
    seen = []
    with served(tmp_path / "1") as version:
        for number, name in enumerate(names):
            given = {"image_bytes": encoded, "label": np.array([name] * 4, object)}
            found = version.run("explain", given)
            maps = by_keras(features(pixels.astype(np.float32)), tail, number)
            np.testing.assert_allclose(found["map"], maps, atol=1e-5)
            np.testing.assert_allclose(found["probability"], wanted[:, number], atol=1e-6)
            seen.append(maps)
        best = version.run("explain", {"image_bytes": encoded, "label": np.array([""] * 4, object)})
        labels = np.array(["", "x", "", ""], object)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"label\[1\] is x, which is no class of"):
            version.run("explain", {"image_bytes": encoded, "label": labels})
    numbers = wanted.argmax(axis=1)
    assert [label.decode() for label in best["label"]] == [names[number] for number in numbers]
    np.testing.assert_allclose(best["map"], np.stack(seen)[numbers, range(4)], atol=1e-5)
    assert np.max(seen) == 1  # else nothing was compared


def without_convolution() -> keras.Model:
    inputs = keras.Input((*SIZE, 3))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Flatten()(inputs)))


def with_another_path() -> keras.Model:
    inputs = keras.Input((*SIZE, 3))
    values = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    values = layers.Concatenate()([values, layers.GlobalAveragePooling2D()(inputs)])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(values))


def with_attention() -> keras.Model:
    inputs = keras.Input((*SIZE, 3))
    values = layers.Reshape((-1, 4))(layers.Conv2D(4, 4, strides=4)(inputs))
    values = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(1, 4)(values, values))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(values))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (without_convolution, "it has no convolutional layer"),
        (with_another_path, "its classes depend on more than the last convolution"),
        (with_attention, "attention follows its last convolution"),
    ],
)
def test_a_model_without_a_map_says_why(make: Any, reason: str) -> None:
    model = make()

    @tf.autograph.experimental.do_not_convert
    def explained(images: Any) -> Any:
        return explaining.explain(images, model(images), tf.one_hot([0, 1], 3)).maps

    with pytest.raises(explaining.NoMapError, match=f"^{reason}$"):
        tf.function(explained).get_concrete_function(tf.TensorSpec((2, *SIZE, 3)))


def test_a_map_of_the_middle_is_put_into_the_whole_image() -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    _, seen = decode_seen(
        tf.constant([tf.io.encode_png(wide).numpy()]), "x", Preparation((8, 8), 3, cropped=True), (8, 8, 3)
    )
    np.testing.assert_allclose(seen, [[1, 1 / 3]])
    (whole,) = explaining.placed(np.ones((1, 6, 6), np.float32), seen).numpy()
    np.testing.assert_allclose(whole, np.tile([0, 0, 1, 1, 0, 0], (6, 1)))
