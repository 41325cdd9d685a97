"""The plots: they are drawn for every kind of result, in small files, with caveats."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import invented_runs
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from keraserve_training.drawing import comparisons, confusion, curves, end_labels, galleries
from keraserve_training.drawing import page as drawing
from keraserve_training.reporting import embedding

rows = invented_runs.rows


def _images(count: int, height: int = 40, width: int = 60, channels: int = 3) -> list[drawing.Pixels]:
    slope = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, channels))
    return [(np.roll(slope, 7 * number, axis=1)).astype(np.uint8) for number in range(count)]


def _no_validation() -> list[dict[str, float]]:
    return [{"epoch": 1, "loss": 2.0, "accuracy": 0.1}, {"epoch": 2, "loss": 1.0, "accuracy": 0.3}]


def _diverged() -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "loss": float("nan"), "val_loss": float("inf"), "accuracy": 0.1, "val_accuracy": 0.1}
        for epoch in (1, 2)
    ]


HISTORIES = {
    "one": {"a": rows(5)},
    "only a loss": {"autoencoder": rows(4, accuracy=False)},
    "no validation": {"a": _no_validation()},
    "one epoch": {"a": rows(1)},
    "no number": {"a": _diverged(), "b": rows(3)},
    "phases": {"a": rows(6, phases=[("frozen", 2), ("unfrozen", 6)])},
    "six kinds": {
        "a": rows(5),
        "b": rows(4, accuracy=False),
        **{str(number): rows(3) for number in range(4)},
    },
}


@pytest.mark.parametrize("name", HISTORIES)
def test_curves_of_every_kind_of_history(tmp_path: Path, name: str) -> None:
    curves.curves(tmp_path / "curves.png", HISTORIES[name])
    curves.all_curves(tmp_path / "all.png", "All", HISTORIES[name])
    assert {file.name for file in tmp_path.iterdir()} == {"curves.png", "all.png"}


def test_fine_tuning_follows_the_epochs_before_it() -> None:
    histories = {"head": rows(3), "tuned": rows(2), "alone": rows(2)}
    found = curves.joined(histories, {"head": None, "tuned": "head", "alone": "not here"})
    assert list(found) == ["alone", "head, then tuned"]
    assert [row["epoch"] for row in found["head, then tuned"]] == [1, 2, 3, 4, 5]
    assert [row["epoch"] for row in histories["tuned"]] == [1, 2]


def test_names_at_the_ends_of_lines_keep_apart_and_in_order() -> None:
    places = [0.5] * 6 + [0.51, 0.99, 1.0, 0.0]
    spread = end_labels.spread(places, 0.06)
    order = sorted(range(len(places)), key=lambda index: places[index])
    gaps = np.diff([spread[index] for index in order])
    assert gaps.min() > 0.0599
    assert min(spread) >= 0
    assert max(spread) <= 1.0001


@pytest.mark.parametrize("classes", [2, 10, 20, 21, 100, 300])
def test_confusion_of_few_and_many_classes(tmp_path: Path, classes: int) -> None:
    matrix = np.random.default_rng(0).integers(0, 50, (classes, classes))
    labels = [f"class {number}" for number in range(classes)]
    confusion.confusion(tmp_path / "confusion.png", "net", matrix, labels)
    assert (tmp_path / "confusion.png").stat().st_size < 300_000


def test_class_names_may_be_anything(tmp_path: Path) -> None:
    labels = ["$5 bill$", "_private", "猫", "a" * 80]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion.confusion(tmp_path / "confusion.png", "net", np.eye(4, dtype=np.int64), labels)
        galleries.samples(tmp_path / "samples.png", "$x$", _images(4), labels)
        curves.all_curves(tmp_path / "all.png", "_t", {label: rows(2) for label in labels})


GALLERIES: dict[str, Callable[[Path], None]] = {
    "sizes": lambda path: galleries.samples(path, "t", [*_images(4), *_images(5, 200, 90)], ["cat"] * 9),
    "grey": lambda path: galleries.samples(path, "t", _images(2, channels=1), ["cat"] * 2),
    "augmented": lambda path: galleries.augmentations(path, "t", _images(9)),
    "augmented with the original": lambda path: galleries.augmentations(path, "t", _images(9), _images(1)[0]),
    "reconstructed": lambda path: galleries.reconstructions(
        path, "t", _images(3), {"first": _images(3), "second": _images(3)}
    ),
    "mistaken": lambda path: galleries.mistakes(path, "net", _images(1), [("cat", "dog")], [0.99999]),
    "never mistaken": lambda path: galleries.mistakes(path, "net", [], [], []),
}


@pytest.mark.parametrize("name", GALLERIES)
def test_galleries_are_marked_as_photographs(tmp_path: Path, name: str) -> None:
    GALLERIES[name](tmp_path / "gallery.png")
    assert drawing.holds_photographs(tmp_path / "gallery.png")


def test_differences_between_accuracies_can_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, figures = drawing.page, []

    @contextlib.contextmanager
    def kept(*size: Any, **how: Any) -> Iterator[Figure]:
        with page(*size, **how) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(drawing, "page", kept)
    values = {"none": 0.900, "some": 0.912, "much": 0.10}
    comparisons.accuracies(tmp_path / "far.png", "t", values, images=1000, baseline="none")
    del values["much"]
    comparisons.accuracies(tmp_path / "near.png", "t", values, images=1000, baseline="none")
    (axis,) = figures[-1].axes
    low, high = axis.get_xlim()
    assert 0.85 < low < 0.89
    assert 0.92 < high < 0.95
    assert [text.get_text() for text in axis.texts] == ["90.00 %", "91.20 % (+1.20 points)"]
    assert not drawing.holds_photographs(tmp_path / "far.png")


def test_a_caveat_is_on_every_plot_in_the_block(tmp_path: Path) -> None:
    with drawing.with_caveat("Random weights: nothing was transferred"):
        curves.curves(tmp_path / "marked.png", {"a": rows(3)})
    curves.curves(tmp_path / "plain.png", {"a": rows(3)})
    with Image.open(tmp_path / "marked.png") as marked, Image.open(tmp_path / "plain.png") as plain:
        assert marked.height > plain.height + 20
        top = np.asarray(marked.convert("RGB"))[: marked.height - plain.height].reshape(-1, 3).astype(int)
    assert (abs(top - (255, 227, 199)).max(axis=1) < 12).mean() > 0.1


def test_large_photographs_travel_as_jpeg_and_charts_as_they_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 300, 300, 3)).astype(np.uint8)
    galleries.samples(tmp_path / "samples.png", "t", list(noise), ["cat"] * 9)
    curves.curves(tmp_path / "curves.png", {"a": rows(3)})
    samples = embedding.embed(tmp_path / "samples.png", "Samples")
    chart = embedding.embed(tmp_path / "curves.png", "Curves")
    assert samples
    assert chart
    assert samples.uri.startswith("data:image/jpeg;base64,")
    assert samples.kind == "photographs"
    assert chart.uri.startswith("data:image/png;base64,")
    assert chart.kind == "chart"
    assert 0 < chart.least < chart.most
    assert embedding.embed(tmp_path / "nothing.png", "Nothing") is None


def test_matplotlib_gets_no_more_pixels_than_a_tile_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes sixteen bytes of each: a photograph of 108 megapixels took 6.5 GB."""
    drawn: list[tuple[int, ...]] = []
    real = Axes.imshow

    def imshow(axes: Axes, image: drawing.Pixels, **options: object) -> object:
        drawn.append(image.shape)
        return real(axes, image, **options)  # pyright: ignore

    monkeypatch.setattr(Axes, "imshow", imshow)
    large, small = _images(1, 3000, 4000), _images(1, 40, 60)
    galleries.samples(
        tmp_path / "samples.png", "t", [*large, *small], ["cat", "dog"], [(6000, 8000), (40, 60)]
    )
    assert drawn == [(300, 400, 3), (40, 60, 3)]
