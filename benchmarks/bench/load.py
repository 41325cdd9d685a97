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
from bench.connection import Answer, Connection, request

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
    async with _connections(plan) as free:
        spent = time.process_time()
        result = await _OpenLoop(plan, requests, free).run()
        whole = plan.warm_up + plan.seconds
        result.processor_seconds = (time.process_time() - spent) * plan.seconds / whole
        return result


class _OpenLoop:
    """Sends what is due, by callbacks: a task for each request would take a tenth of the machine.

    What became due within a millisecond is sent together, and its time counts from when it was due.
    """

    def __init__(self, plan: Plan, requests: "itertools.cycle[bytes]", free: list[Connection]) -> None:
        self._plan, self._requests, self._free = plan, requests, free
        self._last = plan.warm_up + plan.seconds
        self._arrivals = schedule.arrivals(plan.rate, self._last)
        self._next = next(self._arrivals, None)
        self._due: deque[float] = deque()  # requests that no connection is free for
        self._open = 0  # requests that wait for their answer
        self._opening = set[asyncio.Task[None]]()
        self._result, self._statuses = Round(plan.seconds), Counter[int]()
        self._ended = asyncio.Event()
        self._began = time.perf_counter()

    async def run(self) -> Round:
        """Carry out the plan; what was sent is waited for."""
        self._arrive()
        await self._ended.wait()
        await asyncio.gather(*self._opening)
        for one in self._free:  # all are free now, those among them that were opened on the way
            one.close()
        self._result.statuses = dict(self._statuses)
        return self._result

    def _arrive(self) -> None:
        now = time.perf_counter() - self._began
        while self._next is not None and self._next <= now:
            if self._free:
                self._send(self._free.pop(), self._next)
            else:
                self._due.append(self._next)
            self._next = next(self._arrivals, None)
        if self._next is not None:
            asyncio.get_running_loop().call_later(0.001, self._arrive)
        else:
            self._due.clear()
            self._end_if_all_are_answered()

    def _send(self, connection: Connection, moment: float) -> None:
        self._open += 1
        connection.send(next(self._requests), lambda answer: self._answered(connection, moment, answer))

    def _answered(self, connection: Connection, moment: float, answer: Answer) -> None:
        self._open -= 1
        now = time.perf_counter() - self._began
        if self._plan.warm_up <= now < self._last:
            self._statuses[answer.status] += 1
            if answer.status == 200:
                self._result.milliseconds.append((now - moment) * 1000)
        if connection.closed:
            self._opening.add(asyncio.create_task(self._open_another()))
        else:
            self._use(connection)
        self._end_if_all_are_answered()

    def _use(self, connection: Connection) -> None:
        if self._due:
            self._send(connection, self._due.popleft())
        else:
            self._free.append(connection)

    async def _open_another(self) -> None:
        self._use(await Connection.open("127.0.0.1", self._plan.port))

    def _end_if_all_are_answered(self) -> None:
        if self._next is None and not self._open:
            self._ended.set()


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
