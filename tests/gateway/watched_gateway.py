"""`keraserve-gateway` that says how long its event loop was held: run with FD FLAGS….

It reads lines from its standard input. `begin` starts to watch; `end` stops, and writes to the file
descriptor FD, as a line of JSON, for how long the event loop was held between two of its turns, at most: in
seconds of processor time of its own thread (`loop`), and of another one (`threads`), which kept Python's lock
for as long. A busy machine makes wall-clock time longer, and processor time hardly.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable

import uvloop

from keraserve_gateway import cli


class Watch:
    """Takes a turn of the event loop whenever there is one, and reads the threads' clocks in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._on = False
        self._clocks: dict[int, float] = {}
        self.held = {"loop": 0.0, "threads": 0.0}

    def begin(self) -> None:
        self._on, self._clocks, self.held = True, {}, {"loop": 0.0, "threads": 0.0}
        self._turn()

    def end(self, then: Callable[[dict[str, float]], None]) -> None:
        self._on = False
        then(self.held)

    def _turn(self) -> None:
        if not self._on:
            return
        own, before = threading.get_ident(), self._clocks
        self._clocks = {
            one: _processor_time(one) for one in (thread.ident for thread in threading.enumerate()) if one
        }
        for one, now in self._clocks.items():
            what = "loop" if one == own else "threads"
            self.held[what] = max(self.held[what], now - before.get(one, now))
        self._clocks[own] = _processor_time(own)  # without what this turn took
        self._loop.call_soon(self._turn)


def _processor_time(thread: int) -> float:
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
    except OSError:  # it has ended
        return 0.0


def _obey(watch: Watch, loop: asyncio.AbstractEventLoop, report: int) -> None:
    def write(held: dict[str, float]) -> None:
        os.write(report, json.dumps(held).encode() + b"\n")

    for line in sys.stdin:
        if line.strip() == "begin":
            loop.call_soon_threadsafe(watch.begin)
        else:
            loop.call_soon_threadsafe(watch.end, write)


def main() -> int:
    report, real = int(sys.argv[1]), uvloop.new_event_loop

    def make() -> asyncio.AbstractEventLoop:
        loop = real()
        threading.Thread(target=_obey, args=(Watch(loop), loop, report), daemon=True).start()
        return loop

    uvloop.new_event_loop = make
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
