"""`make bench`: measure, and write the figures into `docs/performance.md`."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import machine, rounds, setup
from bench.context import Context, Timing
from bench.processes import BenchError
from bench.report import chart, page
from bench.results import Results
from bench.workspace import ROOT, Workspace

FULL, QUICK = Timing(3, 1.0, 4.0), Timing(1, 0.5, 1.5)
KEPT = ROOT / "build" / "bench-figures.json"
TRAINING = ROOT / "runs" / "bench" / "training.md"  # by `make bench-training`
ACCELERATOR = ROOT / "runs" / "bench" / "accelerator.md"  # by `make bench-accelerator`
PAGE = ROOT / "docs" / "performance.md"
CHART = Path("images") / "performance.svg"
console = Console()
program = typer.Typer(add_completion=False)


@program.command()
def measure(
    images: Annotated[Path, typer.Option(help="a folder with images")] = Path("runs/demo"),
    models: Annotated[Path | None, typer.Option(help="a model repository, in place of ours")] = None,
    model: Annotated[str, typer.Option(help="the name of a model in it")] = "",
    only: Annotated[str, typer.Option(help="systems and scenarios, separated by commas; none: all")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="one short round")] = False,
) -> None:
    """Measure, and write the figures of a whole run into build/bench-figures.json."""
    workspace = Workspace(ROOT / "build" / "bench", (models, model) if models else None)
    setup.prepare(workspace, setup.images_in(images))
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {line}", highlight=False)

    results = Results()
    rounds.run(
        Context(workspace, QUICK if quick else FULL, results, tell), set(filter(None, only.split(",")))
    )
    results.about = machine.about(workspace)
    if not (quick or only):
        results.write(KEPT)
    console.print(page.render(results, CHART), markup=False, highlight=False, soft_wrap=True)


@program.command()
def publish() -> None:
    """Write the figures of the last runs into docs/performance.md."""
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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the processes
    try:
        program()
    except BenchError as error:
        console.print(error, style="red", markup=False)
        sys.exit(1)
