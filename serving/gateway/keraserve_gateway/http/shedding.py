"""Overload: what has no place is refused before it becomes an ASGI request.

To refuse it in the application costs a third of an answer. At four times what can be served that is more than
all the answers, which would wait behind it.
"""

import asyncio
from http import HTTPStatus

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from keraserve_gateway import exchange as exchanges
from keraserve_gateway.deadline import REQUEST_ID
from keraserve_gateway.errors import Busy
from keraserve_gateway.exchange import Exchange
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import replies
from keraserve_gateway.http.http_connection import Headers, written
from keraserve_gateway.http.middleware import is_guarded, log_request, put_common_headers
from keraserve_gateway.statuses import STATUSES

log = structlog.get_logger()

_LOG_SECONDS = 1.0
_STATUS = HTTPStatus(STATUSES[Busy].http)
_ANY_ID = exchanges.new_id().encode()  # in place of a request's, in an answer that is kept


class Shedding:
    """Refuses with the application's own answers, and one log line a second for all but the first."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._coming = 0  # let in during this turn of the event loop: they have no place before the next
        self._answers: dict[bool, tuple[Headers, bytes]] = {}  # by the form of errors
        self._unlogged: int | None = None  # since the last line; none: the next one is the first

    def refusal(self, scope: Scope, headers: Headers) -> bytes | None:
        """Give the answer to a request that is not let in; none where the application shall have it.

        Traced requests are the application's, as a span is around each.
        """
        gateway = self._gateway
        if gateway.tracing is not None or gateway.admission.draining or not is_guarded(scope["path"]):
            return None
        if gateway.admission.room > self._coming:
            self._let_in()
            return None
        exchange = exchanges.begin(scope, gateway.settings.deadline_seconds)
        exchange.error = gateway.admission.busy()
        kept, body = self._answer(scope, exchange.error)
        gateway.observe(exchange, "http", str(int(_STATUS)), 0.0)
        self._log(scope, exchange)
        answer = MutableHeaders(raw=[*headers, *kept])
        put_common_headers(answer, exchange)
        return written(_STATUS, answer.raw, body.replace(_ANY_ID, exchange.trip.request_id.encode()))

    def _answer(self, scope: Scope, error: Busy) -> tuple[Headers, bytes]:
        """Have the application render its answer, once for each form: headers and body."""
        form = replies.is_compatible(scope)
        if form not in self._answers:
            any_one = {**scope, "headers": [(REQUEST_ID.encode(), _ANY_ID)]}
            exchanges.begin(any_one, self._gateway.settings.deadline_seconds)
            answer = replies.failure(any_one, error)
            kept = [header for header in answer.raw_headers if header[0] != b"content-length"]
            self._answers[form] = kept, bytes(answer.body)
        return self._answers[form]

    def _let_in(self) -> None:
        if not self._coming:
            asyncio.get_running_loop().call_soon(self._turn_is_over)
        self._coming += 1

    def _turn_is_over(self) -> None:
        self._coming = 0

    def _log(self, scope: Scope, exchange: Exchange) -> None:
        if self._unlogged is not None:
            self._unlogged += 1
            return
        self._begin_to_count()
        with structlog.contextvars.bound_contextvars(request_id=exchange.trip.request_id):
            log_request(scope, exchange, _STATUS, 0.0)

    def _begin_to_count(self) -> None:
        self._unlogged = 0
        asyncio.get_running_loop().call_later(_LOG_SECONDS, self._log_count)

    def _log_count(self) -> None:
        if self._unlogged:
            log.info("more requests refused", status=int(_STATUS), error="busy", count=self._unlogged)
            self._begin_to_count()
        else:
            self._unlogged = None
