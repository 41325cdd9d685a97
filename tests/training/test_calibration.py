"""Temperature scaling undoes what made probabilities too sure, for every kind of last layer."""

from typing import Any

import numpy as np
import pytest

from keraserve_training.learning import calibration, outputs
from keraserve_training.learning.outputs import Output

pytestmark = pytest.mark.usefixtures("tensorflow")


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("output", ["softmax", "logit", "sigmoid"])
def test_the_temperature_that_made_probabilities_too_sure_is_found(output: Output, sharpened: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (20_000, 4 if output == "softmax" else 1)).astype(np.float32)
    two = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    true = _softmax(logits if output == "softmax" else two)
    labels = (generator.random((len(true), 1)) > true.cumsum(axis=-1)).sum(axis=-1).astype(np.int32)
    sure = logits * sharpened
    values = {"softmax": _softmax(sure), "logit": sure, "sigmoid": 1 / (1 + np.exp(-sure))}[output]
    found = calibration.temperature(output, values, labels)
    assert found == pytest.approx(sharpened, rel=0.06)
    calibrated: Any = outputs.probabilities(output, values, sharpened)
    np.testing.assert_allclose(calibrated, true, atol=5e-3)
    plain: Any = outputs.probabilities(output, values)
    assert (np.asarray(calibrated).argmax(axis=-1) == np.asarray(plain).argmax(axis=-1)).all()


@pytest.mark.parametrize("margin", [0.1, 3.0, 1e30])
def test_images_that_are_all_right_do_not_make_probabilities_surer(margin: float) -> None:
    values = np.array([[-margin], [margin], [2 * margin]], np.float32)
    assert calibration.temperature("logit", values, np.array([0, 1, 1], np.int32)) == pytest.approx(1)
