"""The middleware around every request: its context, key, slot, span, log line and metrics."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keraserve_gateway.api_keys.wrong_keys import without_keys
from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import Draining, GatewayError, NotFound, UnknownApiKey
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import error_responses, request_body
from keraserve_gateway.http.scope import CLIENT_GONE, IN_FLIGHT, context_of, new_context

log = structlog.get_logger()

_MODEL = re.compile(r"/v[12]/models/([^/:]+)")  # in a path
_CLIENT_GONE = 499  # for log and metrics, as TensorFlow Serving and nginx have it


def is_guarded(path: str) -> bool:
    """Return whether keys and limits apply to a path: to models', not to health, metrics and pages."""
    return path.startswith(("/v1/", "/v2/")) and not path.startswith("/v2/health/")


def model_of(path: str) -> str:
    """Return the model's name in a path, or an empty string."""
    found = _MODEL.match(path)
    return found[1] if found else ""


def common_headers(context: RequestContext) -> list[tuple[bytes, bytes]]:
    """Return the headers that every response has."""
    headers = [(b"x-request-id", context.request_id.encode("latin-1"))]
    if context.version is not None:
        headers.append((b"x-model-version", b"%d" % context.version))
    for name, value in context.trace[:1]:
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    headers.append((b"x-content-type-options", b"nosniff"))
    return headers


def log_request(scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
    """Write a request's log line."""
    log.info(
        "request",
        request_id=context.request_id,
        method=scope["method"],
        path=without_keys(scope["path"]),
        status=status,
        **context.log_fields(seconds),
    )


class _Sending:
    """Passes on what the application sends, adds the common headers, and remembers the status."""

    def __init__(self, send: Send, context: RequestContext, *, head_only: bool) -> None:
        self._send = send
        self._context = context
        self._head_only = head_only
        self.status = 0
        self.on_start: Callable[[], None] | None = None
        """Called before the response's first byte is sent, which may have to wait for the client."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.on_start is not None:
                self.on_start()
            message["headers"] = [*message.get("headers", ()), *common_headers(self._context)]
        elif self._head_only:
            message["body"] = b""
        await self._send(message)


class RequestMiddleware:
    """ASGI middleware around the application; every exception but a cancellation becomes a response."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        head_only = scope["method"] == "HEAD"
        if head_only:  # is a GET without the response's body
            scope = {**scope, "method": "GET"}
        context = new_context(scope, self._gateway.settings.deadline_seconds)
        sending = _Sending(send, context, head_only=head_only)
        # For this task's log lines; the server runs each request in a task of its own.
        structlog.contextvars.bind_contextvars(request_id=context.request_id)
        with self._span(scope, context):
            try:
                await self._respond(scope, receive, sending)
            finally:
                self._finish(scope, context, sending.status or _CLIENT_GONE, time.perf_counter() - started)

    def _span(self, scope: Scope, context: RequestContext) -> AbstractContextManager[None]:
        if not is_guarded(scope["path"]):
            return nullcontext()
        # The path is an attribute, as spans' names must not be made up by callers.
        return self._gateway.span(context, scope["method"], {"url.path": without_keys(scope["path"])})

    async def _respond(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        try:
            try:
                await self._admit(scope, receive, sending)
            except GatewayError as error:  # sent inside the outer `try`, as the client may go away meanwhile
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
            # The server cancels what outlasts draining: send a response, and log no stack trace.
            log.warning("cut off at the end of draining")
            if not sending.status:
                error = Draining("the gateway stopped before it could respond")
                await error_responses.failure(scope, error)(scope, receive, sending)
        except Exception:
            log.exception("unexpected error")
            if not sending.status:
                detail = "an unexpected error; the log has it under this request id"
                await error_responses.plain(scope, 500, detail)(scope, receive, sending)

    async def _admit(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        """Check the key, receive the body, wait for a slot, and run the application."""
        context, path = context_of(scope), scope["path"]
        context.apply_given_timeout()
        if not is_guarded(path):
            await self._app(scope, receive, sending)
            return
        gateway, model = self._gateway, model_of(path)
        try:
            context.key = gateway.keys.check(context.given_key)
        except UnknownApiKey:
            await gateway.wrong_keys.slow_down((scope.get("client") or ("",))[0])
            raise
        gateway.keys.admit(context.key, [model] if model else [])
        if b"%2f" in scope.get("raw_path", b"").lower():  # decoded, it would divide the path at another place
            raise NotFound("a name in a path has no slash (%2F)")
        if scope["method"] == "POST":  # before the slot, which a slow body would hold
            gateway.admission.check_open()
            context.body = await request_body.receive(
                receive, context, gateway.settings.max_body_bytes, gateway.incomplete_bodies
            )
            gateway.bodies.take(len(context.body))
            context.held = len(context.body)
        state = scope.setdefault("state", {})
        async with gateway.admission.slot(context.timeout, gateway.group(model, context.key)) as release:

            def on_start() -> None:
                release()
                state.pop(IN_FLIGHT, None)

            sending.on_start, state[IN_FLIGHT] = on_start, True
            await self._app(scope, receive, sending)

    def _finish(self, scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
        self._gateway.bodies.give_back(context.held)
        context.status = str(status)
        if is_guarded(scope["path"]):
            self._gateway.observe(context, "http", seconds)
        log_request(scope, context, status, seconds)
