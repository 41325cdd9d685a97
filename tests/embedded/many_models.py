"""Small SavedModels of many kinds, each for one feature."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

FLOATS = tf.TensorSpec([None], tf.float32)


class Numbers(tf.Module):
    """Several signatures: two inputs, every dtype, odd names, a fixed shape."""

    @tf.function(input_signature=[FLOATS, FLOATS])
    def arithmetic(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": a + b, "difference": a - b}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.bfloat16)])
    def halves(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"half": x / 2, "whole": tf.cast(x, tf.int64), "yes": x > 0}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64), tf.TensorSpec([2, 2], tf.float64)])
    def shapes(self, scalar: tf.Tensor, square: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scaled-square/0": square * tf.cast(scalar, tf.float64), "text": tf.strings.as_string(scalar)}


class Waiting(tf.Module):
    """Takes as many seconds as the input says.

    Not by looking at the clock, which TensorFlow rejects in a process that training made deterministic.
    """

    @tf.function(input_signature=[FLOATS])
    def work(self, seconds: tf.Tensor) -> dict[str, tf.Tensor]:
        of: Any = {"output_types": [tf.float32], "output_shapes": [[None]]}
        given = tf.raw_ops.TensorDataset(components=[seconds], output_shapes=[[None]])
        microseconds = tf.cast(1e6 * seconds[0], tf.int64)
        slept = tf.raw_ops.SleepDataset(input_dataset=given, sleep_microseconds=microseconds, **of)
        (waited,) = tf.raw_ops.DatasetToSingleElement(dataset=slept, **of)
        return {"waited": waited[:1]}


class Regressor(tf.Module):
    """The mean of the feature `x` of each tf.Example."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([2], tf.float32)})
        return {"outputs": tf.reduce_mean(parsed["x"], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([2], tf.float32)})
        return {"scores": parsed["x"]}


def save(module: Any, folder: Path, **signatures: Any) -> None:
    tf.saved_model.save(module, str(folder), signatures=signatures)


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the stored signatures, as exporters of other makes write them."""
    graph = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    change(saved.meta_graphs[0].signature_def)
    graph.write_bytes(saved.SerializeToString())


def save_tensorflow_1(folder: Path) -> None:
    """A graph of TensorFlow 1 with a variable, a table-free parser and a string output."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        words = tf.compat.v1.placeholder(tf.string, [None], name="words")
        suffix = tf.compat.v1.get_variable("times", initializer=tf.constant(2), use_resource=False)
        lengths = tf.strings.length(words) * suffix
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        info = tf.compat.v1.saved_model.build_tensor_info
        signature = tf.compat.v1.saved_model.build_signature_def(
            inputs={"words": info(words)},
            outputs={"lengths": info(lengths), "echo": info(tf.strings.join([words, "!"]))},
            method_name="tensorflow/serving/predict",
        )
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def save_all(folder: Path) -> None:
    numbers = Numbers()
    save(
        numbers,
        folder / "numbers/1",
        serving_default=numbers.arithmetic,
        halves=numbers.halves,
        shapes=numbers.shapes,
    )
    default = tf.make_tensor_proto([100.0])
    edit(folder / "numbers/1", lambda signatures: signatures["halves"].defaults.clear())
    save(numbers, folder / "defaults/1", serving_default=numbers.arithmetic)
    edit(
        folder / "defaults/1",
        lambda signatures: signatures["serving_default"].defaults["b"].CopyFrom(default),
    )
    waiting = Waiting()
    save(waiting, folder / "waiting/1", serving_default=waiting.work)
    regressor = Regressor()
    save(regressor, folder / "regressor/1", serving_default=regressor.regress, scores=regressor.classify)
    save_tensorflow_1(folder / "old/1")
