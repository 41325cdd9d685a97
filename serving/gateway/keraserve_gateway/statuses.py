"""The one table from errors to status codes: HTTP's, and gRPC's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import grpc

from keraserve_gateway import errors


@dataclass(frozen=True)
class Status:
    """How an error is answered: HTTP status, gRPC status, and a title that does not change."""

    http: int
    grpc: grpc.StatusCode
    title: str


STATUSES: Mapping[type[errors.GatewayError], Status] = {
    errors.GatewayError: Status(500, grpc.StatusCode.INTERNAL, "Internal error"),
    errors.BadRequest: Status(400, grpc.StatusCode.INVALID_ARGUMENT, "Bad request"),
    errors.BadPicture: Status(400, grpc.StatusCode.INVALID_ARGUMENT, "Bad picture"),
    errors.UnsupportedMedia: Status(415, grpc.StatusCode.INVALID_ARGUMENT, "Unsupported media type"),
    errors.NotFound: Status(404, grpc.StatusCode.NOT_FOUND, "Not found"),
    errors.TooLarge: Status(413, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too large"),
    errors.SlowBody: Status(408, grpc.StatusCode.DEADLINE_EXCEEDED, "Request timeout"),
    errors.Busy: Status(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    errors.TooFast: Status(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    errors.NoKey: Status(401, grpc.StatusCode.UNAUTHENTICATED, "API key needed"),
    errors.KeyUnknown: Status(401, grpc.StatusCode.UNAUTHENTICATED, "API key unknown"),
    errors.ModelForbidden: Status(403, grpc.StatusCode.PERMISSION_DENIED, "Not with this API key"),
    errors.Draining: Status(503, grpc.StatusCode.UNAVAILABLE, "Stopping"),
    errors.Forbidden: Status(403, grpc.StatusCode.PERMISSION_DENIED, "Forbidden"),
    errors.ModelServerError: Status(502, grpc.StatusCode.INTERNAL, "Model server error"),
    errors.ModelServerAway: Status(503, grpc.StatusCode.UNAVAILABLE, "Model server unavailable"),
    errors.DeadlineExceeded: Status(504, grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded"),
    errors.NotImplementedThere: Status(501, grpc.StatusCode.UNIMPLEMENTED, "Not implemented"),
    errors.ModelServerFailed: Status(500, grpc.StatusCode.INTERNAL, "Model server failed"),
    errors.BadAnswer: Status(502, grpc.StatusCode.INTERNAL, "Bad answer from the model server"),
    errors.NoJsonForm: Status(501, grpc.StatusCode.UNIMPLEMENTED, "No form in JSON"),
}


def kind(error: errors.GatewayError) -> str:
    """Name the kind of an error, for answers and metrics: `too-large` for TooLarge."""
    return _in_words(type(error).__name__)


@cache
def _in_words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def grpc_status(error: errors.GatewayError) -> grpc.StatusCode:
    """Give the gRPC status of an error: the model server's own where it came from there."""
    return error.origin or STATUSES[type(error)].grpc
