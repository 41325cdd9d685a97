"""Every error of the embedded model server, and its status code.

EmbeddedError
├── ConfigError                a flag or a configuration file is wrong
│   └── UnavailableLabelError  a label for a version that neither serves nor is about to
├── StartError                 the server can't start: port taken, model that can't be loaded
├── LoadError                  a version that can't be loaded; carries its own code
└── RequestError               the response to one request
    ├── InvalidRequestError    the request does not fit the model
    ├── UnknownLabelError      no version has this label
    ├── NotServedError         no such model, or no such version, is available
    ├── UnknownSignatureError  the model has no signature of this name
    ├── UnsupportedError       a call, or a form of one, that is not served
    ├── RequestCancelledError  nobody waits for the response any more
    ├── QueueFullError         too many requests wait for this signature
    ├── TooLargeError          the body has more bytes than are read
    ├── BusyError              too many requests wait already
    ├── DrainingError          the server is stopping
    ├── DeadlineExceededError  the client's deadline passed, or the server's own
    ├── ExecutionError         the graph failed; carries TensorFlow's code
    └── InternalError          a defect of this server
"""

from enum import IntEnum


class Code(IntEnum):
    """The status codes of gRPC, with google.rpc.Code's (and TensorFlow's) numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class EmbeddedError(Exception):
    """The root; `str(error)` is the message for the client or the operator, without a stack trace."""

    own_code: Code | None = None

    @property
    def code(self) -> Code:
        """The status code: the error's own where it carries one, else its class's in `CODES`."""
        return self.own_code or CODES[type(self)]


class _CodedError(EmbeddedError):
    def __init__(self, message: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.own_code = code


class ConfigError(EmbeddedError):
    """A flag or a configuration file is wrong."""


class UnavailableLabelError(ConfigError):
    """A label for a version that neither serves nor is about to."""


class StartError(EmbeddedError):
    """The server can't start."""


class LoadError(_CodedError):
    """A version that can't be loaded or warmed up."""


class RequestError(EmbeddedError):
    """The response to one request."""


class InvalidRequestError(RequestError):
    """The request does not fit the model: input, dtype, shape, filter, or a field that is missing."""


class UnknownLabelError(RequestError):
    """No version of the model has this label."""


class NotServedError(RequestError):
    """No such model, or no such version of it, is available."""


class UnknownSignatureError(RequestError):
    """The model has no signature of this name."""


class UnsupportedError(RequestError):
    """A call, or a form of one, that is not served."""


class TooLargeError(RequestError):
    """The body has more bytes than are read."""


class BusyError(RequestError):
    """Too many requests wait already."""


class DrainingError(RequestError):
    """The server is stopping."""


class DeadlineExceededError(RequestError):
    """The client's deadline passed, or the time that the server allows."""


class RequestCancelledError(RequestError):
    """Nobody waits for the response any more, or the server stops."""


class QueueFullError(RequestError):
    """Too many requests wait for this signature; the caller may retry later, or on another server."""


class ExecutionError(_CodedError, RequestError):
    """The graph failed; carries TensorFlow's code and message."""


class InternalError(RequestError):
    """A defect of this server; the log has the cause."""


CODES: dict[type[EmbeddedError], Code] = {
    ConfigError: Code.INVALID_ARGUMENT,
    UnavailableLabelError: Code.FAILED_PRECONDITION,
    StartError: Code.FAILED_PRECONDITION,
    LoadError: Code.UNKNOWN,
    InvalidRequestError: Code.INVALID_ARGUMENT,
    UnknownLabelError: Code.INVALID_ARGUMENT,
    NotServedError: Code.NOT_FOUND,
    UnknownSignatureError: Code.FAILED_PRECONDITION,
    UnsupportedError: Code.UNIMPLEMENTED,
    TooLargeError: Code.RESOURCE_EXHAUSTED,
    BusyError: Code.RESOURCE_EXHAUSTED,
    DrainingError: Code.UNAVAILABLE,
    DeadlineExceededError: Code.DEADLINE_EXCEEDED,
    RequestCancelledError: Code.CANCELLED,
    QueueFullError: Code.UNAVAILABLE,
    ExecutionError: Code.UNKNOWN,
    InternalError: Code.INTERNAL,
}

_LONGEST_MESSAGE = 1024  # characters; TensorFlow Serving's limit, since gRPC sends it in a header


def client_message(error: EmbeddedError) -> str:
    """Return the message to send, cut to the length of TensorFlow Serving's messages."""
    text = str(error)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}...TRUNCATED"
