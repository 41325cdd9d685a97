"""CIFAR-10 from scratch: the layers that are not drawn at random, smoothed labels, and a whole run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_runs

from keraserve_training.experiments.cifar10_scratch import _WIDTHS, FIRST, NETWORK, _whitening
from keraserve_training.learning import fit, outputs

pytestmark = pytest.mark.usefixtures("tensorflow")


def test_the_first_layer_whitens_patches() -> None:
    rough = np.random.default_rng(0).normal(size=(40, 17, 17, 3))
    mixed = (rough + np.roll(rough, 1, axis=1)) @ [[1, 0.5, 0.2], [0, 1, 0.5], [0, 0, 0.5]]
    filters = _whitening(mixed.astype(np.float32))
    assert filters.shape == (2, 2, 3, 24)
    patches = np.lib.stride_tricks.sliding_window_view(mixed, (2, 2), axis=(1, 2))
    found = np.einsum("nhwcij,ijcf->fnhw", patches, filters[..., :12]).reshape(12, -1)
    np.testing.assert_allclose(found @ found.T / found.shape[1], np.eye(12), atol=0.02)
    np.testing.assert_array_equal(filters[..., 12:], -filters[..., :12])


def test_smoothed_labels_as_keras_smooths_those_of_one_hot() -> None:
    import keras

    labels = np.array([0, 2, 1])
    given = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], np.float32)
    smoothed: Any = outputs.loss("softmax", 0.2)(labels, given)
    theirs: Any = keras.losses.CategoricalCrossentropy(label_smoothing=0.2, reduction=None)
    np.testing.assert_allclose(smoothed, theirs(np.eye(3)[labels], given), rtol=1e-5)


def test_a_run_leaves_the_first_layer_and_learns_the_others(tmp_path: Path) -> None:
    run = sample_runs.execute(tmp_path, "cifar10-scratch", seed=1, given={"epochs": 1, "batch": 100})
    model = fit.load(run.folder / NETWORK).model
    (phase,) = run.networks[NETWORK]["phases"]
    (first,) = model.get_layer(FIRST).get_weights()
    moments = 2 * 2 * sum(_WIDTHS)
    assert phase["trainable_parameters"] == model.count_params() - first.size - moments
    np.testing.assert_array_equal(first[..., :12], -first[..., 12:])
    (kernel,) = model.get_layer("block1_conv2").get_weights()
    passed = kernel[1, 1].diagonal()
    assert 0 < abs(passed - 1).max() < 0.5  # it began as the identity
    assert "It saw each test image once" in sample_runs.said(run)
