"""Limits of one request: rows, and elements of its tensors. They are checked before anything is allocated.

A tensor's shape is a claim of a few bytes: in TensorFlow's format its last value stands for all that lack.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keraserve_embedded.errors import InvalidRequestError
from keraserve_protocol.elements import STRING
from keraserve_protocol.messages import SignatureDef, TensorProto


@dataclass(frozen=True)
class RequestLimits:
    """How much one request may have.

    Attributes:
        rows: of a batch: examples, strings, or what a tensor of several dimensions has in its first.
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
            # Numbers in a row may be one recording: what they cost is their number, not that of rows.
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
        """Check what a context takes that stands before each example; raises as `check`."""
        if len(context) * examples > self.elements:
            raise InvalidRequestError(
                f"a context of {len(context)} bytes before each of {examples} examples is too much: at most "
                f"{self.elements} bytes are taken together (--max_request_elements)"
            )


DEFAULT_LIMITS = RequestLimits()
