"""The load generator's closed loop over gRPC."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import grpc.aio
import uvloop

from bench.plan import Plan, Round

_MESSAGE_BYTES = 64 << 20


def run(plan: Plan, bodies: Sequence[bytes]) -> Round:
    """Carry out a plan whose path is a call's."""
    return uvloop.run(_run(plan, bodies))


async def _run(plan: Plan, bodies: Sequence[bytes]) -> Round:
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{plan.port}", options=options) as channel:
        return await _closed_loop(plan, bodies, cast(Any, channel).unary_unary(plan.path))


async def _closed_loop(plan: Plan, bodies: Sequence[bytes], call: Any) -> Round:
    begin = time.perf_counter() + plan.warm_up
    end = begin + plan.seconds
    requests = itertools.cycle(bodies)
    result, statuses, spent = Round(plan.seconds), Counter[int](), [0.0]
    asyncio.get_running_loop().call_later(plan.warm_up, lambda: spent.__setitem__(0, time.process_time()))

    async def client() -> None:
        asked = time.perf_counter()
        while asked < end:
            status = 200
            try:
                await call(next(requests))
            except grpc.aio.AioRpcError:
                status = 0
            answered = time.perf_counter()
            if answered >= begin:
                result.seconds = answered - begin  # the last ones asked count too: they may be most of all
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((answered - asked) * 1000)
            if not status:
                return  # its server is gone
            asked = answered

    await asyncio.gather(*(client() for _ in range(plan.clients)))
    result.statuses = dict(statuses)
    result.processor_seconds = time.process_time() - spent[0]
    return result
