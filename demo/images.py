"""Writes the first test images of each class of Fashion-MNIST as PNG files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from keraserve_training.data import datasets
from keraserve_training.data.dataset import Dataset
from keraserve_training.profiles import PROFILES


@dataclass(frozen=True)
class ImageFile:
    """A PNG file of a test image, and its class."""

    path: Path
    label: str


def save(dataset: Dataset, folder: Path, each: int = 2) -> list[ImageFile]:
    """Write the first `each` test images of every class as `<class>-<n>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    saved: list[ImageFile] = []
    for number, label in enumerate(dataset.classes):
        first = np.flatnonzero(dataset.test.labels == number)[:each]
        for n, image in enumerate(dataset.test.show(first), 1):
            path = folder / f"{label.replace(' ', '-')}-{n}.png"
            Image.fromarray(image.squeeze(-1)).save(path)
            saved.append(ImageFile(path, label))
    return saved


def main(
    folder: Path, profile: Annotated[str, typer.Option(help=f"one of {', '.join(PROFILES)}")] = "full"
) -> None:
    """Write the images into FOLDER."""
    save(datasets.fashion_mnist(PROFILES[profile], print), folder)


if __name__ == "__main__":
    typer.run(main)
