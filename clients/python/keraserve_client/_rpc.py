"""A gRPC request as a value: the call and its message. No I/O."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from keraserve_client._errors import InvalidResponse
from keraserve_protocol import messages as m
from keraserve_protocol import services


@dataclass(frozen=True, slots=True)
class Rpc:
    """A unary call and the message that it is sent with."""

    call: services.Call[Any, Any]
    message: m.Message


def send(
    call: services.Call[services.Request, services.Response], message: services.Request
) -> Generator[Rpc, m.Message, services.Response]:
    """Yield the request, and return the response.

    Raises:
        InvalidResponse: a message of another type came.
    """
    response = yield Rpc(call, message)
    if not isinstance(response, call.response):
        raise InvalidResponse(f"{call.path} returned a {type(response).__name__}")
    return response
