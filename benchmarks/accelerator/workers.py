"""Processes that make figures ready side by side, since that takes far longer than to time them.

Nobody else is at work while one is timed.
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
_HELD = 4 << 30  # bytes of the device's memory that a process may keep while others need some


@dataclass(frozen=True)
class Asked:
    """A figure that is wanted."""

    step: Step
    batch: int
    precision: str

    def __str__(self) -> str:
        return f"{self.step.label}, {self.batch} in {self.precision}"


@dataclass(frozen=True)
class Failed:
    """A figure that there is not."""

    asked: Asked
    why: str

    def __str__(self) -> str:
        return f"{self.asked}: {self.why}"


class Team:
    """Some workers with one backend."""

    def __init__(self, backend: str, size: int, limit: float) -> None:
        """Start them.

        Args:
            backend: name of a module that is a `measuring.Backend`.
            size: how many.
            limit: seconds from now after which nothing more is made ready.
        """
        self._backend, self._until = backend, time.monotonic() + limit
        self._workers = [Worker(backend) for _ in range(size)]

    def device(self, side: int) -> dict[str, Any]:
        """Its name, the backend's version, and what a product of two matrices of that side reaches."""
        self._workers[0].ask("device", side)
        return self._workers[0].response(self._left())

    def figures(self, asked: Sequence[Asked], seconds: float) -> Iterator[measuring.Timed | Failed]:
        """One after the other as they are found, each timed for about so many seconds."""
        size = len(self._workers)
        for first in range(0, len(asked), size):
            yield from self._side_by_side(asked[first : first + size], seconds)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()

    def _side_by_side(self, asked: Sequence[Asked], seconds: float) -> Iterator[measuring.Timed | Failed]:
        """No more than there are workers."""
        if self._left() < 0:
            yield from (Failed(one, "no time was left") for one in asked)
            return
        for worker, one in zip(self._workers, asked, strict=False):
            worker.ask("prepare", one.step, one.batch, one.precision)
        ready, closed = [], []
        for place, one in enumerate(asked):
            try:
                self._workers[place].response(self._left())
                ready.append((place, one))
            except (TimeoutError, RuntimeError) as error:
                closed.append(place)
                self._workers[place].close()
                yield Failed(one, str(error))
        for place, one in ready:
            worker = self._workers[place]
            try:
                worker.ask("time", seconds)
                found: measuring.Timed | Failed = worker.response(_TIMING)
            except (TimeoutError, RuntimeError) as error:
                found = Failed(one, str(error))
            if isinstance(found, Failed) or not worker.gives_back(_HELD):
                closed.append(place)
                worker.close()
            yield found
        for place in closed:  # not before: to start is work
            self._workers[place] = Worker(self._backend)

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
        theirs.close()  # or nobody is told when the process has ended

    def ask(self, question: str, *arguments: Any) -> None:
        """Ask for one of `_Answers`; whoever asks must fetch the response before the next question."""
        with suppress(OSError):  # the process has ended: `answer` will say so
            self._connection.send((question, arguments))

    def response(self, seconds: float) -> Any:
        """Wait for it.

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

    def gives_back(self, most: int) -> bool:
        """Tell whether it keeps no more than so many bytes of the device's memory."""
        self.ask("held")
        try:
            return self.response(_TIMING) <= most
        except (TimeoutError, RuntimeError):
            return False

    def close(self) -> None:
        """End the process, whatever it is at: what it has of the device is free then."""
        self._process.kill()
        self._process.join()
        self._connection.close()


class _Responses:
    """What a worker does."""

    def __init__(self, backend: measuring.Backend) -> None:
        self._backend = backend
        self._figure: measuring.Figure | None = None

    def device(self, side: int) -> Mapping[str, Any]:
        """What it is, as the results' file has it; a processor is measured by smaller matrices."""
        device = self._backend.device()
        return {
            "device": device,
            "versions": f"Keras {importlib.import_module('keras').__version__}, {self._backend.version()}",
            "reachable": measuring.reachable(self._backend, min(side, 1024) if device == "cpu" else side),
        }

    def prepare(self, step: Step, batch: int, precision: str) -> None:
        """Make a figure ready."""
        self._figure = measuring.Figure(self._backend, step, batch, precision)

    def time(self, seconds: float) -> measuring.Timed:
        """The figure that is ready; it is forgotten then."""
        figure, self._figure = self._figure, None
        if figure is None:
            raise RuntimeError("nothing was made ready")
        return figure.timed(seconds)

    def held(self) -> int:
        """Bytes of the device's memory that this process does not give back."""
        gc.collect()  # Keras's models are in cycles
        return self._backend.held()


def _work(backend: str, connection: Any) -> None:
    module: Any = importlib.import_module(backend)
    responses = _Responses(module)
    while True:
        try:
            question, arguments = connection.recv()
        except EOFError:
            return
        connection.send(_responded(getattr(responses, question), arguments))


def _responded(question: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return question(*arguments)
    except Exception as error:  # a backend raises whatever its parts raise; it may not fit through a pipe
        return RuntimeError(str(error).partition("\n")[0] or type(error).__name__)
