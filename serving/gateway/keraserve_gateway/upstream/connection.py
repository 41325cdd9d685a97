"""The gRPC channel to the model server, and whether anything answers at its other end.

gRPC keeps trying to connect, with a pause of at most two seconds: that is the circuit breaker's probe. What
is added here is patience with an end: a call waits a moment for a server that is just restarting; once the
server has been away for longer than that, calls fail at once, until gRPC has reached it again. So they do
when it is connected and hangs: see `hang_detection`.
"""

import asyncio
import contextlib
import time
from typing import Any, cast

import grpc
import grpc.aio

from keraserve_gateway.addresses import grpc_target
from keraserve_gateway.errors import DeadlineExceeded, ModelServerUnavailable
from keraserve_gateway.upstream.hang_detection import HangDetector
from keraserve_protocol import services

MAX_MESSAGE_BYTES = 64 << 20
PATIENCE = 1.0
"""Seconds that a server may be away before calls fail at once."""

_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Each call to the next of the target's addresses; by default a channel stays with one of them.
    ("grpc.lb_policy_name", "round_robin"),
    # A name is asked again when a connection ends. By default 30 s apart at least: a rolling update has
    # replaced every address by then.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # Sets TCP_USER_TIMEOUT: a connection that was dropped silently fails in 10 s, not in minutes. No pings
    # while idle, and none in a call shorter than this: servers count them as abuse by default.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own backoff grows to two minutes, long after a restarted model server is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
# How gRPC says that a call found no connection to go out on. (A call that got out and lost its connection may
# have run.) gRPC itself sends again what a server rejected before it looked at it.
_NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "errors resolving",
    "DNS resolution failed",
    "empty address list",
)


def to_be_repeated(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the call found no server, or one that was stopping: not one that it may have broken."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return details.startswith(_NEVER_SENT)
    return services.closed_by_server(code, details)


class Connection:
    """One channel, watched from its first use on. Of one event loop.

    Args:
        addresses: as `grpc_target` takes them.
    """

    def __init__(self, addresses: str) -> None:
        self.channel: Any = cast(Any, grpc.aio).insecure_channel(grpc_target(addresses), options=_OPTIONS)
        self._up = asyncio.Event()
        self._away_since = time.monotonic()
        self._watching: asyncio.Task[None] | None = None
        self._hang_detector = HangDetector(self._says_anything)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to at least one server, and one that answers."""
        return self._is_connected and not self._hang_detector.detected

    @property
    def _is_connected(self) -> bool:
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def ready(self, timeout: float) -> None:
        """Wait for a connection, for as long as the server may still be counted as restarting.

        Raises:
            ModelServerUnavailable: the server has been away for longer, or is there and does not answer.
            DeadlineExceeded: `timeout` seconds were over before that.
        """
        if self._watching is None:
            self._away_since = time.monotonic()
            self._watching = asyncio.create_task(self._watch())
        if self._is_connected:
            if self._hang_detector.detected:
                raise ModelServerUnavailable("the model server does not answer")
            return
        if self._up.is_set():  # lost just now; the watcher has yet to see it
            self._lost()
        patience = self._away_since + PATIENCE - time.monotonic()
        if patience > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), min(patience, timeout))
                return
            if timeout < patience:
                raise DeadlineExceeded("the model server did not answer in time")
        raise ModelServerUnavailable("the model server is not available")

    def ended(self, began: float, *, responded: bool) -> None:
        """Note how a call ended that began then, by the monotonic clock: given up, or with any status."""
        if responded:
            self._hang_detector.responded()
        else:
            self._hang_detector.unanswered(began)

    async def close(self) -> None:
        """Close the channel."""
        self._hang_detector.close()
        if self._watching is not None:
            self._watching.cancel()
        await self.channel.close(None)

    async def _watch(self) -> None:
        """Follow the channel's state, and have it connect whenever it is idle."""
        while True:
            state = self.channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                self._up.set()
            elif self._up.is_set():
                self._lost()
            await self.channel.wait_for_state_change(state)

    async def _says_anything(self, seconds: float) -> bool:
        """Ask for the status of no model, which is rejected at once."""
        ask = self.channel.unary_unary(services.GET_MODEL_STATUS.path)
        try:
            async with asyncio.timeout(seconds):  # no deadline for gRPC: a response of that name would be one
                await ask(b"")
        except TimeoutError:
            return False
        except grpc.aio.AioRpcError:
            pass
        return True

    def _lost(self) -> None:
        self._up.clear()
        self._away_since = time.monotonic()
