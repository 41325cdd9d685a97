"""Drawing some of the images: every class in its share, the same ones for the same seed."""

import numpy as np
import pytest

from keraserve_training.data.examples import ahead, draw, limited, split
from keraserve_training.data.images import Images
from keraserve_training.profiles import FULL, QUICK, SAMPLE


def labelled(*counts: int) -> Images:
    """So many images of each class, mixed; the value of an image is its place."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    return Images(np.arange(len(labels), dtype=np.float32).reshape(-1, 1, 1, 1), labels)


def places(images: Images) -> list[int]:
    return [int(value) for value in images.images.ravel()]


def counts(images: Images) -> list[int]:
    return np.bincount(images.labels).tolist()


@pytest.mark.parametrize("part", [0.2, 60])
def test_a_split_keeps_every_class_in_its_share_and_loses_nothing(part: float | int) -> None:
    rest, aside = split(labelled(100, 150, 50), part, seed=3)
    assert (counts(rest), counts(aside)) == ([80, 120, 40], [20, 30, 10])
    assert sorted(places(rest) + places(aside)) == list(range(300))
    assert places(rest) == sorted(places(rest)), "the order stays"
    assert places(aside) == sorted(places(aside))


def test_the_seed_decides_what_is_drawn() -> None:
    images = labelled(50, 50)
    once, again, other = (places(split(images, 0.2, seed)[1]) for seed in (1, 1, 2))
    assert once == again != other


@pytest.mark.parametrize("sizes", [(3, 300), (2, 2), (1, 9), (300, 1, 1), (5, 5, 5, 5)])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.2, 0.9, 1.0])
def test_neither_part_is_ever_empty(sizes: tuple[int, ...], part: float) -> None:
    images = labelled(*sizes)
    rest, aside = split(images, part, seed=0)
    assert len(rest) + len(aside) == len(images)
    assert len(rest) > 0
    assert len(aside) == min(max(1, round(part * len(images))), len(images) - 1)


def test_a_rare_class_is_in_both_parts() -> None:
    rest, aside = split(labelled(3, 297), 0.1, seed=0)
    assert (counts(rest), counts(aside)) == ([2, 268], [1, 29])


def test_a_limit_draws_from_everywhere_and_not_from_the_front() -> None:
    ordered = Images(np.zeros((100, 1, 1, 1), np.uint8), np.repeat(np.arange(10), 10).astype(np.int32))
    assert counts(limited(ordered, 20)) == [2] * 10
    assert limited(ordered, 100) is ordered
    assert limited(ordered, 1000) is ordered


@pytest.mark.parametrize("count", [1, 2, 5, 17, 99, 100])
def test_exactly_as_many_are_drawn_as_requested(count: int) -> None:
    drawn = draw(labelled(1, 9, 30, 60).labels, count, 0)
    assert len(set(drawn.tolist())) == count


def test_profiles_change_what_they_say() -> None:
    assert FULL.limit(50_000, photographs=False) == 50_000
    assert QUICK.limit(50_000, photographs=False) == 5_000
    assert QUICK.limit(300, photographs=True) == 200
    assert QUICK.limit(100, photographs=True) == 100
    assert SAMPLE.procedural
    assert not QUICK.procedural


def test_large_batches_are_not_prepared_by_the_dozen() -> None:
    assert ahead((28, 28, 1), 32) == 8
    assert ahead((224, 224, 3), 32) == 3
    assert ahead((224, 224, 3), 500) == 1
