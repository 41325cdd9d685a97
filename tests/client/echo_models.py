"""A model that returns its inputs, with a signature for each dtype. Run as a program:

python tests/client/echo_models.py FOLDER
"""

import sys
from pathlib import Path

import tensorflow as tf

TYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "bfloat16", "string", "complex64", "complex128"),
)


class Echo(tf.Module):
    """`v` to `out`; also a signature with two inputs, one with none, and one of a type that numpy lacks."""

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        found = {}
        for name in TYPES:
            spec = tf.TensorSpec(None, tf.dtypes.as_dtype(name), name="v")
            echo = tf.function(lambda v: {"out": tf.identity(v)}, input_signature=[spec])
            found[name] = echo.get_concrete_function()
        text, table = tf.TensorSpec(None, tf.string, name="text"), tf.TensorSpec([None, 4], name="table")
        two = tf.function(lambda text, table: {"text": text + "", "table": table + 0}, [text, table])
        found["two"] = two.get_concrete_function()
        found["about"] = tf.function(lambda: {"json": tf.constant('{"a": 1}')}, []).get_concrete_function()
        small = tf.function(lambda v: {"out": tf.cast(v, tf.qint8)}, [tf.TensorSpec(None, name="v")])
        found["quantized"] = small.get_concrete_function()
        return found


if __name__ == "__main__":
    module = Echo()
    tf.saved_model.save(module, str(Path(sys.argv[1]) / "1"), signatures=module.signatures())
