"""Weights of pre-trained networks: found, fetched, verified and loaded.

They are in Keras' cache, `$KERAS_HOME/models` (KERAS_HOME: `~/.keras` unless set). Keras' own loading deletes
a file with a wrong checksum, and can load nothing without an error. Here all arrays of the network must match
those of the file by order and shape.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from keraserve_training.data import keras_download
from keraserve_training.data.examples import Tell
from keraserve_training.errors import WeightsUnavailableError
from keraserve_training.pretrained.networks import Network

if TYPE_CHECKING:
    import keras

_SIZES = (128, 160, 192, 224)  # for which MobileNet has files; Keras takes the last one for other sizes
_MD5_DIGITS = 32
_SECONDS, _SECONDS_WITH_ANOTHER = 900, 60  # for a download; if weights for another size are there
_ELSE = "or name --weights FILE, --weights random or another --backbone (with make: WEIGHTS=, BACKBONE=)"

Arrays = Sequence[npt.NDArray[Any]]


@dataclass(frozen=True)
class Found:
    """Where weights come from.

    Attributes:
        kind: as the user requested it; `preset`: KerasHub's own of a preset.
        file: None: they are random, or a preset's.
        note: a remark for people, or empty.
    """

    kind: Literal["imagenet", "preset", "file", "random"]
    file: Path | None = None
    note: str = ""

    def record(self) -> dict[str, Any]:
        """The same in JSON's types, with the SHA-256 of the file."""
        if self.file is None:
            return {"kind": self.kind, "file": None, "sha256": None}
        return {"kind": self.kind, "file": self.file.name, "sha256": _digest(self.file, "sha256")}


def folder() -> Path:
    """Keras' cache of weights."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def find(network: Network, size: int, weights: str, alpha: float, tell: Tell) -> Found:
    """Find the requested weights, or fetch them.

    Raises:
        WeightsUnavailableError: they can't be found or fetched, or the file is damaged.
    """
    if weights == "random":
        return Found("random")
    if weights != "imagenet":
        file = Path(weights).expanduser()
        if not file.is_file():
            raise WeightsUnavailableError(
                f"There is no file {file} with weights: name another one, imagenet or random."
            )
        return Found("file", file)
    trained = size if size in _SIZES else _SIZES[-1]
    file = _file(network, trained, alpha)
    others = [other for other in reversed(_SIZES) if _file(network, other, alpha).is_file()]
    seconds = _SECONDS_WITH_ANOTHER if others else _SECONDS
    if file.is_file():
        _check_sum(network, file)
    elif not _fetched(network, file, trained, alpha, seconds, tell):
        if not others:
            raise WeightsUnavailableError(
                f"The ImageNet weights of {network.title} are not on this machine and could not be fetched:"
                f" connect it once, put Keras' file {file.name} into {file.parent}, {_ELSE}."
            )
        trained = others[0]
    same = not network.alphas or trained == size
    note = "" if same else f"weights that were trained on images of {trained} pixels, used on {size}"
    return Found("imagenet", _file(network, trained, alpha), note)


def load(model: "keras.Model", found: Found, title: str) -> str:
    """Load weights into a network, and verify that all are loaded.

    Args:
        model: the network without classifier.
        found: a `.h5` or `.keras` file of a whole model or of its weights, or a `.weights.h5`; with any
            classifier or none.
        title: the network's name for people.

    Returns:
        The note of `found`, and which part of the file was not used.

    Raises:
        WeightsUnavailableError: the file can't be read, or holds another network.
    """
    if found.file is None:
        return found.note
    by_name = found.file.name.endswith(".weights.h5")
    try:
        left = _load_by_name(model, found.file) if by_name else _load_in_order(model, found.file)
    except Exception as error:  # Keras and HDF5 raise many kinds
        reason = re.sub(r"\s+", " ", str(error)).strip()[:200]
        raise WeightsUnavailableError(
            f"{found.file} does not hold the weights of this {title} ({reason}): name the file of the same"
            " network and width, imagenet or random."
        ) from error
    notes = [found.note, f"{left} arrays of the file's last layers are not used" if left else ""]
    return "; ".join(note for note in notes if note)


class _DoesNotFitError(Exception):
    """The file holds something else."""


def _load_in_order(model: Any, file: Path) -> int:
    """Load the arrays in their order; returns how many more the file has at its end."""
    import keras

    if file.suffix == ".keras":
        saved: Any = keras.models.load_model(file, compile=False)
        arrays = [weight.numpy() for weight in saved.weights]
    else:
        arrays = _h5_arrays(file)
    wanted = model.weights
    for place, weight in enumerate(wanted):
        there = arrays[place].shape if place < len(arrays) else "nothing"
        if there != tuple(weight.shape):
            raise _DoesNotFitError(
                f"{weight.path} has the shape {tuple(weight.shape)}, the file {there} in its place"
            )
    _check_numbers(arrays[: len(wanted)])
    for weight, array in zip(wanted, arrays, strict=False):
        weight.assign(array)
    return len(arrays) - len(wanted)


def _load_by_name(model: Any, file: Path) -> int:
    """Let Keras load its own format; weights that it does not find stay NaN, which is an error."""
    for weight in model.weights:
        weight.assign(np.full(weight.shape, np.nan, weight.dtype))
    model.load_weights(file)
    _check_numbers([weight.numpy() for weight in model.weights])
    return 0


def _check_numbers(arrays: Arrays) -> None:
    missing = sum(not np.isfinite(array).all() for array in arrays)
    if missing:
        raise _DoesNotFitError(f"{missing} of {len(arrays)} arrays are missing, or are not finite numbers")


def _h5_arrays(file: Path) -> Arrays:
    """The arrays of Keras' older format, layer after layer."""
    import h5py

    with h5py.File(file) as content:
        top: Any = content.get("model_weights", content)
        return [
            np.asarray(top[layer][name])
            for layer in _names(top, "layer_names")
            for name in _names(top[layer], "weight_names")
        ]


