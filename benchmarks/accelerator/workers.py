"""A pool of processes that build and compile steps at the same time, as this takes longer than to time them.

While a step is timed, no other process works.
"""

import gc
import importlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from accelerator import measuring
from accelerator.steps import Step

_TIMING = 120.0  # seconds at most; first steps choose algorithms
_HELD = 4 << 30  # bytes of the device's memory that a process may keep


@dataclass(frozen=True)
class Case:
    """A step with one size of batch in one precision."""

    step: Step
    batch: int
    precision: str

    def __str__(self) -> str:
        return f"{self.step.label}, {self.batch} in {self.precision}"


@dataclass(frozen=True)
class Failed:
    """A case without a figure."""

    case: Case
    why: str

    def __str__(self) -> str:
        return f"{self.case}: {self.why}"


class Pool:
    """Workers with one backend."""

    def __init__(self, backend: str, size: int, limit: float) -> None:
        """Start them.

        Args:
            backend: name of a module that is a `measuring.Backend`.
            size: the number of workers.
            limit: seconds from now after which no more cases are built.
        """
        self._backend, self._until = backend, time.monotonic() + limit
        self._workers = [Worker(backend) for _ in range(size)]

    def device(self, side: int) -> dict[str, Any]:
        """The device, the versions, and the speed of a product of two matrices of that side."""
        self._workers[0].request("device", side)
        return self._workers[0].response(self._left())

    def figures(self, cases: Sequence[Case], seconds: float) -> Iterator[measuring.Timed | Failed]:
        """Yield the figure of each case, timed for about so many seconds."""
        size = len(self._workers)
        for first in range(0, len(cases), size):
            yield from self._group(cases[first : first + size], seconds)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()

    def _group(self, cases: Sequence[Case], seconds: float) -> Iterator[measuring.Timed | Failed]:
        """Build no more cases than there are workers, then time them one after the other."""
        if self._left() < 0:
            yield from (Failed(case, "no time was left") for case in cases)
            return
        for worker, case in zip(self._workers, cases, strict=False):
            worker.request("prepare", case.step, case.batch, case.precision)
        ready, closed = [], []
        for number, case in enumerate(cases):
            try:
                self._workers[number].response(self._left())
                ready.append((number, case))
            except (TimeoutError, RuntimeError) as error:
                closed.append(number)
                self._workers[number].close()
                yield Failed(case, str(error))
        for number, case in ready:
            worker = self._workers[number]
            try:
                worker.request("time", seconds)
                found: measuring.Timed | Failed = worker.response(_TIMING)
            except (TimeoutError, RuntimeError) as error:
                found = Failed(case, str(error))
            if isinstance(found, Failed) or not worker.releases_memory(_HELD):
                closed.append(number)
                worker.close()
            yield found
        for number in closed:  # not earlier, as a starting process would disturb the timing
            self._workers[number] = Worker(self._backend)

    def _left(self) -> float:
        return self._until - time.monotonic()


class Worker:
    """A process with a backend."""

    def __init__(self, backend: str) -> None:
        """Start it.

        Args:
            backend: name of a module that is a `measuring.Backend`.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(backend, theirs), daemon=True)
        self._process.start()
        theirs.close()  # else the end of the process would not close the pipe

    def request(self, name: str, *arguments: Any) -> None:
        """Have the process call a method of `_Methods`; read the response before the next request."""
        with suppress(OSError):  # the process has ended, as `response` will tell
            self._connection.send((name, arguments))

    def response(self, seconds: float) -> Any:
        """Wait for the response to the last request.

        Raises:
            TimeoutError: it took longer.
            RuntimeError: it failed, or the process ended.
        """
        try:
            came = self._connection.poll(max(0.0, seconds))
            response = self._connection.recv() if came else TimeoutError("no time was left")
        except (EOFError, OSError):
            raise RuntimeError("its process ended") from None
        if isinstance(response, Exception):
            raise response
        return response

    def releases_memory(self, most: int) -> bool:
        """Return whether the process keeps at most so many bytes of the device's memory."""
        self.request("held")
        try:
            return self.response(_TIMING) <= most
        except (TimeoutError, RuntimeError):
            return False

    def close(self) -> None:
        """Kill the process, which frees its memory on the device."""
        self._process.kill()
        self._process.join()
        self._connection.close()


class _Methods:
    """What the pool may request of a worker."""

    def __init__(self, backend: measuring.Backend) -> None:
        self._backend = backend
        self._figure: measuring.Figure | None = None

    def device(self, side: int) -> Mapping[str, Any]:
        """The device as in the results' file; a processor is measured with smaller matrices."""
        device = self._backend.device()
        return {
            "device": device,
            "versions": f"Keras {importlib.import_module('keras').__version__}, {self._backend.version()}",
            "reachable": measuring.reachable(self._backend, min(side, 1024) if device == "cpu" else side),
        }

    def prepare(self, step: Step, batch: int, precision: str) -> None:
        """Build and compile a case."""
        self._figure = measuring.Figure(self._backend, step, batch, precision)

    def time(self, seconds: float) -> measuring.Timed:
        """Time the case that was prepared, and forget it."""
        figure, self._figure = self._figure, None
        if figure is None:
            raise RuntimeError("nothing was prepared")
        return figure.timed(seconds)

    def held(self) -> int:
        """Bytes of the device's memory that this process does not release."""
        gc.collect()  # Keras's models are in reference cycles
        return self._backend.held()


def _work(backend: str, connection: Any) -> None:
    module: Any = importlib.import_module(backend)
    methods = _Methods(module)
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        connection.send(_called(getattr(methods, name), arguments))


def _called(method: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return method(*arguments)
    except Exception as error:  # of any class, which may not be one that can be pickled
        return RuntimeError(str(error).partition("\n")[0] or type(error).__name__)
