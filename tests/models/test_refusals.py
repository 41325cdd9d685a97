"""Every file that is not imported is named with what is wrong and what to do; nothing is left behind."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import Doubled, images_in

from keraserve_models.errors import ImportRejected
from keraserve_models.importing.importer import import_model
from keraserve_models.importing.request import ImportRequest, Overrides, Scale


def rejected(file: Path, says: str, **how: Any) -> None:
    models = file.parent / "models"
    with pytest.raises(ImportRejected, match=says):
        import_model(ImportRequest(file, "flowers", models, **how))
    assert not (models / "flowers").exists()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).export(tmp_path / "exported", verbose=False)
    return tmp_path / "exported"


def test_a_saved_model_without_its_variables(exported: Path) -> None:
    (exported / "variables/variables.index").unlink()
    rejected(exported, "lacks variables/variables.index: the SavedModel is not whole")


def test_a_saved_model_that_is_damaged(exported: Path) -> None:
    (exported / "saved_model.pb").write_bytes(b"\xff" * 50)
    rejected(exported, "exported can't be loaded: ")


def test_a_folder_of_saved_models(exported: Path) -> None:
    folder = exported.with_name("several")
    shutil.move(exported, folder / "1")
    rejected(folder, "several holds SavedModels: name one of them, such as .*several/1")


def test_a_saved_model_that_no_server_can_call(tmp_path: Path) -> None:
    class Silent(tf.Module):
        @tf.function
        def run(self, values: Any) -> Any:
            return values

    tf.saved_model.save(Silent(), str(tmp_path / "silent"))
    rejected(
        tmp_path / "silent", r"silent has no signature, so no server can call it: .*tf\.saved_model\.save"
    )


def test_a_saved_model_that_calls_python(tmp_path: Path) -> None:
    class Calls(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
        def run(self, values: Any) -> Any:
            return {"y": tf.numpy_function(np.negative, [values], tf.float32)}

    module = Calls()
    tf.saved_model.save(module, str(tmp_path / "calls"), signatures=module.run)
    rejected(tmp_path / "calls", r"signature 'serving_default' of .*calls calls Python \(PyFunc\)")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"config.json": b"{}"}, r"lacks model\.weights\.h5"),
        ({"photo.png": b"x"}, "is a zip without a Keras model or Teachable Machine's keras_model.h5"),
        ({"config.json": b"{", "model.weights.h5": b""}, "the configuration inside .* is no JSON: "),
        ({"config.json": b"[1]", "model.weights.h5": b""}, "is no JSON object"),
        ({"keras_model.h5": b"x", "labels.txt": b"0 a"}, "can't be read as HDF5"),
        ({"keras_model.h5": b"x", "labels.txt": b"0 \xff"}, "is no text in UTF-8"),
        ({"keras_model.h5": b"x", "labels.txt": b"0 a" * 400_000}, "has more than 1,000,000 bytes"),
        (
            {"keras_model.h5": b"x", "labels.txt": b"1 a\n0 b"},
            "has the line '1 a', where class 0 is expected",
        ),
        ({"keras_model.h5": b"x", "labels.txt": b"0 a\nBig b"}, "has the line 'Big b', where class 1 is"),
        ({"model.json": b"{}", "weights.bin": b"", "metadata.json": b"{}"}, "is a zip without a Keras model"),
    ],
)
def test_a_zip_that_is_no_model(tmp_path: Path, content: dict[str, bytes], says: str) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    rejected(tmp_path / "model.zip", says)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [(b"CONTENT", b"CONTEXT", "Bad CRC-32"), (b"\x14\0\0\0", b"\x14\0\1\0", "is encrypted")],
)
@pytest.mark.parametrize("names", [("config.json", "model.weights.h5"), ("keras_model.h5", "labels.txt")])
def test_a_zip_that_can_not_be_unpacked(
    tmp_path: Path, names: tuple[str, ...], before: bytes, after: bytes, says: str
) -> None:
    file = tmp_path / "model.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"CONTENT")
    file.write_bytes(file.read_bytes().replace(before, after))
    rejected(file, rf"model\.zip can't be unpacked: .*{says}")


def test_a_zip_with_the_labels_of_another_model(tmp_path: Path, saved: Any) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.write(saved(images_in(units=3), "keras_model.h5"), "keras_model.h5")
        archive.writestr("labels.txt", "0 Cat\n1 Dog\n")
    rejected(tmp_path / "model.zip", r"model\.zip names 2 classes, and the model gives 3")


def test_labels_that_are_no_text(tmp_path: Path, saved: Any) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    file = saved(images_in(layers.Rescaling(1 / 255)))
    rejected(file, r"labels\.txt can't be read as text in UTF-8", labels=tmp_path / "labels.txt")
    rejected(file, r"nowhere\.txt can't be read", labels=tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("nowhere.py", None, "nowhere.py is no Python file"),
        ("code.py", "1 / 0", "code.py failed: ZeroDivisionError"),
        ("code.py", "", r"can't be loaded by Keras 3.*--trust --code FILE\.py"),
    ],
)
def test_code_that_does_not_define_the_classes(
    tmp_path: Path, saved: Any, monkeypatch: pytest.MonkeyPatch, name: str, code: str | None, says: str
) -> None:
    monkeypatch.setattr(Doubled, "__module__", "nowhere.at.all")
    file = saved(keras.Sequential([keras.Input((3,)), Doubled()]))
    if code is not None:
        (tmp_path / name).write_text(code)
    rejected(file, says, trusted=True, code=tmp_path / name)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]), "its input has the shape"),
        (lambda: keras.Sequential([keras.Input((8, 8, 5)), layers.Flatten()]), "without 1 or 3 channels"),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)]), "its output is no vector"),
        (
            lambda: keras.Sequential([keras.Input(batch_shape=(2, 8, 8, 3)), layers.Flatten()]),
            "it takes 2 images at a time",
        ),
    ],
)
def test_no_image_classifier(saved: Any, model: Callable[[], Any], says: str) -> None:
    rejected(
        saved(model()),
        f"it can't be served as an image classifier: .*{says}",
        overrides=Overrides(task="images"),
    )


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]), "its input has the shape"),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)]), "its output is no vector"),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), layers.Flatten()]),
            "its input is uint8",
        ),
    ],
)
def test_no_image_classifier_in_a_saved_model(tmp_path: Path, model: Callable[[], Any], says: str) -> None:
    model().export(tmp_path / "exported", verbose=False)
    rejected(
        tmp_path / "exported",
        f"it can't be served as an image classifier: .*{says}",
        overrides=Overrides("images", Scale.NONE, "softmax"),
    )


def test_a_model_that_was_never_called(tmp_path: Path, saved: Any) -> None:
    code = tmp_path / "code.py"
    code.write_text(
        "import keras\n\nclass Doubled(keras.Model):\n    def call(self, x):\n        return 2.0 * x\n"
    )
    with pytest.warns(UserWarning, match="has not yet been built"):
        file = saved(Doubled())
    rejected(file, "was never called: call it once", trusted=True, code=code)


def test_a_configuration_is_not_what_it_says(tmp_path: Path, saved: Any) -> None:
    file = saved(images_in())
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["filters"] = 9
                content = json.dumps(config).encode()
            changed.writestr(name, content)
    rejected(other, r"other\.keras can't be loaded by Keras 3")
