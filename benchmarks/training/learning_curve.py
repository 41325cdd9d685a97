"""How right models are that learnt from few and from many images, with and without pre-training.

    python benchmarks/training/learning_curve.py FOLDER OUT.png --counts 10 30 100 300 --seeds 5 \
        --backbone mobilenet --alpha 0.25

FOLDER is as for `keraserve-train run own-images`. For every number of images, and every seed, which draws
them, two models are tested on the same test images: the linear layer on the frozen network, and the
fine-tuned network; and both again where the network began with random weights. Other options are those of
`keraserve-train run`. Finished runs are kept in `--runs` and not done again. Prints means with 95 % intervals
over the seeds, and draws them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from keraserve_training.drawing import page
from keraserve_training.number_format import percent
from keraserve_training.statistics import mean_interval

LINES = {
    ("imagenet", "test_accuracy_fine_tuned"): ("pre-trained, then fine-tuned", page.GREEN, "-"),
    ("imagenet", "test_accuracy_linear"): ("pre-trained and frozen, with a linear layer", page.BLUE, "-"),
    ("random", "test_accuracy_fine_tuned"): ("from nothing, the whole network learns", page.ORANGE, "--"),
    ("random", "test_accuracy_linear"): ("random and frozen, with a linear layer", page.GREY, "--"),
}


def measured(
    given: argparse.Namespace, options: list[str], weights: str, count: int, seed: int
) -> dict[str, float]:
    """The metrics of one run."""
    command = [Path(sys.executable).with_name("keraserve-train"), "run", "own-images", f"--seed={seed}"]
    where = [f"--data={given.folder}", f"--runs={given.runs / f'{weights}-{count}'}", f"--weights={weights}"]
    subprocess.run(
        [*command, *where, f"--set=images={count}", *options], check=True, stdout=subprocess.DEVNULL
    )
    (file,) = (given.runs / f"{weights}-{count}").rglob(f"*seed{seed}+*/metrics.json")
    return json.loads(file.read_text())["metrics"]


def draw(file: Path, title: str, found: dict[tuple[str, str], dict[int, list[float]]]) -> None:
    """A line for each kind of model, with the interval over seeds, over the number of images."""
    with page.page(file, 7.2, 4.6, title=title) as figure:
        axis = figure.subplots()
        for line, (name, colour, style) in LINES.items():
            counts = list(found[line])
            means = [mean_interval(values).within(0, 1) for values in found[line].values()]
            print(name)
            for count, each in zip(counts, means, strict=True):
                print(f"  {count:,}: {percent(each.mean)} ({percent(each.low)} to {percent(each.high)})")
            middle, low, high = (
                [100 * end for end in ends]
                for ends in zip(*((each.mean, each.low, each.high) for each in means), strict=True)
            )
            axis.plot(counts, middle, style, marker="o", color=colour, label=name)
            axis.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.set_xscale("log")
            axis.set_xticks(counts, map(str, counts))
        axis.minorticks_off()
        axis.set_xlabel("images to learn from (logarithmic)")
        axis.set_ylabel("test accuracy (%), mean and 95 % interval")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)


def main() -> None:
    """Run all, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning-curve"))
    given, options = parser.parse_known_args()
    found: dict[tuple[str, str], dict[int, list[float]]] = {line: {} for line in LINES}
    for seed in range(1, given.seeds + 1):
        for count in given.counts:
            for weights in ("imagenet", "random"):
                metrics = measured(given, options, weights, count, seed)
                for line in (line for line in LINES if line[0] == weights):
                    found[line].setdefault(count, []).append(metrics[line[1]])
    draw(given.out, f"{given.folder.name}: accuracy by the number of images, {given.seeds} seeds", found)


if __name__ == "__main__":
    main()
