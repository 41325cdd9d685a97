"""Everything that the gateway rejects or can't do, as one tree. No HTTP in here: see `statuses`.

GatewayError
├── BadRequest               the caller's input is wrong; the message says what
│   └── BadImage           … and which image
├── UnsupportedMediaType     not a kind of body or image that a model decodes
├── NotFound                 no such model, version or label
├── TooLarge                 over a limit: bytes, images, pixels
├── RequestTimeout           the request's body did not arrive within its deadline
├── Overloaded               too many requests in flight
├── RateLimited              too many requests a second with this key
├── Draining                 the gateway is stopping
├── MissingApiKey            no API key was given
├── UnknownApiKey            the API key is none of ours
├── ModelForbidden           the API key is not good for this model
├── Forbidden                not a call for the gateway's clients
└── ModelServerError         what the model server did or did not answer
    ├── ModelServerUnavailable  not reachable, or the model is still loading
    ├── DeadlineExceeded     no response in time
    ├── CallNotImplemented   it has no such call
    ├── ModelServerFailure   it failed while working on the request
    ├── InvalidResponse      its response is malformed
    └── NotJsonSerializable  its response has no form in JSON

The names on the wire (problem types, metrics, log lines) are in `statuses`: they don't follow these classes.
"""

# ruff: noqa: N818 (the names say what happened; the root says that they are errors)

from dataclasses import dataclass

import grpc


@dataclass(frozen=True)
class ImageRef:
    """Which image of a request: its place, and its file name where it had one."""

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
        origin: the status with which the model server answered, if it did.
        retry_after: seconds after which trying again makes sense, if it does.
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
    """An image that is empty, cut off before its size, or that the model can't decode."""


class UnsupportedMediaType(GatewayError):
    """A body or an image of a type that no model decodes."""


class NotFound(GatewayError):
    """No such model, version or label."""


class TooLarge(GatewayError):
    """More bytes, images or pixels than the settings allow."""


class RequestTimeout(GatewayError):
    """The request's body did not arrive within the request's deadline."""


class Overloaded(GatewayError):
    """As many requests as are allowed are in flight."""

    retry_after = 1


class RateLimited(GatewayError):
    """More requests a second than the key may make."""

    retry_after = 1


class MissingApiKey(GatewayError):
    """No API key was given, where one is needed."""


class UnknownApiKey(GatewayError):
    """The API key is none of ours."""


class ModelForbidden(GatewayError):
    """The API key is not good for the model, whether there is one of that name or not."""


class Draining(GatewayError):
    """The gateway is stopping: another one will answer."""

    retry_after = 1


class Forbidden(GatewayError):
    """A call that the gateway does not pass on."""


class ModelServerError(GatewayError):
    """What the model server did or did not answer."""


class ModelServerUnavailable(ModelServerError):
    """It can't be reached, or is not ready."""

    retry_after = 2


class DeadlineExceeded(ModelServerError):
    """It did not answer in time."""


class CallNotImplemented(ModelServerError):
    """It does not have the call."""


class ModelServerFailure(ModelServerError):
    """It failed while working on the request."""


class InvalidResponse(ModelServerError):
    """Its response can't be read, or does not fit the request: another may stand there in a moment."""

    retry_after = 2


class NotJsonSerializable(ModelServerError):
    """Its response is sound, and JSON can't carry it: to be asked for in another form."""
