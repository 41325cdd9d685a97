"""How an experiment takes a data set apart, against what the source document does with numpy."""

import numpy as np
import pytest

from keraserve_training.data import datasets, procedural
from keraserve_training.data.images import Images
from keraserve_training.profiles import SAMPLE


def some() -> Images:
    labels = np.array([5, 0, 9, 6, 7, 5, 8, 6], np.int32)
    return Images(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), labels)


def test_classes_are_divided_as_in_the_source_document() -> None:
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


def test_the_digest_depends_on_every_pixel_and_label() -> None:
    pixels, labels = some().images.copy(), some().labels.copy()
    pixels[0] += 1
    labels[0] += 1
    others = Images(pixels, some().labels), some().relabelled(labels)
    assert len({images.digest() for images in (some(), *others)}) == 3


def test_procedural_images_are_repeatable_and_say_what_they_are() -> None:
    data = datasets.fashion_mnist(SAMPLE, lambda _: None)
    again = datasets.fashion_mnist(SAMPLE, lambda _: None)
    assert data.record() == again.record()
    assert "procedural" in data.origin


@pytest.mark.usefixtures("tensorflow")
def test_batches_are_the_images_in_the_requested_order() -> None:
    batches = list(some().batches(np.array([7, 0, 3]), 2))
    assert [images.numpy().ravel().tolist() for images, _ in batches] == [[7, 0], [3]]
    assert [labels.numpy().tolist() for _, labels in batches] == [[6, 5], [6]]
    assert batches[0][0].dtype == "float32"
    assert batches[0][1].dtype == "int32"


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(("own", "size"), [((32, 32), 40), ((32, 32), 20), ((20, 48), 32), ((32, 32), 32)])
def test_a_network_gets_the_size_that_it_wants_as_from_the_exported_model(
    own: tuple[int, int], size: int
) -> None:
    """The exported model does not know the size of what it gets, this does: both have to do the same."""
    import tensorflow as tf

    from keraserve_models.preprocessing.decoding import Preparation

    drawn = procedural.images(10, classes=2, size=own, channels=3, seed=1)
    served = tf.function(
        Preparation((size, size), 3), input_signature=[tf.TensorSpec((None, None, None, None), tf.uint8)]
    )(drawn.images)
    ((images, _),) = drawn.sized(size).batches(np.arange(10), 10)
    assert drawn.sized(size).shape == images.shape[1:] == (size, size, 3)
    np.testing.assert_allclose(images, served, atol=1e-4)
    slow = tf.image.resize(tf.cast(drawn.images, tf.float32), (size, size), antialias=True)
    np.testing.assert_allclose(images, slow, atol=1e-4)


def test_the_size_is_part_of_the_digest_but_not_of_the_record() -> None:
    data = datasets.cifar10(SAMPLE, lambda _: None)
    assert len({images.digest() for images in (data.train, data.train.sized(40), data.train.sized(48))}) == 3
    assert data.train.sized(32).digest() == data.train.digest()
    assert data.sized(40).record() == data.record()


def test_people_see_the_images_in_their_own_size() -> None:
    (shown,) = some().sized(9).show(np.array([2]))
    assert shown.dtype == np.uint8
    assert shown.tolist() == [[[2]]]


@pytest.mark.parametrize(
    ("source", "train", "test", "shape", "classes"),
    [
        (datasets.fashion_mnist, 600, 100, (28, 28, 1), 10),
        (datasets.cifar10, 500, 100, (32, 32, 3), 10),
        (datasets.cifar100, 500, 100, (32, 32, 3), 100),
        (datasets.cats_dogs, 24, 24, (72, 96, 3), 2),
    ],
)
def test_every_source_has_procedural_images_in_place_of_its_own(
    source: datasets.Source, train: int, test: int, shape: tuple[int, ...], classes: int
) -> None:
    data = source(SAMPLE, lambda _: None)
    assert data.kind == "procedural"
    assert isinstance(data.train, Images)
    assert data.train.images.dtype == np.uint8
    assert (len(data.train), len(data.test), data.train.shape) == (train, test, shape)
    assert set(data.train.labels) == set(data.test.labels) == set(range(classes))
    assert len(set(data.classes)) == classes
