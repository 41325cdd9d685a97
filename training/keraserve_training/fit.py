"""Train one network through its phases, so that it can be killed at any moment and goes on where it stopped.

After every epoch the whole state is saved; the pictures' order follows from (seed, epoch); the initial
weights follow from (seed, name). So a run that was killed ends with the same weights as one that was not, bit
for bit.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraserve_training import atomic, checkpoint, history, rules
from keraserve_training.checkpoint import Rows
from keraserve_training.errors import RunDamagedError
from keraserve_training.feed import Feed
from keraserve_training.outputs import LOSSES, Output
from keraserve_training.pictures import Pictures
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show
from keraserve_training.run_folder import CHECKPOINT, HISTORY, MODEL, RESULT, read_json

# Steps that TensorFlow does before Python gets a word in: a third off the time of small networks.
_STEPS_PER_CALL = 25
_EVALUATION_BATCH = 500


def nothing(_: keras.Model) -> list[keras.Layer]:
    """Freeze no layer."""
    return []


@dataclass(frozen=True)
class Phase:
    """A stretch of training between two calls of `compile`.

    Attributes:
        name: what the curves call it.
        epochs: passes over the pictures.
        optimizer: makes a new optimizer.
        frozen: picks the layers that must not learn; all others do.
    """

    name: str
    epochs: int
    optimizer: Callable[[], Any]
    frozen: Callable[[keras.Model], Sequence[keras.Layer]] = nothing


@dataclass(frozen=True)
class Plan:
    """All that determines one trained network, beside the seed and the profile."""

    name: str
    build: Callable[[], keras.Model]
    train: Pictures
    validation: Pictures
    phases: Sequence[Phase]
    labels: Sequence[str]
    output: Output
    batch: int = 32


@dataclass(frozen=True)
class Trained:
    """A network that has learnt.

    Attributes:
        name: under which the run keeps it.
        model: takes float32 [N, H, W, C], 0 to 255.
        labels: the name of each class.
        output: what its last layer gives.
        rows: its history, a row an epoch.
        result: what `result.json` says.
    """

    name: str
    model: keras.Model
    labels: tuple[str, ...]
    output: Output
    rows: Rows
    result: dict[str, Any] = field(repr=False)


def fit(folder: Path, plan: Plan, *, seed: int, profile: Profile, show: Show) -> Trained:
    """Train by `plan` in `folder`, going on where an earlier call stopped; load it when it is done already.

    Raises:
        RuleError: the plan breaks a rule of transfer learning.
        RunDamagedError: what an earlier call left can't be read.
    """
    if (folder / RESULT).exists():
        return load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(_number(seed, plan.name))
    model = plan.build()
    saved = checkpoint.read(folder / CHECKPOINT)
    epochs = [profile.epochs(phase.epochs) for phase in plan.phases]
    rows = list(saved.rows) if saved else []
    show.start(plan.name, sum(epochs), len(rows))
    phases = _phases(model, plan, epochs, rows, saved, folder, seed, show)
    show.stop()
    return _finish(folder, plan, model, rows, phases)


def load(folder: Path) -> Trained:
    """Read a finished network back.

    Raises:
        RunDamagedError: a file is missing or not what was written.
    """
    result = read_json(folder / RESULT)
    try:
        model: Any = keras.models.load_model(folder / MODEL, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise
        raise RunDamagedError(
            f"{folder / MODEL} can't be read: run again with --force to start anew."
        ) from error
    if rules.digest(model.weights) != result["digest"]:
        raise RunDamagedError(
            f"{folder / MODEL} holds other weights than were trained: run again with --force."
        )
    rows = history.read(folder / HISTORY)
    return Trained(folder.name, model, tuple(result["labels"]), result["output"], rows, result)


def _phases(
    model: Any,
    plan: Plan,
    epochs: Sequence[int],
    rows: Rows,
    saved: checkpoint.Checkpoint | None,
    folder: Path,
    seed: int,
    show: Show,
) -> list[dict[str, Any]]:
    """Train through the phases that are left; `rows` grows. Returns a description of every phase."""
    feed, validation = Feed(plan.train, plan.batch), Feed(plan.validation, _EVALUATION_BATCH).in_order()
    reached = saved.phase if saved else 0
    before: list[Sequence[keras.Layer]] = []
    descriptions: list[dict[str, Any]] = []
    for number, phase in enumerate(plan.phases):
        guard = _compile(model, phase, plan, before, descriptions, feed.steps)
        before.append(phase.frozen(model))
        descriptions[-1]["epochs"] = epochs[number]
        if saved and number <= reached:
            saved.check(number, descriptions[-1])
        if number < reached:
            continue
        if saved and number == reached:
            saved.restore(model)
            saved.restore_optimizer(model.optimizer)
            guard = rules.Guard(model)
        while len(rows) < sum(epochs[: number + 1]):
            guard.check_compiled()
            rows.append(_epoch(model, phase, feed, validation, seed, len(rows), show))
            guard.check_frozen()
            checkpoint.write(folder / CHECKPOINT, model, descriptions, rows)
            history.write(folder / HISTORY, rows)
            show.epoch(rows[-1])
    return descriptions


def _compile(
    model: Any,
    phase: Phase,
    plan: Plan,
    before: Sequence[Sequence[keras.Layer]],
    done: list[dict[str, Any]],
    steps: int,
) -> rules.Guard:
    """Set what learns, compile after it, describe the phase in `done`, and set up the guard."""
    frozen = phase.frozen(model)
    thawed = rules.thawed_by(model, frozen, [layer for layers in before for layer in layers])
    optimizer = phase.optimizer()
    rate = float(optimizer.learning_rate)
    if before and rules.thawed_by(model, frozen, before[-1]):
        rules.check_fine_tuning(phase.name, rate, done[-1]["learning_rate"], done[-1]["epochs"])
    rules.set_trainable(model, frozen=frozen, thawed=thawed)
    model.compile(
        loss=LOSSES[plan.output],
        optimizer=optimizer,
        metrics=["accuracy"],
        steps_per_execution=min(_STEPS_PER_CALL, steps),
        jit_compile=False,  # on processors XLA was no faster here, and it compiles for seconds
    )
    optimizer.build(model.trainable_variables)
    learning = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    done.append(
        {
            "name": phase.name,
            "optimizer": type(optimizer).__name__,
            "learning_rate": rate,
            "batch": plan.batch,
            "trainable_parameters": learning,
        }
    )
    return rules.Guard(model)


def _epoch(
    model: Any, phase: Phase, feed: Feed, validation: Any, seed: int, epoch: int, show: Show
) -> dict[str, Any]:
    """Train one epoch (counted from 0 over all phases) and give its row of the history."""
    start = time.monotonic()
    past = model.fit(
        feed.epoch(seed, epoch),
        validation_data=validation,
        verbose=0,
        callbacks=[_Ticker(show, feed.steps)],
        shuffle=False,
    ).history
    figures = {name: values[0] for name, values in past.items()}
    rate = float(model.optimizer.learning_rate)
    row = {"epoch": epoch + 1, "phase": phase.name, **figures, "learning_rate": rate}
    return {**row, "seconds": round(time.monotonic() - start, 3)}


class _Ticker(keras.callbacks.Callback):
    """Tells how much of an epoch is done."""

    def __init__(self, show: Show, steps: int) -> None:
        super().__init__()
        self._show, self._steps = show, steps

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Count from the number of the last batch, from 0."""
        self._show.batch(min(1.0, (batch + 1) / self._steps))


def _finish(folder: Path, plan: Plan, model: Any, rows: Rows, phases: list[dict[str, Any]]) -> Trained:
    """Write the network, then `result.json`, whose presence means that all else is there."""
    history.write(folder / HISTORY, rows)
    atomic.write_with(folder / MODEL, model.save)
    result = {
        "labels": list(plan.labels),
        "output": plan.output,
        "input": list(model.input_shape[1:]),
        "parameters": int(model.count_params()),
        "train_pictures": len(plan.train),
        "validation_pictures": len(plan.validation),
        "batch": plan.batch,
        "phases": phases,
        "epochs": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "digest": rules.digest(model.weights),
    }
    atomic.write_json(folder / RESULT, result)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return Trained(plan.name, model, tuple(plan.labels), plan.output, rows, result)


def _number(seed: int, name: str) -> int:
    """A seed of its own for every network of a run."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])
