"""The context of one request, HTTP or gRPC: its deadline, ids and key, and what is found out about it."""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keraserve_gateway.api_keys.keys import Key
from keraserve_gateway.api_keys.wrong_keys import without_keys
from keraserve_gateway.errors import BadRequest, GatewayError
from keraserve_gateway.statuses import kind

REQUEST_ID = "x-request-id"
TIMEOUT = "x-request-timeout"
LABEL = "x-model-label"
STICKY = "x-sticky-key"
TRACE = ("traceparent", "tracestate")

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VALID_STATE = re.compile(r"[ -~]{1,512}")  # W3C: at least as much has to be passed on
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")

Header = Callable[[str], str | None]
"""Returns the value of an HTTP header, or of a gRPC call's metadata, by its name in lower case."""

Metadata = Sequence[tuple[str, str]]
"""What a call tells the model server about its request."""


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, at which all that a request does has to end."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Make a deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, 0.0 once it has passed."""
        return max(0.0, self.at - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and one `seconds` from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))


class CallContext(Protocol):
    """What a call of the model server needs to know of its request."""

    @property
    def timeout(self) -> float:
        """Seconds left until the deadline."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the call tells the model server about the request."""
        ...


@dataclass(frozen=True)
class PlainCallContext:
    """The `CallContext` of a call that the gateway makes for itself, or for several requests together."""

    deadline: Deadline
    metadata: Metadata = ()

    @property
    def timeout(self) -> float:
        """Seconds left until the deadline."""
        return self.deadline.left()


def _no_header(_: str) -> None:
    """The `Header` of a request that the gateway makes itself."""


@dataclass
class RequestContext:
    """What is known of one request.

    Attributes:
        deadline: when its response is due.
        request_id: stands in its log lines and its response.
        trace: `traceparent` and `tracestate` of its caller's trace; empty without one.
        header: returns one of its headers or metadata values, by name.
        given_key: the API key that was sent.
        given_timeout: the seconds in `X-Request-Timeout`, as sent.
        label: the version's label in `X-Model-Label`.
        sticky: the value of `X-Sticky-Key`: requests with the same one get the same version.
        key: the entry of its API key, once that is checked.
        model: its model's name, as given.
        version: that was chosen or has responded; None while it is not known.
        images: how many images were classified.
        body: its body as sent, once it is complete.
        held: how many of the bytes in flight are its own.
        error: why it was rejected, or failed.
        status: of its response, as HTTP's number or gRPC's name.
    """

    deadline: Deadline
    request_id: str = ""
    trace: tuple[tuple[str, str], ...] = ()
    header: Header = _no_header
    given_key: str | None = None
    given_timeout: str | None = None
    label: str | None = None
    sticky: str | None = None
    key: Key | None = None
    model: str = ""
    version: int | None = None
    images: int = 0
    body: bytes = b""
    held: int = 0
    error: GatewayError | None = None
    status: str = ""

    @classmethod
    def from_headers(cls, header: Header, seconds: float) -> "RequestContext":
        """Make the context of a request with these headers and a deadline `seconds` from now."""
        request_id, parent = header(REQUEST_ID), header(TRACE[0])
        trace: tuple[tuple[str, str], ...] = ()
        if parent and _VALID_TRACE.fullmatch(parent):
            state = (header(TRACE[1]) or "").replace("\t", " ")
            trace = ((TRACE[0], parent), (TRACE[1], state))
            if not _VALID_STATE.fullmatch(state):  # gRPC's metadata can't carry it
                trace = trace[:1]
        return cls(
            Deadline.after(seconds),
            (request_id and valid_id(request_id)) or new_id(),
            trace,
            header,
            given_key=given_key(header),
            given_timeout=header(TIMEOUT),
            label=header(LABEL) or None,
            sticky=header(STICKY),
        )

    @property
    def timeout(self) -> float:
        """Seconds left until the deadline."""
        return self.deadline.left()

    @property
    def metadata(self) -> Metadata:
        """What its calls tell the model server about it."""
        return (*(((REQUEST_ID, self.request_id),) if self.request_id else ()), *self.trace)

    def limit_time(self, seconds: float) -> None:
        """Move its deadline to `seconds` from now, if that is earlier."""
        self.deadline = self.deadline.at_most(seconds)

    def apply_given_timeout(self) -> None:
        """Move its deadline to the caller's own, `X-Request-Timeout: <seconds>`, if that is earlier.

        Raises:
            BadRequest: the header is not a positive number.
        """
        given = self.given_timeout
        if given is None:
            return
        if not _SECONDS.fullmatch(given) or float(given) <= 0:
            raise BadRequest("X-Request-Timeout has to be a positive number of seconds")
        self.limit_time(float(given))

    def record_version(self, responded: int | None) -> None:
        """Keep the version that a response comes from, if the response says it."""
        if responded is not None:
            self.version = responded

    def record_error(self, error: GatewayError) -> None:
        """Keep the error that ends it, without its traceback.

        The traceback's frames refer to the body and to this context: a reference cycle, which would stay in
        memory until the garbage collector's next round, thousands of requests later.
        """
        self.error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None

    def log_fields(self, seconds: float) -> dict[str, Any]:
        """Return the fields of its log line, beside its status."""
        return {
            "milliseconds": round(seconds * 1000, 1),
            "model": without_keys(self.model),
            "version": self.version_text,
            **({"trace_id": self.trace[0][1].split("-")[1]} if self.trace else {}),
            **({"key": self.key.name} if self.key else {}),
            **({"error": kind(self.error)} if self.error else {}),
        }

    def span_attributes(self) -> dict[str, str]:
        """Return the attributes of its span."""
        name = "http.response.status_code" if self.status.isdecimal() else "rpc.response.status_code"
        return {
            name: self.status,
            "keraserve.model": without_keys(self.model),
            "keraserve.version": self.version_text,
            "keraserve.request_id": self.request_id,
            **({"error.type": kind(self.error)} if self.error else {}),
        }

    @property
    def version_text(self) -> str:
        """The version in logs, metrics and spans; empty while it is not known."""
        return "" if self.version is None else str(self.version)

    @property
    def failed(self) -> bool:
        """Whether it failed, and not through its caller's fault."""
        return self.status.startswith("5") or self.status in {"INTERNAL", "UNKNOWN", "UNAVAILABLE"}

    def may_see(self, model: str) -> bool:
        """Return whether its key may be used for a model; without a key, every model may."""
        return self.key is None or self.key.may_use(model)


def given_key(header: Header) -> str | None:
    """Return the API key that was sent with a request."""
    key = header("authorization")
    bearer = _BEARER.fullmatch(key.strip()) if key else None
    return bearer[1] if bearer else header("x-api-key")


def new_id() -> str:
    """Make a request id, without a system call, which would release Python's lock."""
    return f"{random.getrandbits(128):032x}"


def valid_id(given: str) -> str:
    """Return a given request id if it may go into logs and headers, else an empty string."""
    return given if _VALID_ID.fullmatch(given) else ""
