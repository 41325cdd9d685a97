"""The chart of images a second of each system."""

from pathlib import Path

from bench.report import drawing
from bench.results import Results
from bench.scenarios.images import CLIENTS
from bench.scenarios.upper_bound import LARGEST_BATCH
from bench.spread import Spread
from bench.systems.compared import SYSTEMS


def draw(results: Results, file: Path) -> None:
    """Write bars as SVG, one for each system and number of clients, and the upper bound as a line."""
    endpoints = [
        endpoint for system in SYSTEMS for endpoint in system.endpoints if endpoint.name in results.endpoints
    ]
    figure = drawing.figure(9, 0.75 * len(endpoints) + 1.2)
    axes = figure.subplots()
    for position, clients in enumerate(CLIENTS):
        loops = [results.loop(endpoint, clients) for endpoint in endpoints]
        spreads = [Spread.of(loop.rates) for loop in loops if loop]
        middles = [one.middle for one in spreads]
        below, above = zip(
            *((one.middle - one.lowest, one.highest - one.middle) for one in spreads), strict=True
        )
        heights = [number + 0.27 * (position - 1) for number in range(len(endpoints))]
        axes.barh(
            heights,
            middles,
            0.25,
            xerr=(below, above),
            color=drawing.COLOURS[position],
            ecolor=drawing.INK,
            label=f"{clients} client{'s' * (clients > 1)}",
        )
    bound = Spread.of(results.upper_bound(LARGEST_BATCH)).middle
    axes.axvline(bound, color=drawing.INK, linestyle="--")
    axes.text(bound, -0.6, "upper bound ", ha="right", va="center")
    axes.set_yticks(range(len(endpoints)), [endpoint.title.replace("`", "") for endpoint in endpoints])
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.93, 0))
    drawing.save(figure, file)