def _names(group: Any, attribute: str) -> Iterator[str]:
    """A list of names; Keras stores a long one in several attributes with numbered names."""
    pieces = [attribute] if attribute in group.attrs else []
    while (piece := f"{attribute}{len(pieces)}") in group.attrs:
        pieces.append(piece)
    if not pieces:
        raise _DoesNotFitError(f"it has no {attribute}")
    for piece in pieces:
        for name in group.attrs[piece]:
            yield name.decode() if isinstance(name, bytes) else str(name)


def _file(network: Network, trained: int, alpha: float) -> Path:
    # Keras writes an alpha of 0.25 as 2_5 and one of 1 as 1_0.
    written = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}.get(alpha, str(alpha))
    return folder() / network.file.format(alpha=written, size=trained)


def _fetched(network: Network, file: Path, trained: int, alpha: float, seconds: int, tell: Tell) -> bool:
    """Let Keras fetch the file into another folder, verify it, and move it into the cache."""
    tell(f"{network.title}: downloading its ImageNet weights with Keras ({file.name}, once)")
    with contextlib.suppress(OSError):  # if the cache can't be written, nothing can be fetched
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=file.parent) as own:
            width = {"alpha": alpha} if network.alphas else {}
            side = trained if network.alphas else network.size
            got = keras_download.weights(network.title, side, width, Path(own), seconds)
            fetched = Path(own) / file.name
            if got and fetched.is_file():
                _check_sum(network, fetched)
                fetched.replace(file)
                return True
    return False


def _check_sum(network: Network, file: Path) -> None:
    wanted = network.checksum
    algorithm = "md5" if wanted and len(wanted) == _MD5_DIGITS else "sha256"
    if wanted and _digest(file, algorithm) != wanted:
        raise WeightsUnavailableError(
            f"{file} is not the file that Keras publishes (its {algorithm.upper()} is not {wanted}): remove"
            f" it, so that it is fetched anew, {_ELSE}."
        )


def _digest(file: Path, algorithm: Literal["md5", "sha256"]) -> str:
    try:
        with file.open("rb") as content:
            # Keras publishes MD5 sums: they protect against damage, not against an attacker.
            digest = hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False))
    except OSError as error:
        raise WeightsUnavailableError(f"{file} can't be read ({error.strerror}): {_ELSE[3:]}.") from error
    return digest.hexdigest()
