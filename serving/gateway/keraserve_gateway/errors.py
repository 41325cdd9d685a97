"""Every error of the gateway, as one tree; `statuses` has their HTTP and gRPC statuses.

GatewayError
├── BadRequest
│   └── BadImage
├── UnsupportedMediaType
├── NotFound
├── TooLarge
├── RequestTimeout
├── Overloaded
├── RateLimited
├── Draining
├── MissingApiKey
├── UnknownApiKey
├── ModelForbidden
├── Forbidden
└── ModelServerError
    ├── ModelServerUnavailable
    ├── DeadlineExceeded
    ├── CallNotImplemented
    ├── ModelServerFailure
    ├── InvalidResponse
    └── NotJsonSerializable
"""

# ruff: noqa: N818 (a name says what happened)

from dataclasses import dataclass

import grpc


@dataclass(frozen=True)
class ImageRef:
    """Which image of a request: its position, and its file name if it has one."""

    index: int
    filename: str | None = None

    def __str__(self) -> str:
        name = f" ({self.filename!r})" if self.filename is not None else ""
        return f"image {self.index}{name}"


class GatewayError(Exception):
    """The root; `detail` is a sentence for the caller.

    Args:
        detail: what is wrong; safe to show.
        image: the image that it is about, if it is about one.
        origin: the status of the model server's response, if the error came from there.
        retry_after: seconds after which to try again, if that may help.
    """

    retry_after: int | None = None

    def __init__(
        self,
        detail: str,
        *,
        image: ImageRef | None = None,
        origin: grpc.StatusCode | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.image = image
        self.origin = origin
        if retry_after is not None:
            self.retry_after = retry_after


class BadRequest(GatewayError):
    """The caller's input is wrong."""


class BadImage(BadRequest):
    """An image is empty, ends before its size, or can't be decoded by the model."""


class UnsupportedMediaType(GatewayError):
    """A body or an image is of a type that no model decodes."""


class NotFound(GatewayError):
    """There is no such model, version or label."""

    @property
    def is_not_served(self) -> bool:
        """Whether the version isn't served, in TensorFlow Serving's words: a graph may miss a file, too."""
        return self.detail.startswith("Servable not found")


class TooLarge(GatewayError):
    """There are more bytes, images or pixels than the settings allow."""


class RequestTimeout(GatewayError):
    """The request's body did not arrive before the request's deadline."""


class Overloaded(GatewayError):
    """As many requests as are allowed are in flight."""

    retry_after = 1


class RateLimited(GatewayError):
    """There were more requests a second than the key allows."""

    retry_after = 1


class MissingApiKey(GatewayError):
    """No API key was sent, and one is required."""


class UnknownApiKey(GatewayError):
    """The API key is not in the file."""


class ModelForbidden(GatewayError):
    """The API key is not for this model, which need not exist."""


class Draining(GatewayError):
    """The gateway is stopping: another one has to take the request."""

    retry_after = 1


class Forbidden(GatewayError):
    """The gateway does not pass on this call."""


class ModelServerError(GatewayError):
    """The model server did not respond as it should."""


class ModelServerUnavailable(ModelServerError):
    """It can't be reached, or the model is still loading."""

    retry_after = 2


class DeadlineExceeded(ModelServerError):
    """It did not respond in time."""


class CallNotImplemented(ModelServerError):
    """It has no such call."""


class ModelServerFailure(ModelServerError):
    """It failed while it processed the request."""


class InvalidResponse(ModelServerError):
    """Its response can't be read, or does not fit the request; the next response may."""

    retry_after = 2


class NotJsonSerializable(ModelServerError):
    """Its response is right, but JSON can't represent it; ask for another form."""
