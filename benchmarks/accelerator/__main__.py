"""`make bench-accelerator`: the experiments' steps by Keras on JAX and PyTorch, on the device that they find.

`record` needs this repository's packages; `count` and `measure` need only Keras, Typer and JAX or PyTorch, so
they may run on another machine with this folder and the recorded file.

A step runs on a batch that is on the device already: forward pass, gradients and update; for a network that
computes features, the forward pass. Weights and images are random, as only time is measured.
"""

import hashlib
import importlib
import importlib.util
import json
import os
import time
from contextlib import closing
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from accelerator import chart, measuring, results
from accelerator import steps as step_files
from accelerator.workers import Case, Failed, Pool

program = typer.Typer(add_completion=False)
_Only = Annotated[str, typer.Option(help="patterns of steps, separated by |")]
_Batches = Annotated[str, typer.Option(help="sizes in addition to the experiments' own")]


@program.command()
def record(output: Annotated[Path, typer.Argument(help="file of the steps")]) -> None:
    """Run every experiment without training, and write its steps into a file."""
    from accelerator import recording
    from keraserve_training.experiments import EXPERIMENTS

    found = []
    for step in recording.recorded(EXPERIMENTS):
        print(f"{step.label}: batch {step.batch}, {step.learning:,} trainable numbers", flush=True)
        found.append(step)
    step_files.write(output, found)


@program.command()
def count(
    steps: Annotated[Path, typer.Argument(help="what `record` wrote")],
    output: Annotated[Path, typer.Argument(help="folder of the results")],
    only: _Only = "*",
    batches: _Batches = "256",
) -> None:
    """Count the floating-point operations of the steps, with JAX on the processor."""
    if not _is_installed("jax"):
        return
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    backend: Any = importlib.import_module("accelerator.on_jax")
    found = {}
    for step in _chosen(steps, only):
        for batch in _sizes(step, batches):
            found[f"{step.label}, {batch}"] = measuring.task(backend, step, batch, "float32").flop()
        print(
            f"{step.label}: {found[f'{step.label}, {step.batch}'] / step.batch / 1e9:.3f} GFLOP an example",
            flush=True,
        )
    _write(output / "flop.json", found)


@program.command()
def measure(
    steps: Annotated[Path, typer.Argument(help="what `record` wrote")],
    output: Annotated[Path, typer.Argument(help="folder of the results")],
    backend: Annotated[str, typer.Option(help="jax, jax_by_operation or torch")] = "jax",
    only: _Only = "*",
    batches: _Batches = "256",
    precisions: Annotated[str, typer.Option(help="separated by commas")] = ",".join(measuring.PRECISIONS),
    seconds: Annotated[float, typer.Option(help="for each figure")] = 1.0,
    side: Annotated[int, typer.Option(help="of the matrices whose product measures the device")] = 8192,
    workers: Annotated[int, typer.Option(help="processes that build and compile at the same time")] = 1,
    limit: Annotated[float, typer.Option(help="seconds after which no more steps are built")] = 3600.0,
) -> None:
    """Time the steps, those of networks with few layers first; results are written after every figure.

    Figures of the same steps and device that the results' file has already are not measured again; to measure
    all, remove the file.
    """
    if not _is_installed(backend):
        return
    os.environ |= {"KERAS_BACKEND": _library(backend), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    began, file = time.monotonic(), output / f"{backend}.json"
    with closing(Pool(f"accelerator.on_{backend}", workers, limit)) as pool:
        result: dict[str, Any] = pool.device(side)
        result["steps"] = hashlib.sha256(steps.read_bytes()).hexdigest()
        result = found_before(file, result)
        known = {(each["step"], each["batch"], each["precision"]) for each in result["timed"]}
        cases = [
            Case(step, batch, precision)
            for step in sorted(_chosen(steps, only), key=lambda step: len(step.network))
            for batch, precision in product(_sizes(step, batches), precisions.split(","))
            if (step.label, batch, precision) not in known
        ]
        for case in cases:
            result["failed"].pop(str(case), None)
        if known:
            print(f"{len(known)} figures are in {file} already, {len(cases)} are left", flush=True)
        for figure in pool.figures(cases, seconds):
            if isinstance(figure, Failed):
                result["failed"][str(figure.case)] = figure.why
            else:
                result["timed"].append(asdict(figure))
            print(f"{time.monotonic() - began:5.0f} s  {backend}, {figure}", flush=True)
            _write(file, result)


@program.command()
def table(
    output: Annotated[Path, typer.Argument(help="folder of the results")],
    page: Annotated[Path, typer.Argument(help="Markdown file that is written")],
    chart_file: Annotated[Path, typer.Argument(help="SVG file that is written, below docs/")],
) -> None:
    """Write the results as Markdown and as a chart; needs Matplotlib, and no backend."""
    page.write_text(results.render(output, str(chart_file.relative_to("docs"))))
    chart.draw(results.rows(output), chart_file)
    print(f"{page}, {chart_file}")


def found_before(file: Path, now: dict[str, Any]) -> dict[str, Any]:
    """The content of a file of the same steps, device and versions; else no results yet."""
    before = json.loads(file.read_text()) if file.is_file() else {}
    same = all(before.get(name) == now[name] for name in ("steps", "device", "versions"))
    return before if same else now | {"timed": [], "failed": {}}


def _chosen(steps: Path, only: str) -> list[step_files.Step]:
    patterns = only.split("|")
    return [
        step for step in step_files.read(steps) if any(fnmatch(step.label, pattern) for pattern in patterns)
    ]


def _sizes(step: step_files.Step, batches: str) -> list[int]:
    return sorted({step.batch, *(int(size) for size in batches.split(",") if size)})


def _is_installed(backend: str) -> bool:
    if importlib.util.find_spec(_library(backend)):
        return True
    print(f"{_library(backend)} is not installed here: left out", flush=True)
    return False


def _library(backend: str) -> str:
    return backend.partition("_")[0]


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(content))
    beside.replace(file)  # so that a stop never leaves half a file


if __name__ == "__main__":
    program()
