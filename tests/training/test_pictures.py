"""How an experiment takes a data set apart, against what the source document does with numpy."""

import numpy as np

from keraserve_training import datasets, procedural
from keraserve_training.pictures import Pictures
from keraserve_training.profiles import PROFILES, QUICK, SAMPLE


def some() -> Pictures:
    labels = np.array([5, 0, 9, 6, 7, 5, 8, 6], np.int32)
    return Pictures(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), labels)


def test_the_split_is_that_of_the_source_document() -> None:
    a, b = some().without([5, 6]), some().only([5, 6])
    y = some().labels
    y_a = y[~np.isin(y, [5, 6])]
    y_a[y_a > 6] -= 2  # the source document's own lines
    np.testing.assert_array_equal(a.labels, y_a)
    np.testing.assert_array_equal(b.labels, (y[np.isin(y, [5, 6])] == 6).astype(int))
    np.testing.assert_array_equal(a.images.ravel(), [1, 2, 4, 6])
    np.testing.assert_array_equal(b.images.ravel(), [0, 3, 5, 7])


def test_first_and_after_share_nothing_and_lose_nothing() -> None:
    front, rest = some().first(3), some().after(3)
    assert len(front) + len(rest) == len(some())
    np.testing.assert_array_equal(np.concatenate([front.labels, rest.labels]), some().labels)
    assert len(some().first(100)) == 8


def test_digest_sees_one_changed_pixel_and_one_changed_label() -> None:
    pixels, labels = some().images.copy(), some().labels.copy()
    pixels[0] += 1
    labels[0] += 1
    digests = {
        some().digest(),
        Pictures(pixels, some().labels).digest(),
        Pictures(some().images, labels).digest(),
    }
    assert len(digests) == 3


def test_procedural_pictures_are_repeatable_and_say_what_they_are() -> None:
    data = datasets.fashion_mnist(SAMPLE, lambda _: None)
    again = datasets.fashion_mnist(SAMPLE, lambda _: None)
    assert data.record() == again.record()
    assert data.kind == "procedural"
    assert "procedural" in data.origin
    assert data.train.images.shape == (600, 28, 28, 1)
    assert set(data.test.labels) == set(range(10))


def test_procedural_pictures_in_colour() -> None:
    drawn = procedural.pictures(7, classes=3, size=(20, 30), channels=3, seed=1)
    assert drawn.images.shape == (7, 20, 30, 3)
    assert drawn.images.dtype == np.uint8
    assert set(drawn.labels) == {0, 1, 2}


def test_profiles_change_what_they_say() -> None:
    assert PROFILES["full"].pictures(5000) == 5000
    assert PROFILES["full"].epochs(20) == 20
    assert (QUICK.pictures(5000), QUICK.epochs(20), QUICK.epochs(4)) == (500, 5, 4)
    assert SAMPLE.procedural
    assert not QUICK.procedural
