"""Whether the maps of a model point at what they are asked for: two photographs side by side, of two classes.

    python benchmarks/training/explain_halves.py VERSION FOLDER

VERSION is a version of a model of two classes, `models/NAME/1`; FOLDER has a folder of images for each
class, none of which it was trained on. Image n of one class stands beside image n of the other, on changing
sides, and the model is asked for a map of each class. A map points at the half that has more of its sum. Each
photograph is cropped to a square; both fill a canvas of 2:1, which the model squeezes, or stand in the middle
of a white square.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from keraserve_models.exporting.served import Served, served
from keraserve_protocol.evaluation import wilson
from keraserve_protocol.signatures import EXPLAIN, IMAGE_BYTES, LABEL, MAP

SIDE = 224  # pixels of a photograph
TOPS = {"2:1": 0, "white square": SIDE // 2}  # where the photographs begin on each canvas


def composed(left: Path, right: Path, top: int) -> bytes:
    """Write both photographs on one canvas, as PNG."""
    canvas = Image.new("RGB", (2 * SIDE, SIDE + 2 * top), "white")
    for place, file in enumerate((left, right)):
        with Image.open(file) as image:
            square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (SIDE, SIDE))
        canvas.paste(square, (place * SIDE, top))
    content = io.BytesIO()
    canvas.save(content, "PNG")
    return content.getvalue()


def share_on(version: Served, image: bytes, label: str, side: int) -> float:
    """The part of the map's sum that is in the left (0) or the right half (1) of the image."""
    given = {IMAGE_BYTES: np.array([image], object), LABEL: np.array([label], object)}
    (found,) = version.run(EXPLAIN, given)[MAP]
    columns = np.repeat(found.sum(axis=0), 2)  # an odd number of columns is halved too
    halves = columns.reshape(2, -1).sum(axis=1)
    return float(halves[side] / halves.sum()) if halves.sum() else 0.0


def shares_of(version: Served, labels: list[str], pairs: list[tuple[Path, ...]], top: int) -> Any:
    """The part of each map that is on its class's half, [pairs, 2]."""
    shares: list[list[float]] = []
    for number, pair in enumerate(pairs):
        turned = number % 2
        image = composed(pair[turned], pair[1 - turned], top)
        shares.append([share_on(version, image, label, side ^ turned) for side, label in enumerate(labels)])
    return np.array(shares)


def main() -> None:
    """Print how many maps point at the right half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("version", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100, help="images to compose")
    arguments = parser.parse_args()
    labels = (arguments.version / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines()
    files = [sorted((arguments.folder / label).iterdir())[: arguments.count] for label in labels]
    pairs = list(zip(*files, strict=False))
    with served(arguments.version) as version:
        for name, top in TOPS.items():
            right = shares_of(version, labels, pairs, top) > 0.5
            for place, label in enumerate(labels):
                print(f"{name}, {label}: {right[:, place].sum()} of {len(pairs)}")
            low, high = wilson(int(right.sum()), right.size)
            print(f"{name}, both: {right.mean():.1%} of {right.size} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
