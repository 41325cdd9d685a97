"""`GrpcClient` and `AsyncGrpcClient`: one request sent with grpcio, sync and async."""

from collections.abc import Iterable
from typing import Any, Protocol, cast

import grpc
import grpc.aio

from keraserve_client._errors import InvalidInput, KeraserveError
from keraserve_client._keys import authorization
from keraserve_client._rpc import Rpc
from keraserve_client._verbs import AsyncVerbs, Verbs
from keraserve_client._wire_grpc import GrpcPlans, error_of
from keraserve_protocol.messages import Message

DEFAULT_TARGET = "127.0.0.1:8500"
_OPTIONS: list[tuple[str, Any]] = [
    # No limit here: the server decides what is too large.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # The client retries by itself; a channel that waits a second before it reconnects would delay that.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


class GrpcClient(Verbs[Rpc, Message]):
    """Talks TensorFlow Serving's gRPC API to a gateway, to TensorFlow Serving or to the embedded server.

        with GrpcClient("127.0.0.1:8500") as client:
            [prediction] = client.classify("fashion-mnist", "boot.png")

    May be shared between threads.

    Args:
        target: `host:port`, or any other name that gRPC resolves (`dns:///…`, `unix:…`).
        timeout: seconds that a call may take in all, retries and waiting included.
        retries: how often at most a call is repeated after connection errors and the codes UNAVAILABLE,
            RESOURCE_EXHAUSTED and (the server's own) DEADLINE_EXCEEDED; None: as long as the timeout allows.
        api_key: the key for a gateway with keys; None takes the environment's KERASERVE_API_KEY, "" none.
        credentials: for TLS, `grpc.ssl_channel_credentials()`; None sends without TLS.

    Raises:
        InvalidInput: a setting out of range, or a URL as the target.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = 30.0,
        retries: int | None = None,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(GrpcPlans(), timeout, retries)
        self._target = _target(target)
        self._metadata = _metadata(api_key)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=_OPTIONS)

    def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""
        self._channel.close()

    def _send(self, request: Rpc, seconds: float) -> Message | KeraserveError:
        try:
            return request.call.on(self._channel)(request.message, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            return _failure(error, self._target)


class AsyncGrpcClient(AsyncVerbs[Rpc, Message]):
    """Talks TensorFlow Serving's gRPC API in asyncio; the settings are those of `GrpcClient`.

        async with AsyncGrpcClient("127.0.0.1:8500") as client:
            [prediction] = await client.classify("fashion-mnist", "boot.png")

    For one event loop: that of its first call.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = 30.0,
        retries: int | None = None,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(GrpcPlans(), timeout, retries)
        self._target = _target(target)
        self._metadata = _metadata(api_key)
        self._credentials = credentials
        self._opened: grpc.aio.Channel | None = None

    async def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""
        if self._opened is not None:
            await self._opened.close(None)

    def _channel(self) -> grpc.aio.Channel:
        # Opened by the first call, as grpc.aio binds a channel to the event loop that runs then.
        if self._opened is None:
            if self._credentials is None:
                self._opened = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
            else:
                self._opened = grpc.aio.secure_channel(self._target, self._credentials, options=_OPTIONS)
        return self._opened

    async def _send(self, request: Rpc, seconds: float) -> Message | KeraserveError:
        try:
            call = request.call.on_async(self._channel())
            return await call(request.message, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            return _failure(error, self._target)


def _target(given: str) -> str:
    """Reject URLs: gRPC itself would look for a host named `http`."""
    if not given or given.lower().startswith(("http://", "https://")):
        raise InvalidInput(
            f"{given!r} is no gRPC target: write host:port without http://, as in {DEFAULT_TARGET}; TLS is"
            " set by `credentials`. Client and AsyncClient take URLs"
        )
    return given


def _metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    value = authorization(api_key)
    return (("authorization", value),) if value else ()


class _Failed(Protocol):
    """The methods that both of grpcio's exceptions have; its types say so of one only."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def initial_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def _failure(error: grpc.RpcError, target: str) -> KeraserveError:
    failed = cast(_Failed, error)
    # The request's id comes in the initial metadata, and when to retry in the trailing metadata.
    metadata = (*(failed.initial_metadata() or ()), *(failed.trailing_metadata() or ()))
    return error_of(failed.code(), failed.details() or "", metadata, target)
