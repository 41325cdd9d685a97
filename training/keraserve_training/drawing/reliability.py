"""The plot that shows whether a network is right as often as its probabilities say."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import PercentFormatter

from keraserve_protocol.evaluation import Bin, wilson
from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import BLUE, GREY


def reliability(path: Path, name: str, bins: Sequence[Bin], error: float) -> None:
    """Accuracy over the probability of the class that was found, each range with its 95 % interval.

    Args:
        bins: the ranges.
        error: the expected calibration error, a share.
    """
    shares = [each.probability for each in bins]
    right = [each.accuracy for each in bins]
    ends = [wilson(round(each.accuracy * each.images), each.images) for each in bins]
    down = [max(0.0, share - low) for share, (low, _) in zip(right, ends, strict=True)]
    up = [max(0.0, high - share) for share, (_, high) in zip(right, ends, strict=True)]
    with drawing.page(path, 5.0, 4.6) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axis.errorbar(shares, right, yerr=[down, up], color=BLUE, marker="o", linewidth=1, capsize=2)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(PercentFormatter(1.0))
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel("probability of the class that was found")
        axis.set_ylabel("right, with 95 % intervals")
        title = f"{name}: expected calibration error {100 * error:.1f} %"
        axis.set_title(drawing.fill(title, 4.6), fontsize=11)
