"""Processor time and peak memory of a model of one's own images, small ones and the same as photographs.

    python benchmarks/training/own_images_cost.py FOLDER [--images 300] [--sizes 0 4000]

FOLDER has a folder of images for each class. Each size is a run of `keraserve-train own` with MobileNet 0.25
in a process of its own: 0 as the images are, 4000 enlarged to 4000 by 3000 pixels (12 megapixels), as JPEG.
Weights are random unless --weights says otherwise: that changes neither figure.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image


def main() -> None:
    """Run each size, and print a row of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 4000])
    parser.add_argument("--weights", default="random")
    given = parser.parse_args()
    print("| images | pixels | user + system, s | peak memory, MB |\n|---:|---|---:|---:|", flush=True)
    for side in given.sizes:
        with tempfile.TemporaryDirectory() as place:
            images = Path(place, "images")
            count = _made(given.folder, images, given.images, side)
            seconds, peak = _run(images, Path(place), given.weights)
        pixels = f"{side} by {side * 3 // 4}" if side else "as they are"
        print(f"| {count} | {pixels} | {seconds:.0f} | {peak / 1e6:.0f} |", flush=True)


def _made(folder: Path, images: Path, count: int, side: int) -> int:
    """Fill `images` with `count` images, as many of each class."""
    classes = sorted(each for each in folder.iterdir() if each.is_dir())
    written = 0
    for label in classes:
        (images / label.name).mkdir(parents=True)
        for file in sorted(each for each in label.iterdir() if each.is_file())[: count // len(classes)]:
            image = Image.open(file).convert("RGB")
            if side:
                image = image.resize((side, side * 3 // 4), Image.Resampling.BILINEAR)
            image.save(images / label.name / f"{file.stem}.jpg", quality=90)
            written += 1
    return written


def _run(images: Path, place: Path, weights: str) -> tuple[float, int]:
    """Processor seconds, and the peak of resident bytes, of one run."""
    command = [sys.executable, "-m", "keraserve_training.cli", "own", str(images), "--weights", weights]
    command += ["--backbone", "mobilenet", "--alpha", "0.25"]
    command += ["--runs", str(place / "runs"), "--models", str(place / "models")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run failed: status {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


if __name__ == "__main__":
    main()
