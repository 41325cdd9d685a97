"""Files that Keras 2 wrote give what Keras 2 predicts."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from models import keras_2_files

from keraserve_models.errors import ImportRejected
from keraserve_models.exporting.served import served
from keraserve_models.importing.importer import Imported, import_model
from keraserve_models.importing.request import ImportRequest, Overrides, Scale


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras2")
    subprocess.run([sys.executable, keras_2_files.__file__, folder], check=True, capture_output=True)
    return folder


def imported(file: Path, models: Path, scale: Scale | None = None) -> Imported:
    return import_model(ImportRequest(file, "old", models, overrides=Overrides(scale=scale)))


@pytest.mark.parametrize(
    ("name", "scale", "task"),
    [
        ("sequential.h5", None, "images"),
        ("functional.h5", None, "images"),
        ("recurrent.h5", None, "tensors"),
        ("operators.h5", Scale.NONE, "images"),  # read by tf-keras, as is the zip
        ("saved_model", None, "tensors"),
        ("converted_keras.zip", None, "images"),
    ],
)
def test_it_gives_what_keras_2_predicts(
    files: Path, tmp_path: Path, name: str, scale: Scale | None, task: str
) -> None:
    done = imported(files / name, tmp_path, scale)
    assert done.card["task"] == task
    known = np.load(files / f"{name}.npz")
    with served(tmp_path / "old/1") as version:
        [taken] = version.inputs("serving_default")
        results = version.run("serving_default", {taken: known["rows"]})
    [given] = [each for each in results.values() if each.dtype == np.float32]
    np.testing.assert_allclose(given, known["predicted"], atol=1e-5)


def test_teachable_machines_zip_brings_its_labels(files: Path, tmp_path: Path) -> None:
    done = imported(files / "converted_keras.zip", tmp_path)
    assert done.card["labels"] == ["Cat", "Big Dog"]
    assert (done.card["scale"], done.card["warnings"]) == ("-1..1", [])
    assert done.card["imported_from"]["form"] == "Teachable Machine's zip"


@pytest.mark.parametrize("name", ["functional.h5", "recurrent.h5"])
def test_common_layers_need_no_keras_2(
    files: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    assert imported(files / name, tmp_path).compared.equal


@pytest.mark.parametrize("name", ["operators.h5", "converted_keras.zip"])
def test_what_keras_3_cant_read_names_the_extra(
    files: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(
        ImportRejected,
        match=rf"{name} is of Keras 2\..*, and Keras 3 can't read it .*"
        r'pip install "keraserve\[tf-keras\]", and import it again',
    ):
        imported(files / name, tmp_path)
    assert not list(tmp_path.glob("*/*"))


def test_a_damaged_file_is_named(files: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes((files / "sequential.h5").read_bytes())
    with h5py.File(damaged, "r+") as content:
        del content["model_weights"]
    with pytest.raises(ImportRejected, match=r"damaged\.h5 can't be loaded, neither by Keras 3"):
        imported(damaged, tmp_path / "models")
