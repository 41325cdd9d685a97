"""Everything that a call can fail with, as one tree.

KeraserveError
├── ConnectionFailed     no server there (also a ConnectionError)
├── DeadlineExceeded     no response in time (also a TimeoutError); status 504 when a server said so
├── InvalidResponse      a response of another form: another kind of server, or a broken one
├── InvalidInput         an image, tensor or option that can't be sent (also a ValueError)
├── NotSupported         the call does not exist on this transport
└── StatusError          the server rejected or failed; any status without a class of its own
    ├── BadRequest       400
    ├── NotAuthorized    401, 403
    ├── NotFound         404: no such model, version or label
    ├── TooLarge         413: too many bytes, images or pixels
    ├── UnsupportedImage 415: not an image type that the model decodes
    ├── TooManyRequests  429: too fast, or the queue is full
    └── Unavailable      502, 503: the model server is away or still loading

Over gRPC the status is the HTTP status of the code, so that the same `except` works with every client.
"""

# ruff: noqa: N818 (the names say what happened; the root says that they are errors)

from typing import Any

RETRIABLE = frozenset({429, 502, 503, 504})


class KeraserveError(Exception):
    """The root.

    Attributes:
        detail: what happened, one sentence.
        status_code: the HTTP status; None if no server sent one.
        request_id: the request's id in the server's log; None if the server sent none.
        retry_after: seconds that the server said to wait, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def retriable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status_code in RETRIABLE

    def __str__(self) -> str:
        facts = [str(self.status_code)] if self.status_code is not None else []
        facts += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.detail} ({', '.join(facts)})" if facts else self.detail


class ConnectionFailed(KeraserveError, ConnectionError):
    """No server there: connection refused, unknown host, or the connection broke.

    Attributes:
        lasting: whether a retry would fail too: the certificate is not trusted, or the server speaks no HTTP.
    """

    def __init__(self, detail: str, *, lasting: bool = False, **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.lasting = lasting

    @property
    def retriable(self) -> bool:
        """Unless it is lasting: no call changes anything on the server."""
        return not self.lasting


class DeadlineExceeded(KeraserveError, TimeoutError):
    """No response in time: ours (`status_code` None) or the server's own limit (504)."""


class InvalidResponse(KeraserveError):
    """A response of another form than the API's."""


class InvalidInput(KeraserveError, ValueError):
    """An image, tensor or option that can't be sent."""


class NotSupported(KeraserveError):
    """The call does not exist on this transport; the message says which one has it."""


class StatusError(KeraserveError):
    """The server rejected or failed."""


class BadRequest(StatusError):
    """400: the input is wrong; the message says what, and which image."""


class NotAuthorized(StatusError):
    """401 or 403: no key, a wrong one, or one that may not use the model."""


class NotFound(StatusError):
    """404: no such model, version or label."""


class TooLarge(StatusError):
    """413: too many bytes, images or pixels."""


class UnsupportedImage(StatusError):
    """415: not an image type that the model decodes."""


class TooManyRequests(StatusError):
    """429: too fast, or the queue is full."""


class Unavailable(StatusError):
    """502 or 503: the model server is away, or the model is still loading."""


BY_STATUS: dict[int, type[KeraserveError]] = {
    400: BadRequest,
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    413: TooLarge,
    415: UnsupportedImage,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def of_status(
    status_code: int, detail: str, *, request_id: str | None = None, retry_after: float | None = None
) -> KeraserveError:
    """Make the error that a status means."""
    kind = BY_STATUS.get(status_code, StatusError)
    return kind(detail, status_code=status_code, request_id=request_id, retry_after=retry_after)
