"""The figures as Markdown, and where docs/performance.md has them, between two marks."""

from collections.abc import Sequence
from pathlib import Path

from bench.goals import GOALS
from bench.results import Results
from bench.scenarios.images import CLIENTS, MOST_CLIENTS
from bench.scenarios.upper_bound import BATCHES, LARGEST_BATCH
from bench.spread import Spread, ratio
from bench.systems.compared import SYSTEMS
from bench.systems.endpoint import Endpoint

SERVING, TRAINING, ACCELERATOR = "figures", "training figures", "accelerator figures"


def insert(page: str, figures: str, mark: str = SERVING) -> str:
    """Replace what is between the marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    first, last = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the page has no {first} and {last}")
    return f"{before}{begin}\n\n{figures.strip()}\n\n{end}{after}"


def render(results: Results, chart: Path) -> str:
    """Write all figures of a run."""
    parts = [
        _about(results),
        f"![Images a second of each system, with 1, 8 and 32 clients]({chart})",
        _systems(results),
        _goals(results),
        _figures(results),
    ]
    if results.skipped:
        parts.append("\n".join(f"- Not measured: {name}: {why}." for name, why in results.skipped.items()))
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _about(results: Results) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in results.about.items())


def _systems(results: Results) -> str:
    head = ["system"]
    for clients in CLIENTS:
        head += [f"{clients}: images/s", "p50 ms", "p99 ms"]
    head += ["of the upper bound", "of the best other", "processor ms an image"]
    head += ["core-hours a million images", "load generator"]
    rows = [
        _system_row(results, endpoint)
        for system in SYSTEMS
        for endpoint in system.endpoints
        if endpoint.name in results.endpoints
    ]
    rows.append(_upper_bound_row(results, len(head)))
    return "### Images\n\n" + table(head, rows)


def _system_row(results: Results, endpoint: Endpoint) -> list[str]:
    row = [endpoint.title]
    for clients in CLIENTS:
        loop = results.loop(endpoint, clients)
        row += (
            [
                Spread.of(loop.rates).text(),
                f"{Spread.of(loop.p50).middle:.1f}",
                f"{Spread.of(loop.p99).middle:.0f}",
            ]
            if loop
            else ["", "", ""]
        )
    most = results.loop(endpoint, MOST_CLIENTS)
    if most is None:
        return row + [""] * 5
    best = _best_other(results)
    return [
        *row,
        f"{ratio(most.rates, results.upper_bound(LARGEST_BATCH)):.0%}",
        f"{ratio(most.rates, best):.2f}" if best else "",
        f"{Spread.of(most.processor).middle:.2f}",
        f"{Spread.of(most.processor).middle / 3.6:.2f}",
        f"{Spread.of(most.generator).middle:.2f}",
    ]


def _upper_bound_row(results: Results, columns: int) -> list[str]:
    row = ["the upper bound: the signature in process, batches of 8 and of 32", "", "", ""]
    for batch in BATCHES:
        row += [Spread.of(results.upper_bound(batch)).text(), "", ""]
    return row + [""] * (columns - len(row))


def _best_other(results: Results) -> Sequence[float]:
    """The rates of the fastest system that is not ours, with most clients."""
    others = [
        loop.rates
        for system in SYSTEMS
        if not system.ours
        for endpoint in system.endpoints
        if (loop := results.loop(endpoint, MOST_CLIENTS))
    ]
    return max(others, key=lambda rates: Spread.of(rates).middle, default=[])


def _goals(results: Results) -> str:
    rows: list[list[str]] = []
    for goal in GOALS:
        value = goal.measured(results)
        found = "not measured" if value is None else f"{value:.2f} {goal.unit}".strip()
        reached = {True: "yes", False: "no", None: ""}[goal.reached(results)]
        rows.append([goal.name, f"{goal.wanted.text()} {goal.unit}".strip(), found, reached])
    return "### Goals\n\n" + table(["ratio within this run", "goal", "measured", "reached"], rows)


def _figures(results: Results) -> str:
    rows = [[name, Spread.of(values).text(2)] for name, values in results.figures.items()]
    return "### The other figures\n\n" + table(["figure", "median (lowest to highest)"], rows) if rows else ""
