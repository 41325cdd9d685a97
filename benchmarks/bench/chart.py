"""The picture: images a second of each system."""

from pathlib import Path

from bench import drawing
from bench.figures import Spread
from bench.results import Results
from bench.rounds import CLIENTS
from bench.systems import systems


def draw(results: Results, file: Path) -> None:
    """Write bars as SVG: a group for each system, a bar for each number of clients, the limit as a line."""
    doors = [door for one in systems("") for door in one.doors if door.name in results.doors]
    figure = drawing.figure(9, 0.75 * len(doors) + 1.2)
    axes = figure.subplots()
    for place, clients in enumerate(CLIENTS):
        spreads = [Spread.of(results.doors[door.name][str(clients)].rates) for door in doors]
        middles = [one.middle for one in spreads]
        around = [
            [one.middle - one.lowest for one in spreads],
            [one.highest - one.middle for one in spreads],
        ]
        heights = [number + 0.27 * (place - 1) for number in range(len(doors))]
        axes.barh(
            heights,
            middles,
            0.25,
            xerr=around,
            color=drawing.COLOURS[place],
            ecolor=drawing.INK,
            label=f"{clients} client{'s' * (clients > 1)}",
        )
    limit = Spread.of(results.limit["32"]).middle
    axes.axvline(limit, color=drawing.INK, linestyle="--")
    axes.text(limit, -0.6, "the limit ", ha="right", va="center")
    axes.set_yticks(range(len(doors)), [door.title.replace("`", "") for door in doors])
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.93, 0))
    drawing.save(figure, file)
