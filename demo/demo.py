"""`make demo`, last part: serve what was exported and classify real test pictures over HTTP and gRPC."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from pictures import Picture, save
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from stack import Ports, Stack, StackError, running

from keraserve_client import Client, GrpcClient, KeraserveError
from keraserve_training import run_folder
from keraserve_training.data import datasets
from keraserve_training.errors import TrainingError
from keraserve_training.profiles import PROFILES

CLOTHES, PAIR = "fashion-mnist-reuse-a", "fashion-mnist-reuse-b"
PAIR_LABELS = {"sandal", "shirt"}
SEED = 42
ACCURACIES = {
    "test accuracy of A, eight classes": "test_accuracy_a",
    "of B, sandal or shirt, on a clone of A": "test_accuracy_b_on_a",
    "of B trained alone (see the report)": "test_accuracy_b_alone",
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
    console = Console()
    try:
        pictures = save(datasets.fashion_mnist(PROFILES[profile], console.print), runs / "demo")
        with running(models, Ports(0, 0, 0), logs=runs / "demo/logs") as stack:
            _show(console, pictures, stack)
        folder = run_folder.path(runs, "fashion-mnist-reuse", profile, SEED)
        accuracies = run_folder.read_json(folder / run_folder.METRICS)["metrics"]
    except KeyboardInterrupt:
        sys.exit("stopped")
    except (StackError, KeraserveError, TrainingError) as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        sys.exit(1)
    for title, metric in ACCURACIES.items():
        console.print(f"{title:<44}{100 * accuracies[metric]:5.1f} %", highlight=False)
    console.print(f"\npictures  {runs / 'demo'}/*.png", highlight=False)
    console.print(f"curves    {folder / run_folder.CURVES}", highlight=False)
    console.print(f"report    {runs / 'report.html'}", highlight=False)
    console.print("next      make serve, and drop a picture on the page", highlight=False)


def _show(console: Console, pictures: list[Picture], stack: Stack) -> None:
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
            model = PAIR if picture.label in PAIR_LABELS else CLOTHES
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


def _ask(client: Client | GrpcClient, model: str, picture: Picture) -> Answer:
    began = time.perf_counter()
    (prediction,) = client.classify(model, picture.path, top_k=1)
    milliseconds = (time.perf_counter() - began) * 1000
    return Answer(prediction.classes[0].label, prediction.classes[0].probability, milliseconds)


def _cells(picture: Picture, answer: Answer) -> tuple[str, str, str]:
    colour = "green" if answer.label == picture.label else "red"
    return (
        f"[{colour}]{answer.label}[/{colour}]",
        f"{100 * answer.probability:.1f} %",
        f"{answer.milliseconds:.1f}",
    )


if __name__ == "__main__":
    typer.run(main)
