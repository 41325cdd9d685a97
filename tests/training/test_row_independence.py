"""What the model card says of a batch's rows is measured on the written version."""

import json
import subprocess
from pathlib import Path
from typing import Any

import keras
import pytest

from keraserve_models.exporting import row_independence, signatures
from keraserve_models.exporting.served import served

pytestmark = pytest.mark.usefixtures("tensorflow")
LABELS = ["a", "b", "c"]


class Centred(keras.layers.Layer):
    """Subtracts the mean over the batch, as a normalization that still learns does."""

    def call(self, values: Any) -> Any:
        return values - keras.ops.mean(values, axis=0, keepdims=True)


def measured_of(folder: Path, *layers: Any) -> row_independence.Measured:
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), *layers])
    signatures.save(folder / "version", signatures.Network.of_keras(model), LABELS)
    with served(folder / "version") as version:
        return row_independence.measure(version, (8, 8), 1)


def test_rows_of_an_ordinary_network_are_independent(tmp_path: Path) -> None:
    last = [keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    measured = measured_of(tmp_path, *last)
    assert measured["independent_rows"] is True
    assert measured["largest_row_difference"] is not None
    assert 0 <= measured["largest_row_difference"] <= row_independence.TOLERANCE


def test_a_layer_that_uses_the_whole_batch_is_found(tmp_path: Path) -> None:
    last = [keras.layers.Flatten(), Centred(), keras.layers.Dense(3, "softmax")]
    measured = measured_of(tmp_path, *last)
    assert measured["independent_rows"] is False
    assert measured["largest_row_difference"] is not None
    assert measured["largest_row_difference"] > 0.01


class NoNumber(keras.layers.Layer):
    def call(self, values: Any) -> Any:
        return values / 0.0


def test_outputs_that_are_not_numbers_prove_nothing(tmp_path: Path) -> None:
    last = [keras.layers.Flatten(), keras.layers.Dense(3), NoNumber(), keras.layers.Softmax()]
    measured = measured_of(tmp_path, *last)
    assert measured == {"independent_rows": False, "largest_row_difference": None}


def test_an_exported_version_says_what_was_measured_and_lists_its_files(models: Path) -> None:
    version = models / "fashion-mnist-reuse-a-sample/1"
    card = json.loads((version / "assets.extra/model_card.json").read_text())
    assert card["independent_rows"] is True
    assert card["largest_row_difference"] <= row_independence.TOLERANCE
    listed = version / "assets.extra/SHA256SUMS"
    checked = subprocess.run(["sha256sum", "--check", "--strict", listed], cwd=version, capture_output=True)
    assert checked.returncode == 0, checked
    names = {line.split("  ", 1)[1] for line in listed.read_text().splitlines()}
    files = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert names == files - {"assets.extra/SHA256SUMS"}
