"""`make bench`: measure, and write the figures into `docs/performance.md`."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import chart, machine, page, rounds, rows, setup
from bench.place import ROOT, Place
from bench.processes import BenchError
from bench.results import Results
from bench.rounds import Timing
from bench.systems import systems

FULL, QUICK = Timing(3, 1.0, 4.0), Timing(1, 0.5, 1.5)
KEPT = ROOT / "build" / "bench-results.json"
TRAINING = ROOT / "runs" / "bench" / "training.md"  # by `make bench-training`
ACCELERATOR = ROOT / "runs" / "bench" / "accelerator.md"  # by `make bench-accelerator`
PAGE = ROOT / "docs" / "performance.md"
CHART = Path("images") / "performance.svg"
console = Console()
program = typer.Typer(add_completion=False)


@program.command()
def measure(
    pictures: Annotated[Path, typer.Option(help="a folder with pictures")] = Path("runs/demo"),
    models: Annotated[Path | None, typer.Option(help="a model repository, in place of ours")] = None,
    model: Annotated[str, typer.Option(help="the name of a model in it")] = "",
    only: Annotated[str, typer.Option(help="systems and rows, separated by commas; none: all")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="one short round")] = False,
) -> None:
    """Measure, and keep the figures of a whole run in build/bench-results.json."""
    place = Place(ROOT / "build" / "bench", (models, model) if models else None)
    setup.prepare(place, setup.pictures_in(pictures))
    results = _measure(place, QUICK if quick else FULL, set(filter(None, only.split(","))))
    results.about = machine.about(place)
    if not (quick or only):
        results.write(KEPT)
    console.print(page.render(results, CHART), markup=False, highlight=False, soft_wrap=True)


@program.command()
def publish() -> None:
    """Put the figures of the last runs into docs/performance.md."""
    text = PAGE.read_text()
    if KEPT.is_file():
        results = Results.read(KEPT)
        chart.draw(results, PAGE.parent / CHART)
        text = page.insert(text, page.render(results, CHART))
    for file, mark in ((TRAINING, page.TRAINING), (ACCELERATOR, page.ACCELERATOR)):
        if file.is_file():
            text = page.insert(text, file.read_text(), mark)
    PAGE.write_text(text)


@program.command()
def install() -> None:
    """Make the environments of the peers, in build/bench-peers."""
    setup.install_peers()


def _measure(place: Place, timing: Timing, only: set[str]) -> Results:
    """Measure all rounds of all systems and rows; every second round goes through the systems backwards."""
    results, began = Results(), time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {line}", highlight=False)

    there = rounds.installed(systems(place.model), place, results)
    chosen = [system for system in there if not only or system.name in only]
    wanted = {name for name in rows.NAMES if not only or name in only}
    for number in range(timing.rounds):
        tell(f"round {number + 1} of {timing.rounds}")
        right = rounds.limit(place, timing, results)
        for system in chosen[:: -1 if number % 2 else 1]:
            try:
                rounds.measure(system, place, timing, results, right, tell)
            except BenchError as error:
                if system.ours:
                    raise
                results.leave_out(system, str(error).splitlines()[0])  # a peer's trouble is no end
                tell(str(error))
                chosen = [one for one in chosen if one is not system]
        rows.measure(there, place, timing, results, wanted, tell)
    return results


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped
    try:
        program()
    except BenchError as error:
        console.print(error, style="red", markup=False)
        sys.exit(1)
