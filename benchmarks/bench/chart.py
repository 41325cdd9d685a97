"""The picture: images a second of each system."""

from pathlib import Path

from bench.figures import Spread
from bench.results import Results
from bench.rounds import CLIENTS
from bench.systems import systems

_COLOURS = ("#9ecae1", "#4292c6", "#08519c")
_INK = "#767676"  # read on white and on black


def draw(results: Results, file: Path) -> None:
    """Write bars as SVG: a group for each system, a bar for each number of clients, the limit as a line."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bench",
            "text.color": _INK,
            "axes.edgecolor": _INK,
            "axes.labelcolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "font.size": 10,
        }
    )
    from matplotlib.figure import Figure

    doors = [door for one in systems("") for door in one.doors if door.name in results.doors]
    figure = Figure(figsize=(9, 0.75 * len(doors) + 1.2), layout="constrained")
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
            color=_COLOURS[place],
            ecolor=_INK,
            label=f"{clients} client{'s' * (clients > 1)}",
        )
    limit = Spread.of(results.limit["32"]).middle
    axes.axvline(limit, color=_INK, linestyle="--")
    axes.text(limit, -0.6, "the limit ", ha="right", va="center")
    axes.set_yticks(range(len(doors)), [door.title.replace("`", "") for door in doors])
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.93, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, transparent=True, metadata={"Date": None})
