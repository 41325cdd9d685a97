"""One signature of a loaded SavedModel: named arrays in, named arrays out."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keraserve_embedded.errors import Code, ExecutionError, InvalidRequestError
from keraserve_embedded.models import tensors
from keraserve_embedded.models.decode_memory import DECODE_MEMORY, estimate
from keraserve_embedded.quiet_tensorflow import CallableOptions, tf
from keraserve_protocol.messages import DataType, SignatureDef, TensorInfo, TensorProto
from keraserve_protocol.tensors import Array

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
EXAMPLE_METHODS = (CLASSIFY_METHOD, REGRESS_METHOD)
"""The method names of signatures that take serialized `tf.Example`s."""


@dataclass(frozen=True)
class Origin:
    """Where a signature comes from."""

    model: str
    version: int
    signature: str

    def __str__(self) -> str:
        return f"{self.model} {self.version} {self.signature}"


@dataclass(frozen=True, eq=False)
class Signature:
    """A signature that can be run; `definition` is the SavedModel's own.

    Attributes:
        origin: model, version and name.
        inputs: the inputs' names, in the order of the arguments.
        outputs: the outputs' names, in the order of the results.
        defaults: used for inputs that a request leaves out.
        batched: the first dimension of every input and output may have any size.
        independent: each row of a batch is known to give the same result as alone.
    """

    origin: Origin
    definition: SignatureDef
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: Mapping[str, TensorProto]
    batched: bool
    independent: bool
    _dtypes: Mapping[str, int]
    _callable: Any

    @classmethod
    def prepare(
        cls,
        origin: Origin,
        session: Any,
        definition: SignatureDef,
        defaults: Mapping[str, TensorProto],
        *,
        independent: bool = False,
    ) -> "Signature":
        """Prepare a signature of a session's graph for fast calls.

        Raises:
            tf.errors.OpError: the graph can't be run from these inputs to these outputs.
            ValueError: an input or output is not a dense tensor.
        """
        inputs, outputs = tuple(sorted(definition.inputs)), tuple(sorted(definition.outputs))
        options = CallableOptions(
            feed=[_dense(definition.inputs[name], name) for name in inputs],
            fetch=[_dense(definition.outputs[name], name) for name in outputs],
        )
        batched = all(map(_any_rows, (*definition.inputs.values(), *definition.outputs.values())))
        dtypes = {name: definition.inputs[name].dtype for name in inputs}
        # Does once what Session.run does before each call; decision 3 has the figures.
        made = session._make_callable_from_options(options)
        return cls(origin, definition, inputs, outputs, defaults, batched, independent, dtypes, made)

    def replaced(self, run: Callable[[Any], Sequence[Any]]) -> "Signature":
        """The same signature, whose arrays, by name, `run` turns into results, in the outputs' order.

        What that can't take, which raises RuntimeError, and empty arrays the graph runs, or rejects in
        TensorFlow's words.
        """

        def either(*arrays: Array) -> Sequence[Any]:
            with suppress(RuntimeError):
                if all(array.size for array in arrays):
                    return run(dict(zip(self.inputs, arrays, strict=True)))
            return self._callable(*arrays)

        return replace(self, _callable=either)

    def run(self, arrays: Mapping[str, Array], *, first: int = 0) -> dict[str, Array]:
        """Run the signature once.

        Args:
            arrays: for each input an array of its dtype (`check` says so).
            first: the index of their first element in the request, for the message.

        Returns:
            An array for each output; strings are `object` elements of type `bytes`.

        Raises:
            TooLargeError: its images take more memory than there is for decoding.
            ExecutionError: the graph failed. If one element of a batch of strings causes it (an image that
                can't be decoded), and rows are independent, the message begins with its index:
                `image_bytes[2]: …`.
        """
        try:
            return self.run_merged(arrays)
        except ExecutionError as error:
            if error.code == Code.INVALID_ARGUMENT and self._may_be_split(arrays, first):
                self._blame_one(arrays, first)
            raise

    def check(self, protos: Mapping[str, TensorProto]) -> None:
        """Compare the inputs' types with the signature's.

        The graph checks shapes, as in TensorFlow Serving: it may accept others than the signature has.

        Raises:
            InvalidRequestError: another dtype.
        """
        for position, name in enumerate(self.inputs):
            if protos[name].dtype != self._dtypes[name]:
                raise InvalidRequestError(
                    f"Expects arg[{position}] to be {tensors.type_name(self._dtypes[name])} but "
                    f'{tensors.type_name(protos[name].dtype)} is provided (input "{name}")'
                )

    def run_merged(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Run the signature once as `run` does, without a search for the element that made it fail."""
        try:
            with DECODE_MEMORY.hold(
                estimate(arrays, of_examples=self.definition.method_name in EXAMPLE_METHODS)
            ):
                results = self._callable(*(arrays[name] for name in self.inputs))
            return {name: _array(result) for name, result in zip(self.outputs, results, strict=True)}
        except tf.errors.OpError as error:
            raise ExecutionError(clean(error.message), Code(error.error_code)) from None
        except UnicodeDecodeError as error:
            # The message quotes bytes of the request that are no UTF-8. TensorFlow's Python can't decode it,
            # and loses the code; only bytes that a client sent are quoted.
            message = error.object.decode(errors="replace")
            raise ExecutionError(clean(message), Code.INVALID_ARGUMENT) from None

    def _may_be_split(self, arrays: Mapping[str, Array], first: int) -> bool:
        sizes = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
        infos = [self.definition.inputs[name] for name in self.inputs]
        return (
            self.independent
            and len(sizes) == 1
            and sizes.pop() + first > 1
            and any(info.dtype == DataType.DT_STRING for info in infos)
            and all(info.tensor_shape.unknown_rank or info.tensor_shape.dim[0].size == -1 for info in infos)
        )

    def _blame_one(self, arrays: Mapping[str, Array], first: int) -> None:
        """Raise the error of the first element that fails alone, with its index in the message."""
        texts = [name for name in self.inputs if self.definition.inputs[name].dtype == DataType.DT_STRING]
        for index in range(len(arrays[texts[0]])):
            try:
                self.run_merged({name: array[index : index + 1] for name, array in arrays.items()})
            except ExecutionError as error:
                raise ExecutionError(f"{texts[0]}[{first + index}]: {error}", error.code) from None


# TensorFlow's Python writes before a message where each node was defined.
_PREAMBLE = re.compile(r"\AGraph execution error:\n(?:(?:Detected at node .*|<stack traces .*| .*|)\n)*")
_FIRST_OF_SEVERAL = re.compile(
    r"\A\d+ root error\(s\) found\.\n\s*\(0\) \w+: (.*?)(?:\n\s*\(1\).*)?\Z", re.DOTALL
)
_NODES = re.compile(r"\[\[.*?\]\]|\{\{.*?\}\}|\[Op:[^\]]*\](?: name:.*)?", re.DOTALL)
_LONGEST_MESSAGE = 4096  # characters: some messages quote a whole input


def clean(message: str) -> str:
    """Remove nodes, functions and traces from a message, which mean nothing to a caller."""
    text = _PREAMBLE.sub("", message[:_LONGEST_MESSAGE], count=1)
    text = _FIRST_OF_SEVERAL.sub(r"\1", text)
    lines = (line.strip() for line in _NODES.sub("", text).splitlines())
    return "\n".join(line for line in lines if line)


def _array(result: Any) -> Array:
    """Make an array also of a scalar, which is a numpy number, or bytes."""
    return np.array(result, np.object_) if isinstance(result, bytes) else np.asarray(result)


def _dense(info: TensorInfo, name: str) -> str:
    """Return the tensor's name in the graph; sparse and composite tensors have more than one."""
    if not info.name:
        raise ValueError(f'"{name}" is not a dense tensor')
    return info.name


def _any_rows(info: TensorInfo) -> bool:
    shape = info.tensor_shape
    return shape.unknown_rank or (len(shape.dim) > 0 and shape.dim[0].size == -1)
