"""`make demo`, last part: serve what was exported and classify real test pictures over HTTP and gRPC."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from pictures import Picture, save
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from stack import Ports, Stack, StackError, running

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
class Answer:
    """What one way of asking said of one picture."""

    label: str
    probability: float
    milliseconds: float


def main(
    models: Annotated[Path, typer.Option(help="the model repository")] = Path("models"),
    runs: Annotated[Path, typer.Option(help="the runs")] = Path("runs"),
    profile: Annotated[str, typer.Option(help=f"one of {', '.join(PROFILES)}")] = "full",
) -> None:
    """Classify test pictures with the two models of `fashion-mnist-reuse`."""
    console = Console(markup=False, emoji=False)
    try:
        pictures = save(datasets.fashion_mnist(PROFILES[profile], console.print), runs / "demo")
        folder = run_folder.path(runs, EXPERIMENT, profile, SEED)
        run = run_folder.finished_in(folder)
        experiment = experiments.find(EXPERIMENT)
        clothes, pair = (export.named(each, experiment, run).name for each in experiment.servables)
        with running(models, Ports(0, 0, 0), logs=runs / "demo/logs") as stack:
            _show(console, pictures, stack, clothes, pair)
        accuracies = run.metrics["metrics"]
    except KeyboardInterrupt:
        sys.exit("stopped")
    except (StackError, KeraserveError, TrainingError) as error:
        console.print(str(error), style="red", soft_wrap=True)
        sys.exit(1)
    _show_accuracies(console, accuracies)
    console.print(f"\npictures  {runs / 'demo'}/*.png", highlight=False)
    console.print(f"curves    {folder / run_folder.CURVES}", highlight=False)
    console.print(f"report    {runs / 'report.html'}", highlight=False)
    console.print("next      make serve, and drop a picture on the page", highlight=False)


def _show(console: Console, pictures: list[Picture], stack: Stack, clothes: str, pair: str) -> None:
    table = Table(
        title="Test pictures, classified through the gateway",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in ("picture", "true class", "over HTTP", "prob.", "ms", "over gRPC", "prob.", "ms"):
        table.add_column(column, justify="right" if column in ("prob.", "ms") else "left", no_wrap=True)
    answers: list[tuple[Answer, Answer]] = []
    with Client(stack.url) as http, GrpcClient(stack.grpc) as grpc:
        for picture in pictures:
            model = pair if picture.label in PAIR_LABELS else clothes
            both = _ask(http, model, picture), _ask(grpc, model, picture)
            answers.append(both)
            table.add_row(
                picture.path.stem, picture.label, *_cells(picture, both[0]), *_cells(picture, both[1])
            )
    console.print(table)
    right = sum(answer.label == picture.label for picture, (answer, _) in zip(pictures, answers, strict=True))
    milliseconds = [median(pair[way].milliseconds for pair in answers) for way in (0, 1)]
    console.print(
        f"{right} of {len(pictures)} right; median {milliseconds[0]:.1f} ms over HTTP,"
        f" {milliseconds[1]:.1f} ms over gRPC\n"
    )


def _show_accuracies(console: Console, accuracies: Mapping[str, float]) -> None:
    """Like beside like: reused and alone on the same schedule."""
    if not accuracies.keys() >= {metric for pair in SCHEDULES.values() for metric in pair}:
        again = "an older version made this run: keraserve-train run fashion-mnist-reuse --force"
        console.print(again, highlight=False, soft_wrap=True)
        return
    console.print(
        f"{'test accuracy of A, eight classes':<38}{accuracies['test_accuracy_a']:7.1%}", highlight=False
    )
    console.print(f"{'of B, sandal or shirt':<38}on a clone of A   alone", highlight=False)
    for title, (reused, alone) in SCHEDULES.items():
        console.print(f"  {title:<36}{accuracies[reused]:7.1%}{accuracies[alone]:16.1%}", highlight=False)


def _ask(client: Client | GrpcClient, model: str, picture: Picture) -> Answer:
    began = time.perf_counter()
    (prediction,) = client.classify(model, picture.path, top_k=1)
    milliseconds = (time.perf_counter() - began) * 1000
    return Answer(prediction.classes[0].label, prediction.classes[0].probability, milliseconds)


def _cells(picture: Picture, answer: Answer) -> tuple[Text, str, str]:
    colour = "green" if answer.label == picture.label else "red"
    return (
        Text(answer.label, style=colour),
        f"{100 * answer.probability:.1f} %",
        f"{answer.milliseconds:.1f}",
    )


if __name__ == "__main__":
    typer.run(main)
