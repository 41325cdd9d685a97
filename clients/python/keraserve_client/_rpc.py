"""A gRPC call as a value. No I/O."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from keraserve_client._errors import InvalidResponse
from keraserve_protocol import messages as m
from keraserve_protocol import services


@dataclass(frozen=True, slots=True)
class Rpc:
    """A unary call and its request."""

    call: services.Call[Any, Any]
    request: m.Message


Request = TypeVar("Request", bound=m.Message)
Response = TypeVar("Response", bound=m.Message)


def ask(call: services.Call[Request, Response], request: Request) -> Generator[Rpc, m.Message, Response]:
    """Ask for one answer.

    Raises:
        InvalidResponse: it is of another type.
    """
    response = yield Rpc(call, request)
    if not isinstance(response, call.response):
        raise InvalidResponse(f"{call.path} answered with a {type(response).__name__}")
    return response
