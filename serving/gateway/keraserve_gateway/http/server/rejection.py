"""Rejection under overload: a request that would get no slot is rejected before there is an ASGI request.

A rejection by the application takes a third of the time of a response. At four times the load that can be
served, rejections would take more time than all responses, and delay them.
"""

import asyncio
from functools import lru_cache
from http import HTTPStatus

import structlog
from starlette.types import Scope

from keraserve_gateway.admission import Group
from keraserve_gateway.context import REQUEST_ID, TRACE, given_key, new_id
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
_ANY_ID = new_id().encode()  # the request id in kept responses
_ECHOED = {REQUEST_ID.encode(), TRACE[0].encode()}  # headers that a response repeats


class OverloadRejection:
    """Rejects with the application's own responses; logs the first, then how many there were each second."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._rejected = gateway.metrics.rejected.labels(kind(gateway.admission.overloaded()))
        self._passed = 0  # in this turn of the event loop: these requests have a slot in the next one
        self._passed_by_share: dict[Group, int] = {}  # those of them that only their group's share admits
        self._responses: dict[bool, tuple[Headers, bytes]] = {}  # by the form of errors: headers, body
        self._serialized: dict[bool, tuple[Headers, bytes]] = {}  # likewise: standard headers, whole response
        self._unlogged: int | None = None  # since the last line; None: the next one is logged

    def rejection(self, head: Head) -> bytes | None:
        """Return the response to a request that is rejected; None if the application has to handle it.

        With tracing all go to the application, which makes their spans.
        """
        gateway, path = self._gateway, _path(head)
        if gateway.tracing is not None or gateway.admission.draining or not _is_guarded(path):
            return None
        if gateway.admission.available > self._passed or self._has_share(head, path):
            if not self._passed:
                asyncio.get_running_loop().call_soon(self._end_turn)
            self._passed += 1
            return None
        self._rejected.inc()
        gateway.metrics.observe("http", "", "", _CODE, 0.0)
        form = _form(head.method, path)
        if self._unlogged is None or not _ECHOED.isdisjoint(name for name, _ in head.headers):
            scope = _scope(head)
            response = self._response(form, scope, head.standard)
            self._log(scope)
            return response
        self._unlogged += 1
        kept = self._serialized.get(form)
        if kept is None or kept[0] is not head.standard:  # uvicorn makes a new list each second
            scope = _scope(head._replace(headers=[(REQUEST_ID.encode(), _ANY_ID)]))
            kept = self._serialized[form] = head.standard, self._response(form, scope, head.standard)
        return kept[1].replace(_ANY_ID, new_id().encode())

    def _has_share(self, head: Head, path: str) -> bool:
        """Return whether a request's group has slots left of its share."""
        gateway, headers = self._gateway, dict(reversed(head.headers))
        try:
            key = gateway.keys.check(given_key(lambda name: _text(headers.get(name.encode()))))
        except GatewayError:
            return False
        group = gateway.group(_model(path), key)
        passed = self._passed_by_share.get(group, 0)
        if gateway.admission.available_to(group) <= passed:
            return False
        self._passed_by_share[group] = passed + 1
        return True

    def _response(self, form: bool, scope: Scope, standard: Headers) -> bytes:
        """Return the application's response to a request; it is rendered once for each form."""
        context = new_context(scope, self._gateway.settings.deadline_seconds)
        context.error = self._gateway.admission.overloaded()
        if form not in self._responses:
            other = {**scope, "headers": [(REQUEST_ID.encode(), _ANY_ID)]}
            new_context(other, self._gateway.settings.deadline_seconds)
            response = error_responses.failure(other, context.error)
            self._responses[form] = response.raw_headers, bytes(response.body)
        kept, body = self._responses[form]
        headers = [*standard, *kept, *common_headers(context)]
        return serialized(_STATUS, headers, body.replace(_ANY_ID, context.request_id.encode()))

    def _end_turn(self) -> None:
        self._passed = 0
        self._passed_by_share.clear()

    def _log(self, scope: Scope) -> None:
        if self._unlogged is not None:
            self._unlogged += 1
            return
        self._start_counting()
        log_request(scope, context_of(scope), _STATUS, 0.0)

    def _start_counting(self) -> None:
        self._unlogged = 0
        asyncio.get_running_loop().call_later(_LOG_SECONDS, self._log_count)

    def _log_count(self) -> None:
        if self._unlogged:
            log.info("more requests rejected", status=int(_STATUS), error="busy", count=self._unlogged)
            self._start_counting()
        else:
            self._unlogged = None


_model = lru_cache(maxsize=1024)(model_of)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _path(head: Head) -> str:
    """Return the undecoded path of a request's URL."""
    return head.url.partition(b"?")[0].partition(b"#")[0].decode("latin-1")


def _is_guarded(path: str) -> bool:
    """Return whether keys and limits surely apply to an undecoded path; encoded ones are rare."""
    return len(path) <= _LONGEST_PATH and "%" not in path and is_guarded(path)


def _scope(head: Head) -> Scope:
    """Return the items of an ASGI scope that the application's functions need."""
    return {"method": head.method.decode("latin-1"), "path": _path(head), "headers": head.headers}


@lru_cache(maxsize=1024)
def _form(method: bytes, path: str) -> bool:
    """Return whether the request's errors have TensorFlow Serving's form."""
    return error_responses.is_compatible({"method": method.decode("latin-1"), "path": path})
