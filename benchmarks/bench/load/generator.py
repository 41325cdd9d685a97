"""The load generator: reads a specification from standard input, prints the result, both as JSON.

Closed loop: each client sends its next request when it has the response. Open loop: requests are sent at
given moments, however many wait for a response, and a request's time counts from the moment when it was due.
"""

import itertools
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench.load import arrivals, grpc_generator
from bench.load.http_connections import LOST, Connections, request
from bench.load.specification import GRPC, LoadResult, LoadSpecification

_MOST_CONNECTIONS = 256  # more than a gateway's slots, fewer than its connections
_TICK = 0.001  # seconds


def run(load: LoadSpecification) -> LoadResult:
    """Send this load."""
    bodies = [Path(name).read_bytes() for name in load.bodies]
    if load.content_type == GRPC:
        return grpc_generator.run(load, bodies)
    requests = itertools.cycle([request(load.path, load.content_type, body) for body in bodies or [b""]])
    with Connections(load.port, load.clients or _MOST_CONNECTIONS) as connections:
        return (_closed_loop if load.clients else _open_loop)(load, requests, connections)


def _closed_loop(load: LoadSpecification, requests: Iterator[bytes], connections: Connections) -> LoadResult:
    begin = time.perf_counter() + load.warm_up
    end = begin + load.seconds
    result, statuses, spent = LoadResult(load.seconds), Counter[int](), 0.0  # processor seconds at `begin`
    for connection in connections.all:
        connections.send(connection, next(requests), time.perf_counter())
    busy = len(connections.all)
    while busy:
        for connection, since, status in connections.responses(None):
            now = time.perf_counter()
            if now >= begin:
                spent = spent or time.process_time()
                result.seconds = now - begin  # the last ones count too: they may be most of all
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((now - since) * 1000)
            if now < end and status != LOST:
                connections.send(connection, next(requests), now)
            else:  # the time is over, or the server is gone
                busy -= 1
    result.statuses = dict(statuses)
    result.processor_seconds = time.process_time() - spent if spent else 0.0
    return result


def _open_loop(load: LoadSpecification, requests: Iterator[bytes], connections: Connections) -> LoadResult:
    """Once in a millisecond, read the responses that came, then send the requests that are due.

    To wake for each would take twice the processor time, from servers on the same cores. So a request's time
    is up to two milliseconds too long.
    """
    free = list(connections.all)
    waiting = deque[float]()  # the moments of requests that no connection is free for
    begin = time.perf_counter()
    counts, end = begin + load.warm_up, begin + load.warm_up + load.seconds
    due_times = (begin + moment for moment in arrivals.poisson(load.rate, load.warm_up + load.seconds))
    due = next(due_times, None)
    result, statuses, spent = LoadResult(load.seconds), Counter[int](), time.process_time()
    while due is not None or len(free) < len(connections.all):
        for connection, since, status in connections.responses(0):
            now = time.perf_counter()
            free.append(connection)
            if counts <= now < end:
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((now - since) * 1000)
        now = time.perf_counter()
        while due is not None and due <= now:
            waiting.append(due)
            due = next(due_times, None)
        while waiting and free:
            connections.send(free.pop(), next(requests), waiting.popleft())
        if due is None:
            waiting.clear()
        time.sleep(max(0.0, now + _TICK - time.perf_counter()))
    result.statuses = dict(statuses)
    result.processor_seconds = (time.process_time() - spent) * load.seconds / (load.warm_up + load.seconds)
    return result


if __name__ == "__main__":
    json.dump(asdict(run(LoadSpecification(**json.load(sys.stdin)))), sys.stdout)
