"""The table of all errors' HTTP and gRPC statuses, and of their names in responses, metrics and log lines."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

from keraserve_gateway import errors


@dataclass(frozen=True)
class Status:
    """How an error is reported.

    Attributes:
        kind: its name in problem types, metrics and log lines, which does not follow the class's name.
        http: the HTTP status.
        grpc: the gRPC status.
        title: of the problem, for people.
    """

    kind: str
    http: int
    grpc: grpc.StatusCode
    title: str


STATUSES: Mapping[type[errors.GatewayError], Status] = {
    errors.GatewayError: Status("gateway-error", 500, grpc.StatusCode.INTERNAL, "Internal error"),
    errors.BadRequest: Status("bad-request", 400, grpc.StatusCode.INVALID_ARGUMENT, "Bad request"),
    errors.BadImage: Status("bad-image", 400, grpc.StatusCode.INVALID_ARGUMENT, "Bad image"),
    errors.UnsupportedMediaType: Status(
        "unsupported-media", 415, grpc.StatusCode.INVALID_ARGUMENT, "Unsupported media type"
    ),
    errors.NotFound: Status("not-found", 404, grpc.StatusCode.NOT_FOUND, "Not found"),
    errors.TooLarge: Status("too-large", 413, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too large"),
    errors.RequestTimeout: Status("slow-body", 408, grpc.StatusCode.DEADLINE_EXCEEDED, "Request timeout"),
    errors.Overloaded: Status("busy", 429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    errors.RateLimited: Status("too-fast", 429, grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests"),
    errors.MissingApiKey: Status("no-key", 401, grpc.StatusCode.UNAUTHENTICATED, "API key needed"),
    errors.UnknownApiKey: Status("key-unknown", 401, grpc.StatusCode.UNAUTHENTICATED, "API key unknown"),
    errors.ModelForbidden: Status(
        "model-forbidden", 403, grpc.StatusCode.PERMISSION_DENIED, "Not with this API key"
    ),
    errors.Draining: Status("draining", 503, grpc.StatusCode.UNAVAILABLE, "Stopping"),
    errors.Forbidden: Status("forbidden", 403, grpc.StatusCode.PERMISSION_DENIED, "Forbidden"),
    errors.ModelServerError: Status(
        "model-server-error", 502, grpc.StatusCode.INTERNAL, "Model server error"
    ),
    errors.ModelServerUnavailable: Status(
        "model-server-away", 503, grpc.StatusCode.UNAVAILABLE, "Model server unavailable"
    ),
    errors.DeadlineExceeded: Status(
        "deadline-exceeded", 504, grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded"
    ),
    errors.CallNotImplemented: Status(
        "not-implemented-there", 501, grpc.StatusCode.UNIMPLEMENTED, "Not implemented"
    ),
    errors.ModelServerFailure: Status(
        "model-server-failed", 500, grpc.StatusCode.INTERNAL, "Model server failed"
    ),
    errors.InvalidResponse: Status(
        "bad-response", 502, grpc.StatusCode.INTERNAL, "Bad response from the model server"
    ),
    errors.NotJsonSerializable: Status("no-json-form", 501, grpc.StatusCode.UNIMPLEMENTED, "No form in JSON"),
}


def kind(error: errors.GatewayError) -> str:
    """Return an error's name in responses, metrics and log lines: `too-large` for TooLarge."""
    return STATUSES[type(error)].kind


def grpc_status(error: errors.GatewayError) -> grpc.StatusCode:
    """Return an error's gRPC status: the model server's own if it came from there."""
    return error.origin or STATUSES[type(error)].grpc
