"""The figures, as Markdown between the marks of `docs/performance.md`."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import Spread, ratio
from bench.goals import Goal, goals
from bench.results import Results
from bench.rounds import CLIENTS
from bench.systems import systems

SERVING, TRAINING, ACCELERATOR = "figures", "training figures", "accelerator figures"
_OURS = {"in-process", "two-processes", "grpc"}


def insert(page: str, figures: str, mark: str = SERVING) -> str:
    """Put figures between the marks of a page, in place of those that are there.

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
        _goals(goals(results)),
        _facts(results),
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
    head += ["of the limit", "of the best other", "processor ms an image", "load generator"]
    rows = [
        _system_row(results, door.name, door.title)
        for one in systems("")
        for door in one.doors
        if door.name in results.doors
    ]
    rows.append(_limit_row(results, len(head)))
    return "### Pictures\n\n" + table(head, rows)


def _system_row(results: Results, name: str, title: str) -> list[str]:
    row = [title]
    for clients in CLIENTS:
        load = results.load(name, clients)
        row += (
            [
                Spread.of(load.rates).text(),
                f"{Spread.of(load.p50).middle:.1f}",
                f"{Spread.of(load.p99).middle:.0f}",
            ]
            if load
            else ["", "", ""]
        )
    most = results.load(name, CLIENTS[-1])
    if most is None:
        return row + [""] * 4
    best = _best_other(results)
    return [
        *row,
        f"{ratio(most.rates, results.limit['32']):.0%}",
        f"{ratio(most.rates, best):.2f}" if best else "",
        f"{Spread.of(most.processor).middle:.2f}",
        f"{Spread.of(most.generator).middle:.2f}",
    ]


def _limit_row(results: Results, columns: int) -> list[str]:
    row = ["the limit: the signature in process, batches of 8 and of 32", "", "", ""]
    for size in ("8", "32"):
        row += [Spread.of(results.limit[size]).text(), "", ""]
    return row + [""] * (columns - len(row))


def _best_other(results: Results) -> Sequence[float]:
    """The rates of the fastest system that is not ours, with most clients."""
    others = [
        load.rates
        for name in results.doors
        if name not in _OURS and (load := results.load(name, CLIENTS[-1]))
    ]
    return max(others, key=lambda rates: Spread.of(rates).middle, default=[])


def _goals(found: Sequence[Goal]) -> str:
    rows = [
        [
            goal.what,
            f"{'at least' if goal.at_least else 'at most'} {goal.bound:g} {goal.unit}".strip(),
            "not measured" if goal.value is None else f"{goal.value:.2f} {goal.unit}".strip(),
            {True: "yes", False: "no", None: ""}[goal.reached],
        ]
        for goal in found
    ]
    return "### What is to be reached\n\n" + table(
        ["ratio within this run", "wanted", "found", "reached"], rows
    )


def _facts(results: Results) -> str:
    rows = [[name, Spread.of(values).text(2)] for name, values in results.facts.items()]
    return "### The other figures\n\n" + table(["figure", "middle (lowest to highest)"], rows) if rows else ""
