"""The gateway's errors for what the JSON codecs reject in a request or a response."""

from collections.abc import Generator
from contextlib import contextmanager

from keraserve_gateway import errors
from keraserve_protocol import rest

_KINDS: dict[type[rest.JsonError], type[errors.GatewayError]] = {
    rest.TooMuchError: errors.TooLarge,
    rest.ResponseError: errors.InvalidResponse,
    rest.FormError: errors.NotJsonSerializable,
}


@contextmanager
def gateway_errors() -> Generator[None]:
    """Raise a `GatewayError` in place of each `JsonError`."""
    try:
        yield
    except rest.JsonError as error:
        raise _KINDS.get(type(error), errors.BadRequest)(str(error)) from error
