"""The gRPC channel to the model server, and whether a server responds at its other end.

gRPC keeps trying to connect, with a pause of at most two seconds: that is the circuit breaker's probe. This
module adds a bounded wait: a call waits `WAIT_SECONDS` for a server that restarts; when the server has
been unavailable for longer, calls fail at once until gRPC has connected again. So do calls to a server that
is connected and hangs: see `hang_detection`.
"""

import asyncio
import contextlib
import time
from typing import Any, cast

import grpc
import grpc.aio

from keraserve_gateway.errors import DeadlineExceeded, ModelServerUnavailable
from keraserve_gateway.grpc_target import grpc_target
from keraserve_gateway.upstream.hang_detection import HangDetector
from keraserve_protocol import services

MAX_MESSAGE_BYTES = 64 << 20
WAIT_SECONDS = 1.0
"""Seconds that a server may be unavailable before calls fail at once."""

_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Each call to the next of the target's addresses; by default a channel stays with one of them.
    ("grpc.lb_policy_name", "round_robin"),
    # A name is resolved again when a connection ends; by default at least 30 s apart, in which a rolling
    # update replaces every address.
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # Sets TCP_USER_TIMEOUT: a connection that was dropped silently fails in 10 s, not in minutes. No pings
    # while idle or in a call shorter than this: servers take them for abuse by default.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own backoff grows to two minutes, long after a restarted model server is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
# Beginnings of gRPC's messages for calls that were never sent. (A call that was sent and lost its connection
# may have run.) gRPC itself repeats calls that a server rejected before processing them.
_NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "errors resolving",
    "DNS resolution failed",
    "empty address list",
)


def to_be_repeated(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether the call reached no server, or one that was stopping; not one that it may have broken."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return details.startswith(_NEVER_SENT)
    return services.closed_by_server(code, details)


class Connection:
    """One channel, watched from its first use on. For one event loop.

    Args:
        addresses: as `grpc_target` takes them.
    """

    def __init__(self, addresses: str) -> None:
        self.channel: Any = cast(Any, grpc.aio).insecure_channel(grpc_target(addresses), options=_OPTIONS)
        self._up = asyncio.Event()
        self._lost_at = time.monotonic()
        self._watching: asyncio.Task[None] | None = None
        self._hang_detector = HangDetector(self._probe)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection to at least one server that responds."""
        return self._is_connected and not self._hang_detector.detected

    @property
    def _is_connected(self) -> bool:
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def ready(self, timeout: float) -> None:
        """Wait for a connection, while the server may be restarting.

        Raises:
            ModelServerUnavailable: the server has been unavailable for longer, or is connected and hangs.
            DeadlineExceeded: `timeout` seconds passed before that.
        """
        if self._watching is None:
            self._lost_at = time.monotonic()
            self._watching = asyncio.create_task(self._watch())
        if self._is_connected:
            if self._hang_detector.detected:
                raise ModelServerUnavailable("the model server does not respond")
            return
        if self._up.is_set():  # lost just now; the watching task has not run since
            self._lost()
        left = self._lost_at + WAIT_SECONDS - time.monotonic()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), min(left, timeout))
                return
            if timeout < left:
                raise DeadlineExceeded("the model server did not respond in time")
        raise ModelServerUnavailable("the model server is not available")

    def ended(self, began: float, *, responded: bool) -> None:
        """Note that a call ended that began then, by the monotonic clock; `responded` with any status."""
        if responded:
            self._hang_detector.responded()
        else:
            self._hang_detector.no_response(began)

    async def close(self) -> None:
        """Close the channel."""
        self._hang_detector.close()
        if self._watching is not None:
            self._watching.cancel()
        await self.channel.close(None)

    async def _watch(self) -> None:
        """Follow the channel's state, and let it connect whenever it is idle."""
        while True:
            state = self.channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                self._up.set()
            elif self._up.is_set():
                self._lost()
            await self.channel.wait_for_state_change(state)

    async def _probe(self, seconds: float) -> bool:
        """Request the status of a model without a name, which a server rejects at once."""
        call = self.channel.unary_unary(services.GET_MODEL_STATUS.path)
        try:
            async with asyncio.timeout(seconds):  # gRPC's own deadline would look like a server's response
                await call(b"")
        except TimeoutError:
            return False
        except grpc.aio.AioRpcError:
            pass
        return True

    def _lost(self) -> None:
        self._up.clear()
        self._lost_at = time.monotonic()
