"""A folder of photographs becomes a model, with real pre-trained weights.

The test is skipped where photographs and weights do not lie next to the repository.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keraserve_training.records import run_folder

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY.parent / "shared"
PHOTOGRAPHS = SHARED / "data" / "cats-dogs-images.tar"
KERAS_HOME = SHARED / "keras"
OPTIONS = ["--profile", "quick", "--backbone", "mobilenet", "--alpha", "0.25", "--image-size", "128"]


def keraserve_train(*arguments: str) -> str:
    command = [sys.executable, "-m", "keraserve_training.cli", *arguments]
    environment = {**os.environ, "KERAS_HOME": str(KERAS_HOME), "COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="no photographs and no weights beside the repository")
def test_a_folder_of_photographs_becomes_a_served_model(tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", PHOTOGRAPHS, "-C", tmp_path], check=True)
    runs, models = tmp_path / "runs", tmp_path / "models"
    data = ["--data", str(tmp_path / "cats-dogs"), "--name", "pets", "--runs", str(runs)]
    printed = keraserve_train("run", "cats-dogs-xception", *OPTIONS, *data)
    assert "weights" in printed
    (finished,) = run_folder.finished(runs, "cats-dogs-xception")
    assert finished.config["data"]["kind"] == "folder"
    assert finished.config["weights"]["kind"] == "imagenet"
    assert finished.metrics["metrics"]["test_accuracy"] > 0.65  # by chance: 0.5
    folders = ["--runs", str(runs), "--models", str(models)]
    printed = keraserve_train("export", "cats-dogs-xception", "--profile", "quick", *folders)
    assert "pets-quick: exported as version 1" in printed
    model = tf.saved_model.load(str(models / "pets-quick" / "1"))
    assert (models / "pets-quick" / "1" / "assets" / "labels.txt").read_text() == "cats\ndogs\n"
    classify = model.signatures["image_bytes"]  # pyright: ignore
    right = 0
    files = [*(tmp_path / "cats-dogs" / "test").glob("*/*.jpg")][::10]
    for file in files:
        response = classify(image_bytes=tf.constant([file.read_bytes()]))
        right += response["label"].numpy()[0].decode() == file.parent.name
        np.testing.assert_allclose(response["probabilities"].numpy().sum(), 1.0, atol=1e-5)
    assert right > 0.6 * len(files)
