"""What every request gets: its id, its place, its deadline, its log line, its metrics."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import Draining, GatewayError, UnknownApiKey
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import error_responses, request_body
from keraserve_gateway.http.scope import CLIENT_GONE, IN_WORK, context_of, new_context
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


def common_headers(context: RequestContext) -> list[tuple[bytes, bytes]]:
    """Give what every response has, and no route sets."""
    headers = [(b"x-request-id", context.request_id.encode("latin-1"))]
    if context.version:
        headers.append((b"x-model-version", b"%d" % context.version))
    for name, value in context.trace[:1]:
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    headers.append((b"x-content-type-options", b"nosniff"))
    return headers


def log_request(scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
    """Write the log line that every request has."""
    log.info(
        "request",
        request_id=context.request_id,
        method=scope["method"],
        path=without_keys(scope["path"]),
        status=status,
        **context.log_fields(seconds),
    )


class _Sending:
    """Passes on what the application sends, puts the common headers in, and remembers the status."""

    def __init__(self, send: Send, context: RequestContext, *, bare: bool) -> None:
        self._send = send
        self._context = context
        self._bare = bare  # headers only
        self.status = 0
        self.responded: Callable[[], None] | None = None
        """Called before the first of the response leaves, for which it may have to wait."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.responded is not None:
                self.responded()
            message["headers"] = [*message.get("headers", ()), *common_headers(self._context)]
        elif self._bare:
            message["body"] = b""
        await self._send(message)


class RequestMiddleware:
    """ASGI middleware; nothing that goes wrong inside gets past it but the end of the task itself."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._ended: list[tuple[Scope, RequestContext, int, float]] = []  # in this turn of the event loop

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
        context = new_context(scope, self._gateway.settings.deadline_seconds)
        sending = _Sending(send, context, bare=bare)
        # For this task's log lines; the server runs each request in a task of its own.
        structlog.contextvars.bind_contextvars(request_id=context.request_id)
        with self._span(scope, context):
            try:
                await self._guarded(scope, receive, sending)
            finally:
                self._finished(scope, context, sending.status or _CLIENT_GONE, started)

    def _span(self, scope: Scope, context: RequestContext) -> AbstractContextManager[None]:
        if not is_guarded(scope["path"]):
            return nullcontext()
        # A span's name is no place for what callers make up, so the path is an attribute.
        return self._gateway.span(context, scope["method"], {"url.path": without_keys(scope["path"])})

    async def _guarded(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        try:
            try:
                await self._admitted(scope, receive, sending)
            except GatewayError as error:  # whose response may have to wait, as others
                hint = self._gateway.known_models(error, context_of(scope))
                await error_responses.failure(scope, error, hint)(scope, receive, sending)
        except ClientDisconnect:
            log.info("client went away")
        except asyncio.CancelledError:
            if CLIENT_GONE in scope.get("state", {}):
                log.info("client went away")
                return
            if not self._gateway.admission.draining:
                raise
            # The server ends what outlasts the drain; its caller gets a response, the log no stack trace.
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
        context, path = context_of(scope), scope["path"]
        context.take_given_timeout()
        if not is_guarded(path):
            await self._app(scope, receive, sending)
            return
        gateway, model = self._gateway, model_of(path)
        try:
            context.key = gateway.keys.recognise(context.given_key)
        except UnknownApiKey:
            await gateway.wrong_keys.slow_down((scope.get("client") or ("",))[0])
            raise
        gateway.keys.admit(context.key, [model] if model else [])
        if scope["method"] == "POST":  # a place is for who has sent everything
            gateway.admission.check_open()
            context.body = await request_body.receive_whole(
                receive, context, gateway.settings.max_body_bytes, gateway.incomplete_bodies
            )
            gateway.bodies.take(len(context.body))
            context.held = len(context.body)
        group = gateway.group(model, context.key)
        state = scope.setdefault("state", {})
        async with gateway.admission.enter(context.timeout, group) as place:

            def responded() -> None:
                place.leave()
                state.pop(IN_WORK, None)

            sending.responded, state[IN_WORK] = responded, True
            await self._app(scope, receive, sending)

    def _finished(self, scope: Scope, context: RequestContext, status: int, started: float) -> None:
        """Have it counted and logged when the other answers of this turn of the event loop have left, too.

        One request after the other, that takes less than each between other work. What comes after a response
        finds it counted.
        """
        self._gateway.bodies.give_back(context.held)
        context.status = str(status)
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._count_and_log, context=Context())
        self._ended.append((scope, context, status, time.perf_counter() - started))

    def _count_and_log(self) -> None:
        ended, self._ended = self._ended, []
        for scope, context, status, seconds in ended:
            try:
                if is_guarded(scope["path"]):
                    self._gateway.observe(context, "http", seconds)
                log_request(scope, context, status, seconds)
            except Exception:  # it is nothing to the requests beside it
                log.exception("unexpected error", request_id=context.request_id)
