"""What the gateway knows of one request, HTTP or gRPC."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from starlette.types import Scope

from keraserve_gateway.deadline import REQUEST_ID, Deadline, Trip
from keraserve_gateway.errors import BadRequest, GatewayError
from keraserve_gateway.keys import Key
from keraserve_gateway.statuses import kind
from keraserve_gateway.wrong_keys import without_keys

TIMEOUT = "x-request-timeout"
LABEL = "x-model-label"
STICKY = "x-sticky-key"
TRACE = ("traceparent", "tracestate")

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VALID_STATE = re.compile(r"[ -~]{1,512}")  # W3C: as much is passed on at least
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_KEY = "keraserve.exchange"
CLIENT_GONE = "keraserve.client_gone"  # in the scope's state, if its client closed the connection
IN_WORK = "keraserve.in_work"  # in the scope's state, while it has a place among those in flight

Header = Callable[[str], str | None]
"""Gives the value of an HTTP header or of a gRPC call's metadata, by its name in small letters."""


@dataclass
class Exchange:
    """One request: who it is, until when, which model, version and pictures it turned out to be about.

    Attributes:
        trip: until when, and what the model server is told of it.
        header: gives a header or metadata value of it, by name.
        given_key: the API key that came with it.
        given_timeout: the seconds that its caller gives it, as sent.
        label: of the version that it asks for by a header, in place of the path.
        sticky: what it has in common with those that the same version shall answer.
        key: the entry of its API key, once it is known.
        model: its model's name, as given.
        version: that answered, or that was chosen to; 0 while it is not known.
        images: how many pictures were classified.
        body: its body, once that is here whole, as it was sent.
        held: how many bytes of bodies in flight are its own.
        error: why it was refused, or failed.
        status: with which it was answered, by HTTP's numbers or gRPC's names.
    """

    trip: Trip
    header: Header
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
    def of(cls, header: Header, seconds: float) -> "Exchange":
        """Make it of a request's headers, with a deadline `seconds` from now."""
        request_id, parent = header(REQUEST_ID), header(TRACE[0])
        trace: tuple[tuple[str, str], ...] = ()
        if parent and _VALID_TRACE.fullmatch(parent):
            state = (header(TRACE[1]) or "").replace("\t", " ")
            # What gRPC's metadata can't carry, or what is too long for it, is left behind: the rest is whole.
            whole = ((TRACE[0], parent), (TRACE[1], state))
            trace = whole if _VALID_STATE.fullmatch(state) else whole[:1]
        return cls(
            Trip(Deadline.after(seconds), (request_id and valid_id(request_id)) or new_id(), trace),
            header,
            given_key=given_key(header),
            given_timeout=header(TIMEOUT),
            label=header(LABEL) or None,
            sticky=header(STICKY),
        )

    def shorten(self) -> None:
        """Take the caller's own deadline, `X-Request-Timeout: <seconds>`, where it is the earlier one.

        Raises:
            BadRequest: the header is no positive number.
        """
        given = self.given_timeout
        if given is None:
            return
        if not _SECONDS.fullmatch(given) or float(given) <= 0:
            raise BadRequest("X-Request-Timeout has to be a positive number of seconds")
        self.trip = self.trip.at_most(float(given))

    def fail(self, error: GatewayError) -> None:
        """Note why it was refused, or failed, and no more: not where that came up.

        The frames of a traceback hold the body, and this exchange. So they would be in memory until the
        garbage collector comes by, after thousands of requests.
        """
        self.error = error.with_traceback(None)
        error.__cause__ = error.__context__ = None

    def words(self, seconds: float) -> dict[str, Any]:
        """Say what its log line says of it, beside its status."""
        return {
            "milliseconds": round(seconds * 1000, 1),
            "model": without_keys(self.model),
            "version": str(self.version or ""),
            **({"trace_id": self.trip.trace[0][1].split("-")[1]} if self.trip.trace else {}),
            **({"key": self.key.name} if self.key else {}),
            **({"error": kind(self.error)} if self.error else {}),
        }

    def attributes(self) -> dict[str, str]:
        """Say what its span says of it."""
        name = "http.response.status_code" if self.status.isdecimal() else "rpc.response.status_code"
        return {
            name: self.status,
            "keraserve.model": without_keys(self.model),
            "keraserve.version": str(self.version or ""),
            "keraserve.request_id": self.trip.request_id,
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


def begin(scope: Scope, deadline_seconds: float) -> Exchange:
    """Make the exchange of an HTTP request and keep it in its scope."""
    # Read once: Starlette looks through all headers for each. Of several with one name the first counts.
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
    exchange = Exchange.of(sent.get, deadline_seconds)
    scope[_KEY] = exchange
    return exchange


def of(scope: Scope) -> Exchange:
    """Give the exchange of an HTTP request."""
    return cast(Exchange, scope[_KEY])


def new_id() -> str:
    """Make a request id; unlike a system call, it does not let go of Python's lock."""
    return f"{random.getrandbits(128):032x}"


def valid_id(given: str) -> str:
    """Give back a request id that may go into logs and headers, else nothing."""
    return given if _VALID_ID.fullmatch(given) else ""
