"""Limits on the rows and elements of a request's tensors, which few bytes may claim."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keraserve_gateway.errors import TooLarge
from keraserve_protocol import messages as m


@dataclass(frozen=True)
class RequestLimits:
    """Limits on the tensors of a request.

    Attributes:
        rows: most rows of a tensor (its first dimension, if the signature leaves that open), or examples.
        elements: most elements of all tensors together.
    """

    rows: int
    elements: int

    def check(self, tensors: Mapping[str, m.TensorProto], known: Mapping[str, m.TensorInfo]) -> None:
        """Check the shapes of a request's tensors; `known` are the signature's inputs.

        Raises:
            TooLarge: too many rows, or elements.
        """
        elements = 0
        for name, tensor in tensors.items():
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            elements += math.prod(sizes)
            if sizes and name in known and _has_rows(known[name]) and sizes[0] > self.rows:
                raise TooLarge(
                    f"input {name!r} has {sizes[0]} rows, {self.rows} are allowed in a request (max_rows)"
                )
        if elements > self.elements:
            raise TooLarge(
                f"the tensors have {elements} elements, {self.elements} are allowed in a request"
                " (max_elements)"
            )

    def check_examples(self, count: int) -> None:
        """Raise TooLarge if there are more examples than rows are allowed."""
        if count > self.rows:
            raise TooLarge(f"{count} examples in a request, {self.rows} are allowed (max_rows)")


def _has_rows(info: m.TensorInfo) -> bool:
    """Tell whether the signature leaves an input's number of rows open."""
    dims = info.tensor_shape.dim
    return not info.tensor_shape.unknown_rank and bool(dims) and dims[0].size == -1
