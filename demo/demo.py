"""The last part of `make demo`: serve the exported models and classify test images over HTTP and gRPC."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from images import ImageFile, save
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from stack import Ports, Stack, StackError, program, running

from keraserve_client import Client, GrpcClient, KeraserveError
from keraserve_training import experiments
from keraserve_training.data import datasets
from keraserve_training.errors import TrainingError
from keraserve_training.experiments.fashion_mnist_reuse import COMPARISONS
from keraserve_training.exporting import export
from keraserve_training.profiles import PROFILES
from keraserve_training.records import run_folder

EXPERIMENT = "fashion-mnist-reuse"
PAIR_LABELS = {"sandal", "shirt"}
SEED = 42
SCHEDULES = {
    "4 epochs at 0.001, 16 at 0.0001": COMPARISONS[0].compared,
    "all 20 epochs at 0.001": COMPARISONS[1].compared,
}


@dataclass(frozen=True)
class Result:
    """The best class of one image over one protocol, and the time of the request."""

    label: str
    probability: float
    milliseconds: float


def main(
    models: Annotated[Path, typer.Option(help="the model repository")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="the runs")] = Path("runs"),
    profile: Annotated[str, typer.Option(help=f"one of {', '.join(PROFILES)}")] = "full",
) -> None:
    """Classify test images with the two models of `fashion-mnist-reuse`."""
    console = Console(markup=False, emoji=False)
    try:
        images = save(datasets.fashion_mnist(PROFILES[profile], console.print), runs / "demo")
        folder = run_folder.path(runs, EXPERIMENT, profile, SEED)
        run = run_folder.finished_in(folder)
        experiment = experiments.find(EXPERIMENT)
        clothes, pair = (export.named(each, experiment, run).name for each in experiment.servables)
        with running(models, Ports(0, 0, 0), logs=runs / "demo/logs") as stack:
            _show(console, images, stack, clothes, pair)
        accuracies = run.metrics["metrics"]
    except KeyboardInterrupt:
        sys.exit("stopped")
    except (StackError, KeraserveError, TrainingError) as error:
        console.print(str(error), style="red", soft_wrap=True)
        sys.exit(1)
    _show_accuracies(console, accuracies)
    console.print(f"\nimages  {runs / 'demo'}/*.png", highlight=False)
    console.print(f"curves    {folder / run_folder.CURVES}", highlight=False)
    console.print(f"report    {runs / 'report.html'}", highlight=False)
    console.print("next      make serve, and drop an image on the page", highlight=False)


def _show(console: Console, images: list[ImageFile], stack: Stack, clothes: str, pair: str) -> None:
    title = "Test images, classified through the gateway"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("image", "true class", "over HTTP", "prob.", "ms", "over gRPC", "prob.", "ms"):
        table.add_column(column, justify="right" if column in ("prob.", "ms") else "left", no_wrap=True)
    results: list[tuple[Result, Result]] = []
    with Client(stack.url) as http, GrpcClient(stack.grpc) as grpc:
        for image in images:
            model = pair if image.label in PAIR_LABELS else clothes
            both = _classify(http, model, image), _classify(grpc, model, image)
            results.append(both)
            table.add_row(image.path.stem, image.label, *_cells(image, both[0]), *_cells(image, both[1]))
    console.print(table)
    right = sum(over_http.label == image.label for image, (over_http, _) in zip(images, results, strict=True))
    milliseconds = [median(both[protocol].milliseconds for both in results) for protocol in (0, 1)]
    console.print(
        f"{right} of {len(images)} right; median {milliseconds[0]:.1f} ms over HTTP,"
        f" {milliseconds[1]:.1f} ms over gRPC\n"
    )


def _show_accuracies(console: Console, accuracies: Mapping[str, float]) -> None:
    """Print the accuracies of the reused network and the one alone, each pair with the same schedule."""
    if not accuracies.keys() >= {metric for pair in SCHEDULES.values() for metric in pair}:
        again = f"an older version made this run: {program('keraserve-train')} run {EXPERIMENT} --force"
        console.print(again, highlight=False, soft_wrap=True)
        return
    console.print(
        f"{'test accuracy of A, eight classes':<38}{accuracies['test_accuracy_a']:7.1%}", highlight=False
    )
    console.print(f"{'of B, sandal or shirt':<38}on a clone of A   alone", highlight=False)
    for title, (reused, alone) in SCHEDULES.items():
        console.print(f"  {title:<36}{accuracies[reused]:7.1%}{accuracies[alone]:16.1%}", highlight=False)


def _classify(client: Client | GrpcClient, model: str, image: ImageFile) -> Result:
    began = time.perf_counter()
    (prediction,) = client.classify(model, image.path, top_k=1)
    milliseconds = (time.perf_counter() - began) * 1000
    return Result(prediction.best.label, prediction.best.probability, milliseconds)


def _cells(image: ImageFile, result: Result) -> tuple[Text, str, str]:
    label = Text(result.label, style="green" if result.label == image.label else "red")
    return label, f"{100 * result.probability:.1f} %", f"{result.milliseconds:.1f}"


if __name__ == "__main__":
    typer.run(main)
