"""The commands `keraserve import` and `keraserve models …`, as the installed program."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import SIZE, images_in

from keraserve_models.commands.import_options import name_of
from keraserve_models.importing import classifier
from keraserve_models.importing.request import Scale

PROGRAM = Path(sys.executable).with_name("keraserve")


def run(folder: Path, *arguments: str, status: int = 0, columns: int = 120) -> str:
    """Gives what was printed: findings on standard output, and where it fails one sentence on stderr."""
    wide = {**os.environ, "COLUMNS": str(columns)}
    done = subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=wide, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    if status:
        assert done.stderr.startswith("keraserve: ")
        assert done.stderr.count("\n") == 1
        return done.stdout + done.stderr
    assert done.stderr == ""  # TensorFlow's log lines, too, are nobody's business
    return done.stdout


def test_a_repository_from_the_first_import_to_the_last_removal(tmp_path: Path, saved: Any) -> None:
    saved(images_in(layers.Rescaling(1 / 255)), "My Flowers.keras")
    printed = run(tmp_path, "import", "My Flowers.keras")
    assert "My Flowers.keras: Keras file (.keras) of Keras 3." in printed
    assert "my-flowers version 1: written, largest difference " in printed
    again = run(tmp_path, "import", "My Flowers.keras")
    assert "stays at version 1; to move it: keraserve models label my-flowers stable 2\n" in again
    listed = run(tmp_path, "models", "list")
    assert "│ my-flowers │ 1, 2     │ stable = 1 │ Imported from My Flowers.keras; 1 warning │" in listed
    shown = run(tmp_path, "models", "show", "my-flowers")
    assert shown.startswith("my-flowers, version 2\nwarning: Its classes have no names")
    assert "task                    images" in shown
    narrow = run(tmp_path, "models", "show", "my-flowers", columns=80)
    checksum = hashlib.sha256((tmp_path / "My Flowers.keras").read_bytes()).hexdigest()
    assert f"sha256: {checksum}" in " ".join(narrow.split()).replace(f"{checksum[:56]} ", checksum[:56])
    assert max(map(len, narrow.splitlines()[2:])) <= 80
    assert (
        run(tmp_path, "models", "label", "my-flowers", "best", "2") == "my-flowers: label best is version 2\n"
    )
    assert run(tmp_path, "models", "remove", "my-flowers", "--version", "1", "--yes") == (
        "models/my-flowers/1 was removed. A server no longer loads version 1 of my-flowers:"
        " label 'stable' now means version 2, the oldest that it loads.\n"
    )
    assert run(tmp_path, "models", "remove", "my-flowers", "--yes") == "my-flowers was removed.\n"
    assert run(tmp_path, "models", "list") == "models has no models: keraserve import adds one\n"


def test_a_card_gives_the_command_that_sends_its_example(tmp_path: Path, saved: Any) -> None:
    saved(keras.Sequential([keras.Input((2,), name="area"), layers.Dense(1)]), "price.keras")
    run(tmp_path, "import", "price.keras")
    *_, example = run(tmp_path, "models", "show", "price").splitlines()
    command = shlex.split(example.removeprefix("try it: "))
    assert command[:4] == ["keraserve", "predict", "price", "--input"]
    name, _, value = command[4].partition("=")
    assert name == "area"
    assert np.shape(json.loads(value)) == (1, 2)


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
    ("file", "name"),
    [
        ("My Flowers.v2.keras", "my-flowers-v2"),
        ("ÄÖ.h5", "model"),
        ("x" * 80, "x" * 63),
        ("net_1.0_224", "net-1-0-224"),
    ],
)
def test_a_name_is_made_of_the_files(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


def test_an_unknown_scaling_is_asked_for_with_the_answers_under_each(tmp_path: Path, saved: Any) -> None:
    model = images_in()
    saved(model)
    labels = ["oak", "a longer name than its column has space for", "cat"]
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    assert "; --try FOLDER shows its answers to your images" in run(
        tmp_path, "import", "model.keras", status=1
    )
    for number in range(9):
        pixels = np.full((20, 20, 3), 25 * number, np.uint8)
        folder = tmp_path / ("oak" if number else "cat")
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    printed = run(
        tmp_path, "import", "model.keras", "--labels", "labels.txt", "--try", ".", status=1, columns=80
    )
    *table, sentence = [line for line in printed.splitlines() if not line.startswith("  ")]
    assert "say --scale none|0..1|-1..1|torch|caffe" in sentence
    assert sentence.endswith("; the table has its answers to your images under each")
    assert max(map(len, table)) <= 80
    assert [cell.strip() for cell in table[2].split("┃")[1:-1]] == [
        "image",
        *("none", "0..1", "-1..1", "torch", "caffe"),
    ]
    assert [name for name in printed.split() if name.endswith(".png")] == [
        *("cat/0.png", "oak/3.png", "oak/6.png"),
    ]
    assert printed.count("%") == 15
    levels = np.full((9, *SIZE, 3), 25 * np.arange(9).reshape(9, 1, 1, 1), np.float32)
    right = [
        sum(
            labels[each.argmax()] == ("oak" if number else "cat")
            for number, each in enumerate(model.predict(classifier.scaled_by_keras(levels, scale), verbose=0))
        )
        for scale in Scale
    ]
    [row] = [line for line in table if line.startswith("│ right")]
    assert [int(cell) for cell in row.split("│")[2:-1]] == right
    assert sum(right)
    assert not (tmp_path / "models/model").exists()
