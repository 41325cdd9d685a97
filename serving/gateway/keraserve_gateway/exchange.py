"""What the gateway knows of one request, HTTP or gRPC, and the parts that all requests share."""

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import HTTPConnection
from starlette.types import Scope

from keraserve_gateway.admission import Admission
from keraserve_gateway.canary import FILE, Canary
from keraserve_gateway.configured import ConfiguredModels
from keraserve_gateway.deadline import Deadline, Trip
from keraserve_gateway.errors import BadRequest, GatewayError
from keraserve_gateway.keys import Key, Keys
from keraserve_gateway.metrics import Metrics
from keraserve_gateway.model_server import ModelServer
from keraserve_gateway.settings import Settings
from keraserve_gateway.statuses import kind

if TYPE_CHECKING:
    from keraserve_gateway.tracing import Tracing

REQUEST_ID = "x-request-id"
TIMEOUT = "x-request-timeout"
LABEL = "x-model-label"
STICKY = "x-sticky-key"
TRACE = ("traceparent", "tracestate")

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VALID_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_KEY = "keraserve.exchange"
CLIENT_GONE = "keraserve.client_gone"  # in the scope's state, if its client closed the connection

Header = Callable[[str], str | None]
"""Gives the value of an HTTP header or of a gRPC call's metadata, by its name in small letters."""


@dataclass(frozen=True)
class Gateway:
    """The parts of one application."""

    settings: Settings
    server: ModelServer
    configured: ConfiguredModels
    canary: Canary
    admission: Admission
    keys: Keys
    metrics: Metrics = field(default_factory=Metrics)
    tracing: "Tracing | None" = None
    repeating: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever asks again for pictures one by one: see `Classifier`."""

    @classmethod
    def of(cls, settings: Settings, server: ModelServer, tracing: "Tracing | None" = None) -> "Gateway":
        """Make the parts as the settings say."""
        configured = ConfiguredModels(settings.model_config_file, settings.models)
        canary_file = settings.canary_file
        if canary_file is None and settings.model_config_file is not None:
            canary_file = settings.model_config_file.with_name(FILE)
        return cls(
            settings,
            server,
            configured,
            Canary(canary_file, configured),
            Admission(settings.max_in_flight, settings.max_waiting, settings.wait_seconds),
            Keys(settings.keys_file, settings.key_requests_per_second),
            tracing=tracing,
        )

    def span(
        self, exchange: "Exchange", name: str, attributes: Mapping[str, str]
    ) -> AbstractContextManager[None]:
        """Give what holds a span around a request, if requests are traced."""
        return self.tracing.request(exchange, name, attributes) if self.tracing else nullcontext()

    def render_metrics(self) -> bytes:
        """Write the metrics as they are now, in Prometheus' text format."""
        self.metrics.in_flight.set(self.admission.in_flight)
        self.metrics.waiting.set(self.admission.waiting)
        self.metrics.model_server_up.set(self.server.is_up)
        self.metrics.canary_share.clear()
        for model, share in self.canary.shares.items():
            if model in self.configured:
                self.metrics.canary_share.labels(model).set(share)
        return self.metrics.render()

    def observe(self, exchange: "Exchange", protocol: str, code: str, seconds: float) -> None:
        """Count a request that is finished; with the names of things that exist, and no others."""
        exchange.status = code
        # A version is known only from labels and answers, so a model with one exists even if not configured.
        exists = bool(exchange.version) or exchange.model in self.configured
        model = exchange.model if exists else ""
        version = str(exchange.version or "")
        self.metrics.observe(protocol, model, version, code, seconds)
        if exchange.images and exchange.error is None:
            self.metrics.images.labels(model, version).inc(exchange.images)
        if exchange.error is not None and exchange.error.origin is None:
            self.metrics.refused.labels(kind(exchange.error)).inc()


@dataclass
class Exchange:
    """One request: who it is, until when, which model, version and pictures it turned out to be about.

    Attributes:
        trip: until when, and what the model server is told of it.
        given_key: the API key that came with it.
        label: of the version that it asks for by a header, in place of the path.
        sticky: what it has in common with those that the same version shall answer.
        key: the entry of its API key, once it is known.
        model: its model's name, as given.
        version: that answered, or that was chosen to; 0 while it is not known.
        images: how many pictures were classified.
        error: why it was refused, or failed.
        status: with which it was answered, by HTTP's numbers or gRPC's names.
    """

    trip: Trip
    given_key: str | None = None
    label: str | None = None
    sticky: str | None = None
    key: Key | None = None
    model: str = ""
    version: int = 0
    images: int = 0
    error: GatewayError | None = None
    status: str = ""

    @classmethod
    def of(cls, header: Header, seconds: float) -> "Exchange":
        """Make it of a request's headers, with a deadline `seconds` from now."""
        request_id = valid_id(header(REQUEST_ID) or "") or uuid.uuid4().hex
        trace = ()
        if _VALID_TRACE.fullmatch(header(TRACE[0]) or ""):
            trace = tuple((name, value) for name in TRACE if (value := header(name)) is not None)
        bearer = _BEARER.fullmatch((header("authorization") or "").strip())
        return cls(
            Trip(Deadline.after(seconds), request_id, trace),
            given_key=bearer[1] if bearer else header("x-api-key"),
            label=header(LABEL) or None,
            sticky=header(STICKY),
        )

    def words(self, seconds: float) -> dict[str, Any]:
        """Say what its log line says of it, beside its status."""
        return {
            "milliseconds": round(seconds * 1000, 1),
            "model": self.model,
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
            "keraserve.model": self.model,
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


def begin(scope: Scope, deadline_seconds: float) -> Exchange:
    """Make the exchange of an HTTP request and keep it in its scope."""
    exchange = Exchange.of(HTTPConnection(scope).headers.get, deadline_seconds)
    scope[_KEY] = exchange
    return exchange


def of(scope: Scope) -> Exchange:
    """Give the exchange of an HTTP request."""
    return cast(Exchange, scope[_KEY])


def valid_id(given: str) -> str:
    """Give back a request id that may go into logs and headers, else nothing."""
    return given if _VALID_ID.fullmatch(given) else ""


def shorten(scope: Scope, exchange: Exchange) -> None:
    """Take the caller's own deadline, `X-Request-Timeout: <seconds>`, where it is the earlier one.

    Raises:
        BadRequest: the header is no positive number.
    """
    given = HTTPConnection(scope).headers.get(TIMEOUT)
    if given is None:
        return
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", given) or float(given) <= 0:
        raise BadRequest("X-Request-Timeout has to be a positive number of seconds")
    exchange.trip = exchange.trip.at_most(float(given))
