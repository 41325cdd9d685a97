"""Not a test: a process that publishes, or exports, and is killed by SIGKILL at a chosen point.

    exporter_to_kill.py publish MODELS                 plain files, killed at every file operation in turn
    exporter_to_kill.py export MODELS RUNS STEP        a real export, killed at every STEP-th

Points are counted by Python's audit events (open, rename, mkdir, rmtree, ...): every file operation of ours
is one, so no step is left out and the product needs no hook for tests. TensorFlow's own writing has no
events: a timer kills in the midst of it.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keraserve_models.repository import folders

SECONDS = (0.4, 0.8, 1.2)


def kill_at(number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process at the `number`-th file operation in the repository."""
    models, seen = sys.argv[2], 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event.startswith(("open", "os.", "shutil.", "fcntl.")) and (
            event.startswith("fcntl.") or any(models in str(argument) for argument in arguments)
        ):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def write_plain(place: Path) -> None:
    """Every file that a version needs, without TensorFlow."""
    for name in folders.REQUIRED:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def killed(work: Callable[[], object], *, event: int | None = None, seconds: float | None = None) -> bool:
    """Do `work` in a fork that is killed at a point; whether it was, rather than having finished before."""
    child = os.fork()
    if child == 0:
        if event is not None:
            sys.addaudithook(kill_at(event))
        if seconds is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process without any clean-up
            signal.setitimer(signal.ITIMER_REAL, seconds)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def publish() -> None:
    """Kill at every single file operation, until one attempt gets through."""
    event = 1
    while killed(lambda: folders.publish(Path(sys.argv[2]), "plain", write_plain), event=event):
        event += 1
    sys.stdout.write(f"{event - 1}\n")


def export() -> None:
    """Kill a real export at every STEP-th file operation and at several times."""
    from keraserve_training import runtime
    from keraserve_training.experiments import find
    from keraserve_training.exporting import export

    runtime.prepare()
    step, event, kills = int(sys.argv[4]), 1, 0

    def work() -> None:
        models, runs = Path(sys.argv[2]), Path(sys.argv[3])
        export.export([find("fashion-mnist-reuse")], runs=runs, models=models, profile="sample", force=True)

    while killed(work, event=event):
        event, kills = event + step, kills + 1
    kills += sum(killed(work, seconds=seconds) for seconds in SECONDS)
    sys.stdout.write(f"{kills}\n")


if __name__ == "__main__":
    {"publish": publish, "export": export}[sys.argv[1]]()
