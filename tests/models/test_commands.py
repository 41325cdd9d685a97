"""The commands `keraserve import` and `keraserve models …`, as the installed program."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from models.conftest import images_in

from keraserve_models.commands.import_options import name_of

PROGRAM = Path(sys.executable).with_name("keraserve")


def run(folder: Path, *arguments: str, status: int = 0) -> str:
    """Gives what was printed: sentences on standard output, and where it fails nothing but one on stderr."""
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=wide, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    if status:
        assert done.stderr.startswith("keraserve: ")
        assert done.stderr.count("\n") == 1
        return done.stderr
    assert done.stderr == ""  # TensorFlow's log lines, too, are nobody's business
    return done.stdout


def test_a_repository_from_the_first_import_to_the_last_removal(tmp_path: Path, saved: Any) -> None:
    saved(images_in(layers.Rescaling(1 / 255)), "My Flowers.keras")
    printed = run(tmp_path, "import", "My Flowers.keras")
    assert "My Flowers.keras: Keras file (.keras) of Keras 3." in printed
    assert "my-flowers version 1: written, largest difference " in printed
    run(tmp_path, "import", "My Flowers.keras")
    listed = run(tmp_path, "models", "list")
    assert "│ my-flowers │ 1, 2     │ stable = 1 │ Imported from My Flowers.keras; 1 warning │" in listed
    shown = run(tmp_path, "models", "show", "my-flowers")
    assert shown.startswith("my-flowers, version 2\nwarning: Its classes have no names")
    assert "task                    images" in shown
    assert (
        run(tmp_path, "models", "label", "my-flowers", "best", "2") == "my-flowers: label best is version 2\n"
    )
    assert run(tmp_path, "models", "remove", "my-flowers", "--version", "1", "--yes").startswith(
        "models/my-flowers/1 was removed."
    )
    assert run(tmp_path, "models", "remove", "my-flowers", "--yes") == "my-flowers was removed.\n"
    assert run(tmp_path, "models", "list") == "models has no models: keraserve import adds one\n"


def test_what_fails_is_one_sentence_and_leaves_nothing(tmp_path: Path, saved: Any) -> None:
    doubled = layers.Lambda(lambda values: 2 * values, name="lambda")
    saved(keras.Sequential([keras.Input((3,)), doubled]), "lambda.keras")
    saved(images_in(layers.Rescaling(1 / 255)))
    (tmp_path / "labels.txt").write_text("rose\ntulip\n")
    for arguments, says in (
        (("import", "nowhere.keras"), "there is no file or folder nowhere.keras"),
        (("import", "lambda.keras"), "the Lambda layer 'lambda'"),
        (
            ("import", "model.keras", "--labels", "labels.txt"),
            "labels.txt has 2 classes, and the model gives 3",
        ),
        (("import", "model.keras", "--size", "12"), "--size is HEIGHTxWIDTH in pixels"),
        (("import", "model.keras", "--name", "../x"), "can't be a model's name"),
        (("models", "show", "x"), "There is no model 'x' in models"),
    ):
        assert says in run(tmp_path, *arguments, status=1)
    assert not list(tmp_path.glob("models/*/*"))


@pytest.mark.parametrize(
    ("file", "name"), [("My Flowers.v2.keras", "my-flowers-v2"), ("ÄÖ.h5", "model"), ("x" * 80, "x" * 63)]
)
def test_a_name_is_made_of_the_files(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
