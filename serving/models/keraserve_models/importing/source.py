"""What a file or folder is: its form, and the configuration that is written in it. Nothing of it is run."""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keraserve_models.errors import ImportRejected

_MOST_LABEL_BYTES = 1_000_000
_PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth"}
_ELSEWHERE = {
    ".onnx": "an ONNX file: convert it to a SavedModel first (onnx2tf)",
    ".tflite": "a TensorFlow Lite file, which has no weights to serve from: import the model it was made of",
    ".pb": "a file of a SavedModel or a frozen graph: give the folder of the SavedModel",
    ".json": "a configuration without weights: give the file that model.save() wrote",
}
_WEIGHTS = (
    "weights without a model: build the model, load them, and save it all with model.save('model.keras')"
)


class Form(Enum):
    """How a model was saved."""

    KERAS = "Keras file (.keras)"
    HDF5 = "HDF5 file (.h5)"
    SAVED_MODEL = "SavedModel"
    TEACHABLE_MACHINE = "Teachable Machine's zip"
    PRESET = "KerasHub preset"


@dataclass(frozen=True)
class Source:
    """A model as it was found.

    Attributes:
        path: the file or folder with the model itself; of a zip, the file that was taken out of it.
        original: the path that the user named.
        form: how it was saved.
        config: the configuration of a Keras model, in JSON's types; of a preset, its configurations by their
            files' names; None: it has none.
        keras_version: that wrote it; empty where nothing says so.
        labels: names of the classes that lie beside the model, in order.
        sha256: of the file, or of a folder's files with their names, in hexadecimal.
    """

    path: Path
    original: Path
    form: Form
    config: dict[str, Any] | None = None
    keras_version: str = ""
    labels: tuple[str, ...] = ()
    sha256: str = field(default="", compare=False)


@contextmanager
def opened(original: Path) -> Iterator[Source]:
    """Find out what a path is; a zip's content lies in a temporary folder until the end.

    Raises:
        ImportRejected: it is no model that can be imported; says what it is, or what is missing.
    """
    if not original.exists():
        raise ImportRejected(f"there is no file or folder {original}")
    if original.is_dir():  # a digest of a folder that is no model could take hours
        yield replace(_folder(original), sha256=_digest(original))
        return
    digest = _digest(original)
    if original.suffix.lower() in _PICKLES:
        raise ImportRejected(
            f"{original} is a pickle, a program that runs when it is read, and is never imported: load it"
            " where it was made, and save it with model.save('model.keras')"
        )
    elif zipfile.is_zipfile(original):
        with TemporaryDirectory() as unpacked:
            yield _unzipped(original, Path(unpacked), digest)
    elif _begins(original, b"\x89HDF\r\n\x1a\n"):
        yield _hdf5(original, original, Form.HDF5, (), digest)
    else:
        what = _ELSEWHERE.get(original.suffix.lower(), "no Keras file, HDF5 file, SavedModel or zip of these")
        raise ImportRejected(f"{original} is {what}")


def _begins(file: Path, signature: bytes) -> bool:
    with file.open("rb") as content:
        return content.read(len(signature)) == signature


def _folder(original: Path) -> Source:
    if (original / "saved_model.pb").is_file() or (original / "saved_model.pbtxt").is_file():
        variables = {each.name for each in (original / "variables").glob("*")}
        if variables and "variables.index" not in variables:  # a frozen graph has none
            raise ImportRejected(f"{original} lacks variables/variables.index: the SavedModel is not whole")
        return Source(original, original, Form.SAVED_MODEL)
    if (original / "config.json").is_file():
        return _unpacked(original)
    inner = [each for each in sorted(original.iterdir()) if (each / "saved_model.pb").is_file()]
    if inner:
        raise ImportRejected(f"{original} holds SavedModels: name one of them, such as {inner[-1]}")
    raise ImportRejected(f"{original} has no saved_model.pb: it is no SavedModel")


