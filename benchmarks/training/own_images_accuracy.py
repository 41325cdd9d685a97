"""How right the models of `own-images` are, linear layer and fine-tuned network on the same images.

    python benchmarks/training/own_images_accuracy.py FOLDER --folds 5 --backbone mobilenet --alpha 0.25
    python benchmarks/training/own_images_accuracy.py FOLDER --draws 10 --images 300 --backbone …

FOLDER has a folder of images for each class. With `--folds` every image is tested on once. With `--draws` so
many images are drawn so many times to learn from, and all others of FOLDER are tested on. Other options are
those of `keraserve-train run`. Prints each run, the means, the difference in pairs with its 95 % interval,
and how often the model with fewer right test images was exported.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keraserve_training.statistics import mean_interval

METRICS = ("test_accuracy_linear", "test_accuracy_fine_tuned", "test_accuracy")
Parts = dict[str, list[Path]]


def folds(files: dict[str, list[Path]], count: int) -> Iterator[Parts]:
    """Training and test images of each fold, as files of `train/CLASS` and `test/CLASS`."""
    for fold in range(count):
        yield {
            f"{'test' if test else 'train'}/{name}": [
                file for place, file in enumerate(found) if (place % count == fold) == test
            ]
            for name, found in files.items()
            for test in (False, True)
        }


def draws(files: dict[str, list[Path]], count: int, images: int) -> Iterator[Parts]:
    """So many images, as many of each class, to learn from; all others to test on."""
    each = images // len(files)
    for draw in range(count):
        generator = np.random.default_rng(draw + 1)
        parts: Parts = {}
        for name, found in files.items():
            order = [found[place] for place in generator.permutation(len(found))]
            parts |= {f"train/{name}": order[:each], f"test/{name}": order[each:]}
        yield parts


def measured(parts: Parts, options: list[str], seed: int) -> dict[str, float]:
    """The metrics of a run on these images."""
    with tempfile.TemporaryDirectory() as place:
        for name, found in parts.items():
            folder = Path(place, "images", name)
            folder.mkdir(parents=True)
            for number, file in enumerate(found):
                Path(folder, f"{number}{file.suffix}").symlink_to(file.resolve())
        command = [Path(sys.executable).with_name("keraserve-train"), "run", "own-images", f"--seed={seed}"]
        given = [f"--data={place}/images", f"--runs={place}/runs", *options]
        subprocess.run([*command, *given], check=True, stdout=subprocess.DEVNULL)
        (file,) = Path(place, "runs").rglob("metrics.json")
        return json.loads(file.read_text())["metrics"]


def main() -> None:
    """Run all, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--images", type=int, default=300)
    given, options = parser.parse_known_args()
    files = {each.name: sorted(each.iterdir()) for each in sorted(given.folder.iterdir()) if each.is_dir()}
    generator = np.random.default_rng(0)
    for found in files.values():
        generator.shuffle(found)
    chosen = draws(files, given.draws, given.images) if given.draws else folds(files, given.folds)
    rows: list[list[float]] = []
    print("linear, fine-tuned, exported: share of the test images that is right")
    for seed, parts in enumerate(chosen, 1):
        found = measured(parts, options, seed)
        rows.append([found[metric] for metric in METRICS])
        print(", ".join(f"{100 * value:.2f} %" for value in rows[-1]), flush=True)
    linear, tuned, exported = zip(*rows, strict=True)
    for name, values in (("linear", linear), ("fine-tuned", tuned), ("exported", exported)):
        mean = mean_interval(values)
        print(f"{name}: mean {100 * mean.mean:.2f} %, {100 * mean.low:.2f} to {100 * mean.high:.2f}")
    for name, values in (("fine-tuned", tuned), ("exported", exported)):
        gain = mean_interval([value - other for value, other in zip(values, linear, strict=True)])
        print(
            f"{name} minus linear: {100 * gain.mean:+.2f} points, {100 * gain.low:+.2f} to"
            f" {100 * gain.high:+.2f}"
        )
    worse = sum(value < max(pair) for value, *pair in zip(exported, linear, tuned, strict=True))
    print(f"the one with fewer right was exported {worse} times of {len(rows)}")


if __name__ == "__main__":
    main()
