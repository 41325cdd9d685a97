"""SavedModels that others' documentation shows, and one with every type. Run as a program:

    python tests/documented_models.py FOLDER

`half_plus_two` and `half_plus_three` are those of TensorFlow Serving's documentation and tests: y = x / 2 + 2
(or 3), with its signatures, names and shapes, as TensorFlow 1 writes them. `every_type` has a signature for
each dtype, which gives its input back.
"""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
TYPES = ("bool", *INTEGERS, "float16", "float32", "float64", "bfloat16", "string", "complex64")


def save_half_plus(number: float, folder: Path, *, regress: str, shape: list[int | None] | None) -> None:
    """Write y = x / 2 + number; y2 and y3 are x / 2 + 3.

    `regress` is the name of the signature x to y, `shape` what x may have (None: any).
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        half, plus, three = (v1.Variable(value) for value in (0.5, number, 3.0))
        serialized = v1.placeholder(tf.string, name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([1], tf.float32),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = tf.io.parse_example(tf.reshape(serialized, [-1]), features)
        x = v1.placeholder_with_default(parsed["x"], shape, name="x")
        x2 = tf.identity(parsed["x2"], name="x2")
        y = tf.identity(half * x + plus, name="y")
        y2, y3 = tf.identity(half * x + three, name="y2"), tf.identity(half * x2 + three, name="y3")
        session.run(v1.global_variables_initializer())
        signatures = {
            "serving_default": _signature("predict", {"x": x}, {"y": y}),
            regress: _signature("regress", {"inputs": serialized}, {"outputs": y}),
            "regress_x_to_y2": _signature("regress", {"inputs": serialized}, {"outputs": y2}),
            "regress_x2_to_y3": _signature("regress", {"inputs": x2}, {"outputs": y3}),
            "classify_x_to_y": _signature("classify", {"inputs": serialized}, {"scores": y}),
            "classify_x2_to_y3": _signature("classify", {"inputs": x2}, {"scores": y3}),
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def _signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    info = tf.compat.v1.saved_model.build_tensor_info
    return tf.compat.v1.saved_model.build_signature_def(
        {name: info(tensor) for name, tensor in inputs.items()},
        {name: info(tensor) for name, tensor in outputs.items()},
        f"tensorflow/serving/{method}",
    )


def save_every_type(folder: Path) -> None:
    module = tf.Module()
    signatures = {}
    for name in TYPES:
        spec = tf.TensorSpec([None, None], tf.dtypes.as_dtype(name), name=f"{name}_in")
        echo = tf.function(lambda x: {"out": tf.identity(x)}, input_signature=[spec])
        signatures[name] = echo.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures=signatures)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    save_half_plus(2.0, root / "half_plus_two/123", regress="regress_x_to_y", shape=[None, 1])
    save_half_plus(3.0, root / "half_plus_three/123", regress="tensorflow/serving/regress", shape=None)
    save_every_type(root / "every_type/1")