def _unpacked(original: Path) -> Source:
    """A preset, or a Keras file as a folder, which is how Keras saves to the Hugging Face Hub."""
    configs = {each.name: _json(each.read_bytes(), each) for each in sorted(original.glob("*.json"))}
    metadata = configs.get("metadata.json", {})
    version = str(metadata.get("keras_version", ""))
    if "keras_hub_version" in metadata or "task.json" in configs:
        return Source(original, original, Form.PRESET, configs, version)
    if "model_type" in configs["config.json"]:
        raise ImportRejected(f"{original} is a model of Hugging Face's Transformers, which Keras can't read")
    if not (original / "model.weights.h5").is_file():
        raise ImportRejected(f"{original} lacks model.weights.h5: the model is not whole")
    return Source(original, original, Form.KERAS, configs["config.json"], version)


def _unzipped(original: Path, unpacked: Path, digest: str) -> Source:
    try:
        with zipfile.ZipFile(original) as archive:
            return _zip(original, archive, unpacked, digest)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # encrypted: the last
        raise ImportRejected(f"{original} can't be unpacked: {error}") from error


def _zip(original: Path, archive: zipfile.ZipFile, unpacked: Path, digest: str) -> Source:
    names = set(archive.namelist())
    if {"config.json", "model.weights.h5"} <= names:
        config = _json(archive.read("config.json"), original)
        metadata = _json(archive.read("metadata.json"), original) if "metadata.json" in names else {}
        return Source(
            original, original, Form.KERAS, config, str(metadata.get("keras_version", "")), (), digest
        )
    if {"keras_model.h5", "labels.txt"} <= names:
        file = Path(archive.extract("keras_model.h5", unpacked))
        if archive.getinfo("labels.txt").file_size > _MOST_LABEL_BYTES:
            raise ImportRejected(f"labels.txt in {original} has more than {_MOST_LABEL_BYTES:,} bytes")
        labels = _numbered(archive.read("labels.txt"), original)
        return _hdf5(file, original, Form.TEACHABLE_MACHINE, labels, digest)
    if "config.json" in names:
        raise ImportRejected(f"{original} lacks model.weights.h5: the file is not whole, or holds no weights")
    raise ImportRejected(f"{original} is a zip without a Keras model or Teachable Machine's keras_model.h5")


def _numbered(content: bytes, original: Path) -> tuple[str, ...]:
    """The names of the classes: each line is a number from 0 on, a space, and the name."""
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ImportRejected(f"labels.txt in {original} is no text in UTF-8: {error}") from error
    parts = [re.fullmatch(r"(\d+)(?:\s+(.+))?", line) for line in lines]
    for place, (line, part) in enumerate(zip(lines, parts, strict=True)):
        if part is None or part[1] != str(place):
            raise ImportRejected(
                f"labels.txt in {original} has the line {line!r}, where class {place} is expected, as in"
                f" '{place} name'"
            )
    return tuple(part[2] or part[1] for part in parts if part)


def _hdf5(file: Path, original: Path, form: Form, labels: tuple[str, ...], digest: str) -> Source:
    import h5py

    try:
        with h5py.File(file) as content:
            attributes: dict[str, Any] = dict(content.attrs)
    except OSError as error:
        raise ImportRejected(f"{original} can't be read as HDF5: {error}") from error
    if "model_config" not in attributes:
        raise ImportRejected(f"{original} holds {_WEIGHTS}")
    config = _json(attributes["model_config"], original)
    return Source(file, original, form, config, str(attributes.get("keras_version", "")), labels, digest)


def _json(content: bytes | str, original: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise ImportRejected(f"the configuration inside {original} is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ImportRejected(f"the configuration inside {original} is no JSON object")
    return parsed


def _digest(original: Path) -> str:
    files = [original] if original.is_file() else sorted(one for one in original.rglob("*") if one.is_file())
    whole = hashlib.sha256()
    for file in files:
        if original.is_dir():
            whole.update(file.relative_to(original).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            whole.update(hashlib.file_digest(content, "sha256").digest() if original.is_dir() else b"")
    if original.is_file():
        with original.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    return whole.hexdigest()
