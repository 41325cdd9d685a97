"""Around every request: its id, its place, its deadline, its log line, its metrics."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keraserve_gateway import context as exchanges
from keraserve_gateway.context import Exchange
from keraserve_gateway.errors import Draining, GatewayError, KeyUnknown
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import body, error_responses
from keraserve_gateway.wrong_keys import without_keys

log = structlog.get_logger()

_MODEL = re.compile(r"/v[12]/models/([^/:]+)")  # in a path
_CLIENT_GONE = 499  # nobody reads it; as TensorFlow Serving and nginx log it


def is_guarded(path: str) -> bool:
    """Tell whether a path is behind keys and limits: the models' are; health, metrics and pages are not."""
    return path.startswith(("/v1/", "/v2/")) and not path.startswith("/v2/health/")


def model_of(path: str) -> str:
    """Give the name of the model that a path is about, or nothing."""
    named = _MODEL.match(path)
    return named[1] if named else ""


def common_headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """Give what every answer has, and no route sets."""
    headers = [(b"x-request-id", exchange.trip.request_id.encode("latin-1"))]
    if exchange.version:
        headers.append((b"x-model-version", b"%d" % exchange.version))
    for name, value in exchange.trip.trace[:1]:
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    headers.append((b"x-content-type-options", b"nosniff"))
    return headers


def log_request(scope: Scope, exchange: Exchange, status: int, seconds: float) -> None:
    """Write the log line that every request has."""
    log.info(
        "request",
        request_id=exchange.trip.request_id,
        method=scope["method"],
        path=without_keys(scope["path"]),
        status=status,
        **exchange.words(seconds),
    )


class _Sending:
    """Passes on what the application sends, puts the common headers in, and remembers the status."""

    def __init__(self, send: Send, exchange: Exchange, *, bare: bool) -> None:
        self._send = send
        self._exchange = exchange
        self._bare = bare  # headers only
        self.status = 0
        self.answered: Callable[[], None] | None = None
        """Called before the first of the answer leaves, for which it may have to wait."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.answered is not None:
                self.answered()
            message["headers"] = [*message.get("headers", ()), *common_headers(self._exchange)]
        elif self._bare:
            message["body"] = b""
        await self._send(message)


class Around:
    """ASGI middleware; nothing that goes wrong inside gets past it but the end of the task itself."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._ended: list[tuple[Scope, Exchange, int, float]] = []  # in this turn of the event loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._ended:
            self._count_and_log()
        started = time.perf_counter()
        bare = scope["method"] == "HEAD"
        if bare:  # any GET, without its body
            scope = {**scope, "method": "GET"}
        exchange = exchanges.begin(scope, self._gateway.settings.deadline_seconds)
        sending = _Sending(send, exchange, bare=bare)
        # For this task's log lines; the server runs each request in a task of its own.
        structlog.contextvars.bind_contextvars(request_id=exchange.trip.request_id)
        with self._span(scope, exchange):
            try:
                await self._guarded(scope, receive, sending)
            finally:
                self._finished(scope, exchange, sending.status or _CLIENT_GONE, started)

    def _span(self, scope: Scope, exchange: Exchange) -> AbstractContextManager[None]:
        if not is_guarded(scope["path"]):
            return nullcontext()
        # A span's name is no place for what callers make up, so the path is an attribute.
        return self._gateway.span(exchange, scope["method"], {"url.path": without_keys(scope["path"])})

    async def _guarded(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        try:
            try:
                await self._admitted(scope, receive, sending)
            except GatewayError as error:  # whose answer may have to wait, as others
                await error_responses.failure(scope, error)(scope, receive, sending)
        except ClientDisconnect:
            log.info("client went away")
        except asyncio.CancelledError:
            if exchanges.CLIENT_GONE in scope.get("state", {}):
                log.info("client went away")
                return
            if not self._gateway.admission.draining:
                raise
            # The server ends what outlasts the drain; its caller gets an answer, the log no stack trace.
            log.warning("cut off at the end of draining")
            if not sending.status:
                error = Draining("the gateway stopped before it could answer")
                await error_responses.failure(scope, error)(scope, receive, sending)
        except Exception:
            log.exception("unexpected error")
            if not sending.status:
                reply = error_responses.plain(
                    scope, 500, "an unexpected error; the log has it under this request id"
                )
                await reply(scope, receive, sending)

    async def _admitted(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        exchange, path = exchanges.of(scope), scope["path"]
        exchange.shorten()
        if not is_guarded(path):
            await self._app(scope, receive, sending)
            return
        gateway, model = self._gateway, model_of(path)
        try:
            exchange.key = gateway.keys.recognise(exchange.given_key)
        except KeyUnknown:
            await gateway.wrong_keys.slow_down((scope.get("client") or ("",))[0])
            raise
        gateway.keys.admit(exchange.key, [model] if model else [])
        if scope["method"] == "POST":  # a place is for who has sent everything
            gateway.admission.check_open()
            exchange.body = await body.receive_whole(
                receive, exchange, gateway.settings.max_body_bytes, gateway.arriving
            )
            gateway.bodies.take(len(exchange.body))
            exchange.held = len(exchange.body)
        group = gateway.group(model, exchange.key)
        state = scope.setdefault("state", {})
        async with gateway.admission.enter(exchange.trip.timeout, group) as place:

            def answered() -> None:
                place.leave()
                state.pop(exchanges.IN_WORK, None)

            sending.answered, state[exchanges.IN_WORK] = answered, True
            await self._app(scope, receive, sending)

    def _finished(self, scope: Scope, exchange: Exchange, status: int, started: float) -> None:
        """Have it counted and logged when the other answers of this turn of the event loop have left, too.

        One request after the other, that takes less than each between other work. What comes after an answer
        finds it counted.
        """
        self._gateway.bodies.give_back(exchange.held)
        exchange.status = str(status)
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._count_and_log, context=Context())
        self._ended.append((scope, exchange, status, time.perf_counter() - started))

    def _count_and_log(self) -> None:
        ended, self._ended = self._ended, []
        for scope, exchange, status, seconds in ended:
            try:
                if is_guarded(scope["path"]):
                    self._gateway.observe(exchange, "http", seconds)
                log_request(scope, exchange, status, seconds)
            except Exception:  # it is nothing to the requests beside it
                log.exception("unexpected error", request_id=exchange.trip.request_id)
