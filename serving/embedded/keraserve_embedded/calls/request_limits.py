"""The options of a call, and limits on the rows and elements of one request, checked before any allocation.

A message of a few bytes may have a tensor of any shape: in TensorFlow's format its last value is repeated.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keraserve_embedded.errors import InvalidRequestError
from keraserve_protocol.elements import STRING
from keraserve_protocol.messages import SignatureDef, TensorProto


@dataclass(frozen=True)
class RequestLimits:
    """The largest size of one request.

    Attributes:
        rows: of a batch: examples, strings, or the first dimension of a tensor that has several.
        elements: of all its inputs together.
    """

    rows: int = 16384
    elements: int = 1 << 26

    def check(self, definition: SignatureDef, inputs: Mapping[str, TensorProto]) -> None:
        """Check the inputs of a signature.

        Raises:
            InvalidRequestError: more rows or elements than allowed; the message names the flag.
        """
        elements = 0
        for name, proto in inputs.items():
            shape = [dim.size for dim in proto.tensor_shape.dim]
            elements += math.prod(shape)
            fixed = [dim.size for dim in definition.inputs[name].tensor_shape.dim][:1]
            # A vector of numbers may be one row, such as a recording.
            if (len(shape) > 1 or (shape and proto.dtype == STRING)) and shape[:1] != fixed:
                self.check_rows(shape[0], name)
        if elements > self.elements:
            raise InvalidRequestError(
                f"the request has {elements} elements; at most {self.elements} are taken "
                "(--max_request_elements)"
            )

    def check_rows(self, rows: int, name: str) -> None:
        """Check the number of rows of one input; raises as `check`."""
        if rows > self.rows:
            raise InvalidRequestError(
                f'input "{name}" has {rows} rows; at most {self.rows} are taken in one request '
                "(--max_request_rows)"
            )

    def check_context(self, context: bytes, examples: int) -> None:
        """Check the bytes of a context that is repeated before each example; raises as `check`."""
        if len(context) * examples > self.elements:
            raise InvalidRequestError(
                f"a context of {len(context)} bytes before each of {examples} examples is too much: at most "
                f"{self.elements} bytes are taken together (--max_request_elements)"
            )


DEFAULT_LIMITS = RequestLimits()


@dataclass(frozen=True)
class CallOptions:
    """The options of a call that runs a graph.

    Attributes:
        as_content: responses have `tensor_content`, not the typed fields.
        limits: the largest size of one request.
    """

    as_content: bool = False
    limits: RequestLimits = DEFAULT_LIMITS


DEFAULT_OPTIONS = CallOptions()
