"""The load generator: a process of its own. Reads a plan from standard input, prints a `Round` as JSON.

Closed loop: each client asks again when it has its answer. Open loop: requests come at their own times, four
times as many as can be served if need be, and a request's time counts from when it was due.
"""

import itertools
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench import grpc_load, schedule
from bench.connection import LOST, Connections, request
from bench.plan import Plan, Round

_MOST_CONNECTIONS = 256  # more than a gateway lets in, fewer than it lets connect
_TICK = 0.001  # seconds


def run(plan: Plan) -> Round:
    """Carry out a plan."""
    bodies = [Path(name).read_bytes() for name in plan.bodies]
    if plan.content_type == "grpc":
        return grpc_load.run(plan, bodies)
    requests = itertools.cycle([request(plan.path, plan.content_type, body) for body in bodies or [b""]])
    with Connections(plan.port, plan.clients or _MOST_CONNECTIONS) as connections:
        return (_closed_loop if plan.clients else _open_loop)(plan, requests, connections)


def _closed_loop(plan: Plan, requests: Iterator[bytes], connections: Connections) -> Round:
    begin = time.perf_counter() + plan.warm_up
    end = begin + plan.seconds
    result, statuses, spent = Round(plan.seconds), Counter[int](), 0.0  # processor seconds at `begin`
    for connection in connections.all:
        connections.send(connection, next(requests), time.perf_counter())
    asking = len(connections.all)
    while asking:
        for connection, asked, status in connections.answers(None):
            now = time.perf_counter()
            if now >= begin:
                spent = spent or time.process_time()
                result.seconds = now - begin  # the last ones asked count too: they may be most of all
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((now - asked) * 1000)
            if now < end and status != LOST:
                connections.send(connection, next(requests), now)
            else:  # the time is over, or its server is gone
                asking -= 1
    result.statuses = dict(statuses)
    result.processor_seconds = time.process_time() - spent if spent else 0.0
    return result


def _open_loop(plan: Plan, requests: Iterator[bytes], connections: Connections) -> Round:
    """Look once in a millisecond for what has come, then for what is due, which counts from when it was due.

    To wake for each would take twice the processor time, from servers on the same cores. So a request counts
    up to two looks too long.
    """
    free = list(connections.all)
    waiting = deque[float]()  # the moments of requests that no connection is free for
    begin = time.perf_counter()
    counts, end = begin + plan.warm_up, begin + plan.warm_up + plan.seconds
    arrivals = (begin + moment for moment in schedule.arrivals(plan.rate, plan.warm_up + plan.seconds))
    due = next(arrivals, None)
    result, statuses, spent = Round(plan.seconds), Counter[int](), time.process_time()
    while due is not None or len(free) < len(connections.all):
        for connection, asked, status in connections.answers(0):
            now = time.perf_counter()
            free.append(connection)
            if counts <= now < end:
                statuses[status] += 1
                if status == 200:
                    result.milliseconds.append((now - asked) * 1000)
        now = time.perf_counter()
        while due is not None and due <= now:
            waiting.append(due)
            due = next(arrivals, None)
        while waiting and free:
            connections.send(free.pop(), next(requests), waiting.popleft())
        if due is None:
            waiting.clear()
        time.sleep(max(0.0, now + _TICK - time.perf_counter()))
    result.statuses = dict(statuses)
    result.processor_seconds = (time.process_time() - spent) * plan.seconds / (plan.warm_up + plan.seconds)
    return result


if __name__ == "__main__":
    json.dump(asdict(run(Plan(**json.load(sys.stdin)))), sys.stdout)
