"""A checkpoint: everything that training needs to go on after an epoch, in one file, written atomically."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraserve_models import atomic
from keraserve_training.errors import RunDamagedError, RunDiffersError

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        phases: the plan's description of each phase up to the one that the epoch belongs to.
        rows: the history so far, a row an epoch.
        model: every variable of the model, weights and the state of random layers.
        optimizer: every variable of the optimizer.
    """

    phases: list[dict[str, Any]]
    rows: Rows
    model: list[Any]
    optimizer: list[Any]

    @property
    def phase(self) -> int:
        """Number of the phase that the epoch belongs to, from 0."""
        return len(self.phases) - 1

    def check(self, number: int, phase: dict[str, Any]) -> None:
        """Raise RunDiffersError unless the plan still says the same of phase `number`."""
        if self.phases[number] != phase:
            raise RunDiffersError(
                f"The code of the experiment has changed since this run was interrupted: it said"
                f" {self.phases[number]}, now {phase}. Run again with --force to start anew."
            )

    def restore(self, model: Any) -> None:
        """Restore the variables of a compiled model and of its optimizer, which has to be built."""
        _assign(model.variables, self.model)
        _assign(model.optimizer.variables, self.optimizer)


def write(path: Path, model: keras.Model, phases: list[dict[str, Any]], rows: Rows) -> None:
    """Save the state of a compiled model."""
    optimizer: Any = model.optimizer
    about = np.array(json.dumps({"phases": phases, "rows": rows}))
    _save(path, about=about, **_arrays("model", model.variables), **_arrays("optimizer", optimizer.variables))


def read(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none.

    Raises:
        RunDamagedError: the file is not what was written.
    """
    if not path.exists():
        return None
    arrays = _load(path)
    try:
        about = json.loads(str(arrays["about"]))
        phases, rows = about["phases"], about["rows"]
    except (ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    return Checkpoint(phases, rows, _named("model", arrays), _named("optimizer", arrays))


def write_weights(path: Path, model: keras.Model) -> None:
    """Save the weights of a model."""
    _save(path, **_arrays("model", model.weights))


def read_weights(path: Path, model: keras.Model) -> None:
    """Load weights into a model.

    Raises:
        RunDamagedError: the file is missing, or not what was written.
    """
    _assign(model.weights, _named("model", _load(path)))


def _arrays(kind: str, variables: Sequence[Any]) -> dict[str, Any]:
    return {f"{kind}/{number:05}": variable.numpy() for number, variable in enumerate(variables)}


def _named(kind: str, arrays: Mapping[str, Any]) -> list[Any]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}/")]


def _save(path: Path, **arrays: Any) -> None:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    atomic.write_bytes(path, content.getvalue())


def _load(path: Path) -> dict[str, Any]:
    try:
        # From memory: numpy leaves the file open when its content is invalid.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> RunDamagedError:
    return RunDamagedError(f"{path} is damaged ({error}): run again with --force to start anew.")


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise RunDamagedError(
            "The checkpoint does not fit the network that the experiment builds: its code has changed since."
            " Run again with --force to start anew."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
