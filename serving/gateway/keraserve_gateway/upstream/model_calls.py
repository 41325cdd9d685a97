"""`Ask`, the one way to call a model server; coalescing and version routing wrap it."""

from typing import Protocol, TypeVar

from keraserve_gateway.context import CallContext
from keraserve_protocol import messages as m
from keraserve_protocol import services

Request = TypeVar("Request", bound=m.Message)
Response = TypeVar("Response", bound=m.Message)


class Ask(Protocol):
    """Makes one of TensorFlow Serving's calls."""

    async def __call__(
        self, call: services.Call[Request, Response], request: Request, context: CallContext, /
    ) -> Response:
        """Make a call.

        Raises:
            GatewayError: it failed, or took longer than the context allows.
        """
        ...
