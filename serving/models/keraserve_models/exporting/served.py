"""A written version, loaded as a server loads it: by a session, which restores variables by their names."""

from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorflow as tf

Arrays = dict[str, npt.NDArray[Any]]


class Served:
    """The signatures of a version in a session."""

    def __init__(self, session: Any, signatures: Mapping[str, Any]) -> None:
        self._session = session
        self._signatures = signatures

    def inputs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Shape and dtype of each input by name."""
        return {
            name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
            for name, info in sorted(self._signatures[signature].inputs.items())
        }

    def run(self, signature: str, inputs: Mapping[str, Any]) -> Arrays:
        """Call a signature with arrays by name; gives arrays by name."""
        called = self._signatures[signature]
        feeds = {called.inputs[name].name: value for name, value in inputs.items()}
        return self._session.run({name: info.name for name, info in called.outputs.items()}, feeds)


@contextmanager
def served(folder: Path) -> Generator[Served]:
    """Load the SavedModel in `folder`; its variables live until the end."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with closing(v1.Session(graph=graph)) as session:
        with graph.as_default():
            loaded = v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        yield Served(session, dict(loaded.signature_def))
