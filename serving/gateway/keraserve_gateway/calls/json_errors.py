"""Our errors of what the JSON codecs reject: in a request, or in a response."""

from keraserve_gateway import errors
from keraserve_protocol import rest


def request_error(error: rest.JsonError) -> errors.GatewayError:
    """Make the error of a body that can't be read, or holds too much."""
    return (errors.TooLarge if isinstance(error, rest.TooMuchError) else errors.BadRequest)(str(error))


def response_error(error: rest.ResponseError) -> errors.GatewayError:
    """Make the error of a response that is malformed, or that JSON can't carry."""
    return (errors.NotJsonSerializable if isinstance(error, rest.FormError) else errors.InvalidResponse)(
        str(error)
    )
