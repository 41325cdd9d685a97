"""TensorFlow Serving's REST port, as an ASGI application: calls run on threads, errors are `{"error": …}`."""

import asyncio
import logging
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keraserve_embedded.api import rest_calls
from keraserve_embedded.api.grpc_service import STATUS
from keraserve_embedded.api.message_bytes import MessageBytes
from keraserve_embedded.api.request_pool import RequestPool
from keraserve_embedded.deadline import Deadline
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import (
    BusyError,
    Code,
    DeadlineExceededError,
    DrainingError,
    EmbeddedError,
    InternalError,
    InvalidRequestError,
    TooLargeError,
    UnknownLabelError,
)
from keraserve_embedded.observer import Observer
from keraserve_embedded.telemetry.metrics import Metrics
from keraserve_protocol import rest

log = logging.getLogger(__name__)

JSON = "application/json"
_MOST_BYTES = 256 << 20  # of a body: 64 MiB of pixels, gRPC's limit, as JSON
_GZIP = 16 + zlib.MAX_WBITS
# Errors whose HTTP status is more specific than their gRPC status.
_OWN_STATUS = {UnknownLabelError: 404, TooLargeError: 413}


@dataclass(frozen=True)
class RestOptions:
    """The options of the REST port.

    Attributes:
        seconds: the time that a request may take, its body included; 0 without limit.
        metrics_path: the path of the metrics for Prometheus, if any.
        waiting: how many requests may wait for a thread, beyond those that run.
    """

    seconds: float
    metrics_path: str = ""
    waiting: int = 1024


class RestApp:
    """The ASGI application; it rejects new requests while `draining` is set."""

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics | None,
        pool: RequestPool,
        options: RestOptions,
        messages: MessageBytes,
    ) -> None:
        self.draining = False
        self._running = 0
        self._engine = engine
        self._metrics = metrics
        self._observer: Observer = metrics or Observer()
        self._pool = pool
        self._messages = messages
        self._arriving = MessageBytes(messages.limit)  # bodies that are still being read
        # Separate, so that status and metadata don't wait for inference.
        self._metadata_pool = ThreadPoolExecutor(2, "metadata")
        self._options = options

    @property
    def idle(self) -> bool:
        """Whether no request runs, waits, or is being read."""
        return self._running == 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one HTTP request."""
        request = Request(scope, receive)
        path = scope.get("raw_path", b"").decode("ascii", "replace") or scope["path"]
        if self._metrics and (request.method, path) == ("GET", self._options.metrics_path):
            response = Response(await asyncio.to_thread(self._metrics.page), media_type=Metrics.CONTENT_TYPE)
        elif not path.lower().startswith("/v1/"):
            response = Response(rest.error_response(f"Not found: {path}"), 404, media_type=JSON)
        else:
            await self._call(request, path, send)
            return
        await response(scope, receive, send)

    async def _call(self, request: Request, path: str, send: Send) -> None:
        self._running += 1
        try:
            response = await self._respond(request, path)
            await response(request.scope, request.receive, send)
        except ClientDisconnect:
            pass
        finally:
            self._running -= 1

    async def _respond(self, request: Request, path: str) -> Response:
        began, model, call = time.monotonic(), "", rest_calls.STATUS
        try:
            parsed = rest_calls.parse(request.method, path)
            model, call = parsed.spec.name, parsed.name
            async with asyncio.timeout(self._options.seconds or None):
                body = await self._run(request, parsed)
            response, code = Response(body, media_type=JSON), Code.OK
        except EmbeddedError as error:
            response, code = _failure(error), error.code
        except TimeoutError:
            late = DeadlineExceededError(
                f"Timed out: no response within {self._options.seconds:g} s (--rest_api_timeout_in_ms)"
            )
            response, code = _failure(late), late.code
        except ClientDisconnect:
            raise
        except Exception as error:
            log.error("a request failed: %s: %s", type(error).__name__, error)
            response, code = _failure(InternalError(f"internal error: {type(error).__name__}")), Code.INTERNAL
        self._observer.request_ended(model, call, "REST", code, time.monotonic() - began)
        return response

    async def _run(self, request: Request, call: rest_calls.RestCall) -> bytes:
        if self.draining:
            raise DrainingError("the server is stopping")
        self._arriving.limit = self._messages.limit
        body = await _body(request, self._arriving)
        packed = request.headers.get("content-encoding", "").lower() == "gzip"
        with self._messages.hold(_unpacked_size(body) if packed else len(body)):
            if packed:
                body = await asyncio.to_thread(_unpack, body)
            return await self._bounded(call, body)

    async def _bounded(self, call: rest_calls.RestCall, body: bytes) -> bytes:
        if self._pool.held >= self._pool.threads + self._options.waiting:
            raise BusyError(f"{self._options.waiting} requests wait already")
        deadline = Deadline()
        pool = self._metadata_pool if call.name in rest_calls.METADATA_CALLS else self._pool
        try:
            return await asyncio.wrap_future(
                pool.submit(rest_calls.respond, self._engine, call, body, deadline)
            )
        finally:
            deadline.cancel()  # after a timeout, a request that waits for a batch leaves the queue


def _failure(error: EmbeddedError) -> Response:
    status = _OWN_STATUS.get(type(error)) or rest.HTTP_STATUS[STATUS[error.code]]
    headers = {"Retry-After": "1"} if isinstance(error, BusyError | DrainingError) else {}
    if isinstance(error, DrainingError | TooLargeError):
        headers["Connection"] = "close"
    return Response(rest.error_response(str(error)), status, headers, JSON)


async def _body(request: Request, arriving: MessageBytes) -> bytes:
    """Read the body; its bytes are counted until it is complete."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            arriving.acquire(len(chunk))
            size += len(chunk)
            if size > _MOST_BYTES:
                raise TooLargeError(f"the body has more than {_MOST_BYTES} bytes")
            chunks.append(chunk)
    finally:
        arriving.release(size)
    return b"".join(chunks)


def _unpacked_size(body: bytes) -> int:
    """Read the unpacked size from a gzip's last four bytes; at most the limit of a body."""
    return min(max(int.from_bytes(body[-4:], "little"), len(body)), _MOST_BYTES)


def _unpack(body: bytes) -> bytes:
    """Unpack a gzip, at most as many bytes as its trailer states."""
    unpacking = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacking.decompress(body, _unpacked_size(body))
    except zlib.error as error:
        raise InvalidRequestError(f"the body is not gzip, as its Content-Encoding says: {error}") from error
    if unpacking.unconsumed_tail:
        raise TooLargeError(f"the body has more than {_unpacked_size(body)} bytes")
    if not unpacking.eof:
        raise InvalidRequestError("the body is cut off: its gzip has no end")
    return unpacked
