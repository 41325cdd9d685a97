"""Everything that training needs to go on after an epoch, in one file that is whole or not there."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraserve_training import atomic
from keraserve_training.errors import RunDamagedError, RunDiffersError

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch.

    Attributes:
        phases: what the plan said of each phase up to the one that the epoch belongs to.
        rows: the history up to here, a row an epoch.
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

    def restore(self, model: keras.Model) -> None:
        """Put the model's variables back."""
        _assign(model.variables, self.model)

    def restore_optimizer(self, optimizer: Any) -> None:
        """Put the optimizer's variables back; it has to be built."""
        _assign(optimizer.variables, self.optimizer)


def write(path: Path, model: keras.Model, phases: list[dict[str, Any]], rows: Rows) -> None:
    """Save the state of a compiled model."""
    arrays = {f"model/{number:05}": variable.numpy() for number, variable in enumerate(model.variables)}
    optimizer: Any = model.optimizer
    arrays |= {f"optimizer/{number:05}": value.numpy() for number, value in enumerate(optimizer.variables)}
    content = io.BytesIO()
    about = np.array(json.dumps({"phases": phases, "rows": rows}))
    np.savez(content, allow_pickle=False, about=about, **arrays)
    atomic.write_bytes(path, content.getvalue())


def read(path: Path) -> Checkpoint | None:
    """Read the state back; None where there is none.

    Raises:
        RunDamagedError: the file is not what was written.
    """
    if not path.exists():
        return None
    try:
        # By way of memory: numpy leaves the file open when it is not what it should be.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            model = [arrays[name] for name in sorted(arrays) if name.startswith("model/")]
            optimizer = [arrays[name] for name in sorted(arrays) if name.startswith("optimizer/")]
            return Checkpoint(about["phases"], about["rows"], model, optimizer)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunDamagedError(
            f"{path} is damaged ({error}): run again with --force to start anew."
        ) from error


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise RunDamagedError(
            "The checkpoint does not fit the network that the experiment builds: its code has changed since."
            " Run again with --force to start anew."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
