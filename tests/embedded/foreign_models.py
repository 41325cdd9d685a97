"""SavedModels as others export them: TensorFlow 1's estimators, Keras' own `export`, and names of all kinds.

Run as a program, since TensorFlow 1's graphs and Keras leave marks on a process:

    python tests/embedded/foreign_models.py FOLDER
"""

import sys
from pathlib import Path

import keras
import tensorflow as tf

v1 = tf.compat.v1
PARSED = {"x": tf.io.FixedLenFeature([2], tf.float32), "word": tf.io.VarLenFeature(tf.string)}


def save_estimator(folder: Path) -> None:
    """What tf.estimator exports: a graph that parses examples, a table from an asset, several signatures."""
    words = folder.parent / "words.txt"
    words.write_text("low\nhigh\n")
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="input_example_tensor")
        parsed = v1.io.parse_example(examples, PARSED)
        weights = v1.get_variable("weights", initializer=[[1.0, 0.0], [0.0, 1.0]], use_resource=False)
        scores = tf.nn.softmax(tf.matmul(parsed["x"], weights))
        asset = tf.constant(str(words))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        lines = v1.lookup.TextFileInitializer(
            asset,
            tf.int64,
            v1.lookup.TextFileIndex.LINE_NUMBER,
            tf.string,
            v1.lookup.TextFileIndex.WHOLE_LINE,
        )
        table = v1.lookup.StaticHashTable(lines, "?")
        classes = table.lookup(tf.cast(tf.tile([[0, 1]], [tf.shape(scores)[0], 1]), tf.int64))
        counted = tf.sets.size(parsed["word"])
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        definition = v1.saved_model.signature_def_utils
        info = v1.saved_model.build_tensor_info
        signatures = {
            "serving_default": definition.classification_signature_def(examples, classes, scores),
            "regression": definition.regression_signature_def(examples, scores[:, 1]),
            "predict": definition.predict_signature_def(
                {"examples": examples},
                {"probabilities": scores, "class_ids": tf.argmax(scores, 1), "words": counted},
            ),
            "raw/features:0": definition.build_signature_def(
                {"x": info(parsed["x"])}, {"logits": info(scores)}, "tensorflow/serving/predict"
            ),
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signatures,
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    words.unlink()  # the SavedModel has its own


def save_keras(folder: Path) -> None:
    """`model.export`: two named inputs, two outputs."""
    left, right = keras.Input([2], name="left"), keras.Input([2], name="right")
    total = keras.layers.Add(name="total")([left, right])
    model = keras.Model([left, right], {"total": total, "product": keras.layers.Multiply()([left, right])})
    model.export(folder, verbose=False)


def save_names(folder: Path) -> None:
    """Inputs and outputs whose names are no identifiers, a scalar, and texts of several lengths."""
    with tf.Graph().as_default(), v1.Session() as session:
        floats = v1.placeholder(tf.float32, [None])
        times = v1.placeholder(tf.int32, [])
        words = v1.placeholder(tf.string, [None, None])
        flags = v1.placeholder(tf.bool, [None])
        inputs = {"a-b": floats, "1st": times, "the words": words, "deep/name:0": flags}
        outputs = {
            "a-b": floats * tf.cast(times, tf.float32),
            "times": tf.identity(times),
            "joined/texts": tf.strings.reduce_join(words, axis=1, separator=" "),
            "not": tf.logical_not(flags),
            "image_bytes": tf.strings.join([words[:, 0], b"\xff"]),
        }
        signature = v1.saved_model.signature_def_utils.predict_signature_def(inputs, outputs)
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()


def main(folder: Path) -> None:
    for name, save in (("estimator", save_estimator), ("keras", save_keras), ("names", save_names)):
        (folder / name).mkdir()
        save(folder / name / "1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
