"""`make bench`: what each way of asking costs, as pictures a second and milliseconds, and as a ratio.

Closed loop on loopback: each caller waits for its answer before it asks again. The load generator runs on
the servers' own processor cores, so the absolute figures are those of this machine; the ratios compare ways
within one run, with their rounds interleaved.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from stack import Ports, Stack, StackError, running

from keraserve_client import AsyncClient, AsyncGrpcClient

MODEL = "fashion-mnist-reuse-a"
Ask = Callable[[], Awaitable[object]]
WARM_UP = 20


async def _ways(stack: Stack, picture: Path, exits: AsyncExitStack) -> dict[str, Ask]:
    http = await exits.enter_async_context(AsyncClient(stack.url, retries=0))
    grpc = await exits.enter_async_context(AsyncGrpcClient(stack.grpc, retries=0))
    direct = await exits.enter_async_context(AsyncGrpcClient(stack.model_server, retries=0))
    encoded = picture.read_bytes()
    pixels = np.asarray(Image.open(picture).convert("RGB"))[np.newaxis]
    ways: dict[str, Ask] = {
        "gRPC, model server": lambda: direct.classify(MODEL, encoded),
        "gRPC, gateway": lambda: grpc.classify(MODEL, encoded),
        "HTTP, gateway, picture": lambda: http.classify(MODEL, encoded),
        "HTTP, gateway, JSON pixels": lambda: http.predict(MODEL, pixels, signature="serving_default"),
    }
    # Right before fast: the three that name a class name the same one.
    named = [await ask() for name, ask in ways.items() if "JSON" not in name]
    labels = [answer[0].classes[0].label for answer in named]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType, reportUnknownMemberType]
    if len(set(labels)) != 1:
        raise StackError(f"the ways disagree on {picture}: {labels}")
    return ways


async def _round(ask: Ask, callers: int, requests: int) -> tuple[float, list[float]]:
    """Ask `requests` times from `callers` callers; gives requests a second and the milliseconds of each."""
    milliseconds: list[float] = []

    async def caller(count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await ask()
            milliseconds.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(caller(requests // callers) for _ in range(callers)))
    return len(milliseconds) / (time.perf_counter() - began), milliseconds


async def _measure(stack: Stack, picture: Path, callers: int, rounds: int, requests: int) -> Table:
    table = Table(
        title=f"{callers} caller{'s' if callers > 1 else ''}, {rounds} rounds of {requests}",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("way", "requests/s", "lowest", "highest", "p50 ms", "p99 ms", "ratio"):
        table.add_column(column, justify="left" if column == "way" else "right")
    async with AsyncExitStack() as exits:
        ways = await _ways(stack, picture, exits)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for ask in ways.values():
            await _round(ask, callers, max(WARM_UP, callers))
        for _ in range(rounds):
            for name, ask in ways.items():
                rate, milliseconds = await _round(ask, callers, requests)
                rates[name].append(rate)
                times[name] += milliseconds
    first = median(next(iter(rates.values())))
    for name, values in rates.items():
        cuts = quantiles(times[name], n=100)
        figures = [median(values), min(values), max(values)]
        row = [f"{value:.0f}" for value in figures] + [f"{cuts[49]:.2f}", f"{cuts[98]:.2f}"]
        table.add_row(name, *row, f"{median(values) / first:.2f}")
    return table


def main(
    models: Annotated[Path, typer.Option(help="the model repository")] = Path("models"),
    picture: Annotated[Path, typer.Option(help="the picture to ask about")] = Path("runs/demo/bag-1.png"),
    rounds: Annotated[int, typer.Option(help="rounds of each way, interleaved")] = 5,
    requests: Annotated[int, typer.Option(help="requests in a round")] = 400,
) -> None:
    """Measure the ways in, with one caller and with eight."""
    console = Console()
    try:
        if not picture.is_file():
            raise StackError(f"{picture} is not there: run `make demo` first")
        with running(models, Ports(0, 0, 0), logs=Path("runs/bench")) as stack:
            for callers in (1, 8):
                console.print(asyncio.run(_measure(stack, picture, callers, rounds, requests)))
    except StackError as error:
        console.print(f"[red]{error}[/red]")
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
