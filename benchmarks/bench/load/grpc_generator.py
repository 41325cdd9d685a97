"""The load generator's closed loop over gRPC."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import grpc.aio
import uvloop

from bench.load.specification import LoadResult, LoadSpecification

_MESSAGE_BYTES = 64 << 20


def run(load: LoadSpecification, bodies: Sequence[bytes]) -> LoadResult:
    """Send a load whose path is a gRPC call's."""
    return uvloop.run(_run(load, bodies))


async def _run(load: LoadSpecification, bodies: Sequence[bytes]) -> LoadResult:
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{load.port}", options=options) as channel:
        return await _closed_loop(load, bodies, cast(Any, channel).unary_unary(load.path))


async def _closed_loop(load: LoadSpecification, bodies: Sequence[bytes], call: Any) -> LoadResult:
    begin = time.perf_counter() + load.warm_up
    end = begin + load.seconds
    requests = itertools.cycle(bodies)
    result, statuses, spent = LoadResult(load.seconds), Counter[int](), [0.0]
    asyncio.get_running_loop().call_later(load.warm_up, lambda: spent.__setitem__(0, time.process_time()))

    async def client() -> None:
        since = time.perf_counter()
        while since < end:
            status = 200
            try:
                await call(next(requests))
            except grpc.aio.AioRpcError:
                status = 0
            ended = time.perf_counter()
            if ended >= begin:
                result.seconds = ended - begin  # the last ones count too: they may be most of all
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((ended - since) * 1000)
            if not status:
                return  # the server is gone
            since = ended

    await asyncio.gather(*(client() for _ in range(load.clients)))
    result.statuses = dict(statuses)
    result.processor_seconds = time.process_time() - spent[0]
    return result
