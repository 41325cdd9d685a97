"""What the middleware and the routes know of one HTTP request, and the parts that they share."""

import re
import uuid
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import HTTPConnection
from starlette.types import Scope

from keraserve_gateway.admission import Admission
from keraserve_gateway.configured import ConfiguredModels
from keraserve_gateway.deadline import Deadline, Trip
from keraserve_gateway.errors import BadRequest
from keraserve_gateway.metrics import Metrics
from keraserve_gateway.model_server import ModelServer
from keraserve_gateway.pictures import Classifier
from keraserve_gateway.settings import Settings

REQUEST_ID = "x-request-id"
TIMEOUT = "x-request-timeout"

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KEY = "keraserve.exchange"


@dataclass(frozen=True)
class Gateway:
    """The parts of one application."""

    settings: Settings
    server: ModelServer
    configured: ConfiguredModels
    admission: Admission
    classifier: Classifier
    metrics: Metrics = field(default_factory=Metrics)

    def render_metrics(self) -> bytes:
        """Write the metrics as they are now, in Prometheus' text format."""
        self.metrics.in_flight.set(self.admission.in_flight)
        self.metrics.model_server_up.set(self.server.is_up)
        return self.metrics.render()


@dataclass
class Exchange:
    """One request: who it is, until when, and which model, version and pictures it turned out to be about."""

    trip: Trip
    model: str = ""
    version: int = 0
    images: int = 0


def begin(scope: Scope, deadline_seconds: float) -> Exchange:
    """Make the exchange of a request and keep it in its scope; the caller may ask for less time later."""
    headers = HTTPConnection(scope).headers
    request_id = valid_id(headers.get(REQUEST_ID, "")) or uuid.uuid4().hex
    exchange = Exchange(Trip(Deadline.after(deadline_seconds), request_id))
    scope[_KEY] = exchange
    return exchange


def of(scope: Scope) -> Exchange:
    """Give the exchange of a request."""
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
    exchange.trip = Trip(exchange.trip.deadline.at_most(float(given)), exchange.trip.request_id)
