"""Class folders of small drawn images, as a user would bring them."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


def draw(folder: Path, *, train: int = 8, test: int = 4, size: tuple[int, int] = (40, 36)) -> Path:
    """Write `train` and `test` images of three colours, width by height `size`; returns `folder`."""
    generator = np.random.default_rng(0)
    for part, count in {"train": train, "test": test}.items():
        for name, colour in CLASSES.items():
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                noisy = generator.normal(colour, 30, (size[1], size[0], 3)).clip(0, 255)
                Image.fromarray(noisy.astype(np.uint8)).save(place / f"{number}.png")
    return folder
