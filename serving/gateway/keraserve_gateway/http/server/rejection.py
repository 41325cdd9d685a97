"""Rejection under overload: a request that gets no place is rejected before it is an ASGI request.

To reject it in the application costs a third of a response. At four times the load that can be served that is
more than all the responses, which would wait for it.
"""

import asyncio
from functools import lru_cache
from http import HTTPStatus

import structlog
from starlette.types import Scope

from keraserve_gateway.admission import Group
from keraserve_gateway.context import REQUEST_ID, TRACE, RequestContext, given_key, new_id
from keraserve_gateway.errors import GatewayError, Overloaded
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import error_responses
from keraserve_gateway.http.middleware import common_headers, is_guarded, log_request, model_of
from keraserve_gateway.http.scope import context_of, new_context
from keraserve_gateway.http.server.early_responses import Head, Headers, serialized
from keraserve_gateway.statuses import STATUSES, kind

log = structlog.get_logger()

_LOG_SECONDS = 1.0
_LONGEST_PATH = 512  # characters
_STATUS = HTTPStatus(STATUSES[Overloaded].http)
_CODE = str(int(_STATUS))
_ANY_ID = new_id().encode()  # in place of a request's, in a response that is kept
_ECHOED = {REQUEST_ID.encode(), TRACE[0].encode()}  # headers with which a response differs


class OverloadRejection:
    """Rejects with the application's own responses, and one log line a second for all but the first."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._rejected = gateway.metrics.rejected.labels(kind(gateway.admission.busy()))
        self._coming = 0  # let in during this turn of the event loop: they have no place before the next
        self._coming_of: dict[Group, int] = {}  # likewise, those that have places of their share only
        self._responses: dict[bool, tuple[Headers, bytes]] = {}  # by the form of errors: headers, body
        self._whole: dict[bool, tuple[Headers, bytes]] = {}  # likewise: the server's headers, and all of it
        self._unlogged: int | None = None  # since the last line; none: the next one is the first

    def rejection(self, head: Head) -> bytes | None:
        """Give the response to a request that is not let in; none where the application shall have it.

        Traced requests are the application's, as a span is around each.
        """
        gateway, path = self._gateway, _path(head)
        if gateway.tracing is not None or gateway.admission.draining or not _is_guarded(path):
            return None
        if gateway.admission.room > self._coming or self._has_own_room(head, path):
            self._let_in()
            return None
        self._rejected.inc()
        gateway.metrics.observe("http", "", "", _CODE, 0.0)
        form = _form(head.method, path)
        if self._unlogged is None or not _ECHOED.isdisjoint(name for name, _ in head.headers):
            return self._told(form, head)
        self._unlogged += 1
        whole = self._whole.get(form)
        if whole is None or whole[0] is not head.standard:  # the server's list is another one each second
            unknown = Head(head.method, head.url, [(REQUEST_ID.encode(), _ANY_ID)], head.standard)
            whole = self._whole[form] = head.standard, self._response(form, _scope(unknown), head.standard)
        return whole[1].replace(_ANY_ID, new_id().encode())

    def _has_own_room(self, head: Head, path: str) -> bool:
        """Tell whether a request's model and key have places left of their share."""
        gateway, sent = self._gateway, dict(reversed(head.headers))
        try:
            key = gateway.keys.recognise(given_key(lambda name: _text(sent.get(name.encode()))))
        except GatewayError:
            return False
        group = gateway.group(_model(path), key)
        coming = self._coming_of.get(group, 0)
        if gateway.admission.own_room(group) <= coming:
            return False
        self._coming_of[group] = coming + 1
        return True

    def _told(self, form: bool, head: Head) -> bytes:
        """Log a request, or count it for the next line, and answer with what it brought."""
        scope = _scope(head)
        response = self._response(form, scope, head.standard)
        self._log(scope, context_of(scope))
        return response

    def _response(self, form: bool, scope: Scope, standard: Headers) -> bytes:
        """Write the response that the application would give, which renders it once for each form."""
        context = new_context(scope, self._gateway.settings.deadline_seconds)
        context.error = self._gateway.admission.busy()
        if form not in self._responses:
            any_one = {**scope, "headers": [(REQUEST_ID.encode(), _ANY_ID)]}
            new_context(any_one, self._gateway.settings.deadline_seconds)
            response = error_responses.failure(any_one, context.error)
            kept = [header for header in response.raw_headers if header[0] != b"content-length"]
            self._responses[form] = kept, bytes(response.body)
        kept, body = self._responses[form]
        headers = [*standard, *kept, *common_headers(context)]
        return serialized(_STATUS, headers, body.replace(_ANY_ID, context.request_id.encode()))

    def _let_in(self) -> None:
        if not self._coming:
            asyncio.get_running_loop().call_soon(self._turn_is_over)
        self._coming += 1

    def _turn_is_over(self) -> None:
        self._coming = 0
        self._coming_of.clear()

    def _log(self, scope: Scope, context: RequestContext) -> None:
        if self._unlogged is not None:
            self._unlogged += 1
            return
        self._begin_to_count()
        log_request(scope, context, _STATUS, 0.0)

    def _begin_to_count(self) -> None:
        self._unlogged = 0
        asyncio.get_running_loop().call_later(_LOG_SECONDS, self._log_count)

    def _log_count(self) -> None:
        if self._unlogged:
            log.info("more requests rejected", status=int(_STATUS), error="busy", count=self._unlogged)
            self._begin_to_count()
        else:
            self._unlogged = None


_model = lru_cache(maxsize=1024)(model_of)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _path(head: Head) -> str:
    """The path of a request's URL, undecoded."""
    return head.url.partition(b"?")[0].partition(b"#")[0].decode("latin-1")


def _is_guarded(path: str) -> bool:
    """Tell whether keys and limits are surely for a path, though it is not decoded; the others are rare."""
    return len(path) <= _LONGEST_PATH and "%" not in path and is_guarded(path)


def _scope(head: Head) -> Scope:
    """What the application's parts look at."""
    return {"method": head.method.decode("latin-1"), "path": _path(head), "headers": head.headers}


@lru_cache(maxsize=1024)
def _form(method: bytes, path: str) -> bool:
    """Tell whether the request has TensorFlow Serving's form of errors."""
    return error_responses.is_compatible({"method": method.decode("latin-1"), "path": path})
