"""The context of one request, HTTP or gRPC: until when, who it is, and what it turned out to be about."""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keraserve_gateway.errors import BadRequest, GatewayError
from keraserve_gateway.keys import Key
from keraserve_gateway.statuses import kind
from keraserve_gateway.wrong_keys import without_keys

REQUEST_ID = "x-request-id"
TIMEOUT = "x-request-timeout"
LABEL = "x-model-label"
STICKY = "x-sticky-key"
TRACE = ("traceparent", "tracestate")

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VALID_STATE = re.compile(r"[ -~]{1,512}")  # W3C: as much is passed on at least
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")

Header = Callable[[str], str | None]
"""Gives the value of an HTTP header or of a gRPC call's metadata, by its name in small letters."""

Metadata = Sequence[tuple[str, str]]
"""What the model server is told of a request, in a call's metadata."""


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; one total for everything that a request does."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Set a deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Give the seconds that are left, 0.0 once it has passed."""
        return max(0.0, self.at - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """Give the earlier of this deadline and one `seconds` from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))


class CallContext(Protocol):
    """What a call of the model server needs of its request; `RequestContext` has it."""

    @property
    def timeout(self) -> float:
        """The seconds that are left."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the model server is told of the request."""
        ...


@dataclass(frozen=True)
class PlainCallContext:
    """The `CallContext` of a call of the gateway's own, or of several requests together."""

    deadline: Deadline
    metadata: Metadata = ()

    @property
    def timeout(self) -> float:
        """The seconds that are left."""
        return self.deadline.left()


def _no_header(_: str) -> None:
    """Give the headers of a request that the gateway makes itself: none."""


@dataclass
class RequestContext:
    """One request: who it is, until when, which model, version and images it turned out to be about.

    Attributes:
        deadline: when it has to be answered.
        request_id: what its log lines and responses carry.
        trace: where it belongs in its caller's trace, `traceparent` and `tracestate`; empty if in none.
        header: gives a header or metadata value of it, by name.
        given_key: the API key that came with it.
        given_timeout: the seconds that its caller gives it, as sent.
        label: of the version that it asks for by a header, in place of the path.
        sticky: what it has in common with those that the same version shall answer.
        key: the entry of its API key, once it is known.
        model: its model's name, as given.
        version: that answered, or that was chosen to; 0 while it is not known.
        images: how many images were classified.
        body: its body, once that is here whole, as it was sent.
        held: how many bytes of bodies in flight are its own.
        error: why it was rejected, or failed.
        status: with which it was answered, by HTTP's numbers or gRPC's names.
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
    version: int = 0
    images: int = 0
    body: bytes = b""
    held: int = 0
    error: GatewayError | None = None
    status: str = ""

    @classmethod
    def from_headers(cls, header: Header, seconds: float) -> "RequestContext":
        """Make it of a request's headers, with a deadline `seconds` from now."""
        request_id, parent = header(REQUEST_ID), header(TRACE[0])
        trace: tuple[tuple[str, str], ...] = ()
        if parent and _VALID_TRACE.fullmatch(parent):
            state = (header(TRACE[1]) or "").replace("\t", " ")
            # What gRPC's metadata can't carry, or what is too long for it, is left behind: the rest is whole.
            whole = ((TRACE[0], parent), (TRACE[1], state))
            trace = whole if _VALID_STATE.fullmatch(state) else whole[:1]
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
        """The seconds that are left."""
        return self.deadline.left()

    @property
    def metadata(self) -> Metadata:
        """What the model server is told of it."""
        return (*(((REQUEST_ID, self.request_id),) if self.request_id else ()), *self.trace)

    def limit_time(self, seconds: float) -> None:
        """Have it end `seconds` from now, where that is earlier than its deadline."""
        self.deadline = self.deadline.at_most(seconds)

    def take_given_timeout(self) -> None:
        """Take the caller's own deadline, `X-Request-Timeout: <seconds>`, where it is the earlier one.

        Raises:
            BadRequest: the header is no positive number.
        """
        given = self.given_timeout
        if given is None:
            return
        if not _SECONDS.fullmatch(given) or float(given) <= 0:
            raise BadRequest("X-Request-Timeout has to be a positive number of seconds")
        self.limit_time(float(given))

    def record_error(self, error: GatewayError) -> None:
        """Note why it was rejected, or failed, without the traceback.

        A traceback's frames hold the body, and this context: a reference cycle, which stays in memory until
        the garbage collector's next round, thousands of requests later.
        """
        self.error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None

    def log_fields(self, seconds: float) -> dict[str, Any]:
        """Give the fields of its log line, beside its status."""
        return {
            "milliseconds": round(seconds * 1000, 1),
            "model": without_keys(self.model),
            "version": str(self.version or ""),
            **({"trace_id": self.trace[0][1].split("-")[1]} if self.trace else {}),
            **({"key": self.key.name} if self.key else {}),
            **({"error": kind(self.error)} if self.error else {}),
        }

    def span_attributes(self) -> dict[str, str]:
        """Give the attributes of its span."""
        name = "http.response.status_code" if self.status.isdecimal() else "rpc.response.status_code"
        return {
            name: self.status,
            "keraserve.model": without_keys(self.model),
            "keraserve.version": str(self.version or ""),
            "keraserve.request_id": self.request_id,
            **({"error.type": kind(self.error)} if self.error else {}),
        }

    @property
    def failed(self) -> bool:
        """Whether it failed by no fault of its caller."""
        return self.status.startswith("5") or self.status in {"INTERNAL", "UNKNOWN", "UNAVAILABLE"}

    def may_see(self, model: str) -> bool:
        """Tell whether its key is good for a model; without keys, all are."""
        return self.key is None or self.key.may_use(model)


def given_key(header: Header) -> str | None:
    """Give the API key that a request came with."""
    key = header("authorization")
    bearer = _BEARER.fullmatch(key.strip()) if key else None
    return bearer[1] if bearer else header("x-api-key")


def new_id() -> str:
    """Make a request id; unlike a system call, it does not let go of Python's lock."""
    return f"{random.getrandbits(128):032x}"


def valid_id(given: str) -> str:
    """Give back a request id that may go into logs and headers, else nothing."""
    return given if _VALID_ID.fullmatch(given) else ""
