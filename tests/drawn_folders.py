"""Class folders of small drawn images, as a user would bring them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

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


def scene(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A drawing of coloured shapes on a sky, width by height `size`; another one for each seed."""
    generator = np.random.default_rng(seed)
    width, height = size
    ends = generator.integers(60, 200, (2, 1, 3))
    sky = np.linspace(0, 1, height)[:, None, None] * (ends[1] - ends[0]) + ends[0]
    noisy = sky + generator.normal(0, 6, (height, width, 3))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = generator.uniform(-0.1, 0.9, 2) * size
        box = (left, top, left + generator.uniform(8, width / 2), top + generator.uniform(8, height / 2))
        colour = tuple(generator.integers(0, 256, 3).tolist())
        (pen.ellipse if generator.random() < 0.5 else pen.rectangle)(box, fill=colour)
    return image
