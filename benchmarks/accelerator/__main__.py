"""`make bench-accelerator`: the experiments' steps by Keras on JAX and PyTorch, on the device that they find.

`record` needs this repository's packages; `count` and `measure` only Keras, Typer and JAX or PyTorch: they
may run on another machine, which then needs this folder and what was recorded.

A step is what a batch costs that is on the device already: forward pass, gradients and update; or, where a
network makes features, the forward pass. Weights and pictures are random: all this is about time.
"""

import importlib
import importlib.util
import json
import os
import time
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from accelerator import measuring, results
from accelerator import steps as step_files

program = typer.Typer(add_completion=False)
_Only = Annotated[str, typer.Option(help="patterns of steps, separated by |")]
_Batches = Annotated[str, typer.Option(help="sizes beside the experiments' own")]


@program.command()
def record(output: Annotated[Path, typer.Argument(help="file of the steps")]) -> None:
    """Run every experiment without learning, and write down its steps."""
    from accelerator import recording
    from keraserve_training.experiments import EXPERIMENTS

    found = []
    for step in recording.recorded(EXPERIMENTS):
        print(f"{step.label}: batch {step.batch}, {step.learning:,} numbers learn", flush=True)
        found.append(step)
    step_files.write(output, found)


@program.command()
def count(
    steps: Annotated[Path, typer.Argument(help="what `record` wrote")],
    output: Annotated[Path, typer.Argument(help="folder of the results")],
    only: _Only = "*",
    batches: _Batches = "256",
) -> None:
    """Count the floating-point operations of the steps; needs JAX, and no other device than the processor."""
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    backend = _backend("jax")
    if backend is None:
        return
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
    side: Annotated[int, typer.Option(help="of the matrices that the device is measured by")] = 8192,
    limit: Annotated[float, typer.Option(help="seconds after which nothing is begun")] = 3600.0,
) -> None:
    """Time the steps, those of networks with few layers first; results are written after every figure."""
    os.environ["KERAS_BACKEND"] = backend.partition("_")[0]
    began = time.monotonic()
    module = _backend(backend)
    if module is None:
        return
    result: dict[str, Any] = {
        "device": module.device(),
        "versions": f"Keras {importlib.import_module('keras').__version__}, {module.version()}",
        "reachable": measuring.reachable(module, min(side, 1024) if module.device() == "cpu" else side),
        "timed": [],
        "failed": {},
    }
    file = output / f"{backend}.json"
    for step in sorted(_chosen(steps, only), key=lambda step: len(step.network)):
        for precision, batch in product(precisions.split(","), _sizes(step, batches)):
            label = f"{step.label}, {batch} in {precision}"
            try:
                if time.monotonic() - began > limit:
                    raise TimeoutError("no time was left")
                timed = measuring.measure(module, step, batch, precision, seconds)
            except Exception as error:  # a backend raises whatever its parts raise; the others go on
                result["failed"][label] = str(error).partition("\n")[0] or type(error).__name__
                print(f"{label}: {result['failed'][label]}", flush=True)
            else:
                result["timed"].append(asdict(timed))
                print(
                    f"{time.monotonic() - began:5.0f} s  {backend}, {label}: {timed.rate:,.0f}/s,"
                    f" prepared in {timed.preparing:.0f} s",
                    flush=True,
                )
            _write(file, result)


@program.command()
def table(
    output: Annotated[Path, typer.Argument(help="folder of the results")],
    page: Annotated[Path, typer.Argument(help="Markdown file that is written")],
) -> None:
    """Write what was found as Markdown."""
    page.write_text(results.render(output))
    print(f"{page}")


def _chosen(steps: Path, only: str) -> list[step_files.Step]:
    patterns = only.split("|")
    return [
        step for step in step_files.read(steps) if any(fnmatch(step.label, pattern) for pattern in patterns)
    ]


def _sizes(step: step_files.Step, batches: str) -> list[int]:
    return sorted({step.batch, *(int(size) for size in batches.split(",") if size)})


def _backend(name: str) -> Any:
    """Its module; None where its library is not installed."""
    library = name.partition("_")[0]
    if importlib.util.find_spec(library) is None:
        print(f"{library} is not installed here: left out", flush=True)
        return None
    return importlib.import_module(f"accelerator.on_{name}")


def _write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


if __name__ == "__main__":
    program()
