"""The load generator: a process of its own. Reads a plan from standard input, prints a `Round` as JSON.

Closed loop: each client asks again when it has its answer. Open loop: requests come at their own times, four
times as many as can be served if need be, and a request's time counts from when it was due.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc.aio
import uvloop

from bench import schedule
from bench.connection import Connection, request

_MOST_CONNECTIONS = 256  # more than a gateway lets in, fewer than it lets connect
_MESSAGE_BYTES = 64 << 20
Ask = Callable[[bytes], Awaitable[int]]


@dataclass(frozen=True)
class Plan:
    """What to send, to whom, and how.

    Attributes:
        port: on 127.0.0.1.
        path: of the HTTP requests; with "grpc" the call's.
        content_type: of their bodies.
        bodies: files, sent in turns; with none, the path is asked for by GET.
        clients: in a closed loop; 0 for an open one.
        rate: requests a second in an open loop.
        warm_up: seconds before anything counts.
        seconds: that count.
    """

    port: int
    path: str
    content_type: str
    bodies: Sequence[str]
    clients: int
    rate: float = 0.0
    warm_up: float = 1.0
    seconds: float = 4.0


@dataclass
class Round:
    """What came of it.

    Attributes:
        seconds: that counted.
        milliseconds: of each request that was answered well in this time.
        statuses: how many requests ended with which status; gRPC's "OK" is 200, all else of it 0.
        processor_seconds: that the load generator itself took.
    """

    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    processor_seconds: float = 0.0


async def run(plan: Plan) -> Round:
    """Carry out a plan."""
    bodies = [Path(name).read_bytes() for name in plan.bodies]
    if plan.content_type == "grpc":
        return await _over_grpc(plan, bodies)
    requests = itertools.cycle([request(plan.path, plan.content_type, body) for body in bodies or [b""]])
    if not plan.clients:
        return await _open_loop(plan, requests)
    async with _connections(plan) as connections:
        return await _closed_loop(plan, requests, [_asking(one) for one in connections])


def _asking(connection: Connection) -> Ask:
    async def ask(data: bytes) -> int:
        return (await connection.ask(data)).status

    return ask


async def _over_grpc(plan: Plan, bodies: Sequence[bytes]) -> Round:
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{plan.port}", options=options) as channel:
        call: Any = cast(Any, channel).unary_unary(plan.path)

        async def ask(data: bytes) -> int:
            try:
                await call(data)
            except grpc.aio.AioRpcError:
                return 0
            return 200

        return await _closed_loop(plan, itertools.cycle(bodies), [ask] * plan.clients)


async def _closed_loop(plan: Plan, requests: "itertools.cycle[bytes]", clients: Sequence[Ask]) -> Round:
    begin = time.perf_counter() + plan.warm_up
    end = begin + plan.seconds
    result, statuses, spent = Round(plan.seconds), Counter[int](), [0.0]
    asyncio.get_running_loop().call_later(plan.warm_up, lambda: spent.__setitem__(0, time.process_time()))

    async def client(ask: Ask) -> None:
        asked = time.perf_counter()
        while asked < end:
            status = await ask(next(requests))
            answered = time.perf_counter()
            if answered >= begin:
                result.seconds = answered - begin  # the last ones asked count too: they may be most of all
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((answered - asked) * 1000)
            if not status:
                return  # its server is gone
            asked = answered

    await asyncio.gather(*map(client, clients))
    result.statuses = dict(statuses)
    result.processor_seconds = time.process_time() - spent[0]
    return result


async def _open_loop(plan: Plan, requests: "itertools.cycle[bytes]") -> Round:
    result, statuses = Round(plan.seconds), Counter[int]()
    due: deque[float] = deque()  # requests that no connection is free for
    last = plan.warm_up + plan.seconds

    async def send(connection: Connection, moment: float) -> None:
        while True:
            if connection.closed:
                connection = await Connection.open("127.0.0.1", plan.port)
            status = (await connection.ask(next(requests))).status
            answered = time.perf_counter() - began
            if plan.warm_up <= answered < last:
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((answered - moment) * 1000)
            if not due:
                free.append(connection)
                return
            moment = due.popleft()

    async with _connections(plan) as free, asyncio.TaskGroup() as tasks:
        began, spent = time.perf_counter(), time.process_time()
        for moment in schedule.arrivals(plan.rate, last):
            await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
            if free:
                tasks.create_task(send(free.pop(), moment))
            else:
                due.append(moment)
        due.clear()
    result.statuses = dict(statuses)
    result.processor_seconds = (time.process_time() - spent) * plan.seconds / last
    return result


@asynccontextmanager
async def _connections(plan: Plan) -> AsyncIterator[list[Connection]]:
    count = plan.clients or _MOST_CONNECTIONS
    connections = [await Connection.open("127.0.0.1", plan.port) for _ in range(count)]
    try:
        yield [*connections]
    finally:
        for one in connections:
            one.close()


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(run(Plan(**json.load(sys.stdin))))), sys.stdout)
