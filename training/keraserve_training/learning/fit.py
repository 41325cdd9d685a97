"""Train one network through its phases, so that it can be killed at any moment and goes on where it stopped.

After every epoch the whole state is saved; the images' order follows from (seed, epoch); the initial
weights follow from (seed, name). So a run that was killed ends with the same weights as one that was not, bit
for bit.
"""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraserve_training import atomic
from keraserve_training.data.examples import Examples
from keraserve_training.errors import RunDamagedError
from keraserve_training.learning import checkpoint, outputs, rules, strategy
from keraserve_training.learning.checkpoint import Rows
from keraserve_training.learning.feed import Feed, evaluation_batch
from keraserve_training.learning.outputs import Output
from keraserve_training.machine_load import Others
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show
from keraserve_training.records import history
from keraserve_training.records.run_folder import BEST, CHECKPOINT, HISTORY, MODEL, RESULT, read_json

# Steps that TensorFlow does before Python gets a word in: a third off the time of small networks.
_STEPS_PER_CALL = 25
_CALLS_AN_EPOCH = 20  # or fewer such steps, so that the bar moves where a step takes long

Loop = Callable[[keras.Model, Any, Callable[[int], None]], Mapping[str, float]]
"""Trains a compiled model for one epoch on batches (a `tf.data.Dataset` of inputs and targets), tells how
many it has done, and gives the epoch's figures: `loss`, `accuracy`."""


def nothing(_: keras.Model) -> list[keras.Layer]:
    """Freeze no layer."""
    return []


@dataclass(frozen=True)
class Phase:
    """A stretch of training between two calls of `compile`.

    Attributes:
        name: what the curves call it.
        epochs: passes over the images.
        optimizer: makes a new optimizer.
        frozen: picks the layers that must not learn; all others do.
    """

    name: str
    epochs: int
    optimizer: Callable[[], Any]
    frozen: Callable[[keras.Model], Sequence[keras.Layer]] = nothing


@dataclass(frozen=True)
class Plan:
    """All that determines one trained network, beside the seed and the profile.

    Attributes:
        name: under which the run keeps it.
        build: makes it, with new weights that follow from the seed.
        train: what it learns from.
        validation: what it is measured on after every epoch.
        phases: how it learns.
        labels: the name of each class.
        output: what its last layer gives.
        batch: examples a step.
        best: in the end, restore the weights of the epoch with the lowest validation loss.
        reused: picks the layers that come from another network, where no phase freezes them first.
        after: the network whose training came before, where this one goes on with its layers.
        loop: trains an epoch in place of `model.fit`.
    """

    name: str
    build: Callable[[], keras.Model]
    train: Examples
    validation: Examples
    phases: Sequence[Phase]
    labels: Sequence[str]
    output: Output
    batch: int = 32
    best: bool = False
    reused: Callable[[keras.Model], Sequence[keras.Layer]] = nothing
    after: "Trained | None" = None
    loop: Loop | None = None


@dataclass(frozen=True)
class Trained:
    """A network that has learnt.

    Attributes:
        name: under which the run keeps it.
        model: takes float32 [N, H, W, C], 0 to 255, or features.
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

    @property
    def best_row(self) -> dict[str, Any]:
        """The row of the epoch whose weights these are; empty where it has no history."""
        if not self.rows:
            return {}
        return best(self.rows) if self.result.get("best_epoch") else self.rows[-1]


def fit(
    folder: Path,
    plan: Plan,
    *,
    seed: int,
    profile: Profile,
    show: Show,
) -> Trained:
    """Train by `plan` in `folder`, going on where an earlier call stopped; load it when it is done already.

    Raises:
        RuleError: the plan breaks a rule of transfer learning.
        RunDamagedError: what an earlier call left can't be read.
    """
    if (folder / RESULT).exists():
        return load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(_number(seed, plan.name))
    others = Others()
    model = plan.build()
    saved = checkpoint.read(folder / CHECKPOINT)
    epochs = [profile.epochs(phase.epochs) for phase in plan.phases]
    rows = list(saved.rows) if saved else []
    show.start(plan.name, sum(epochs), len(rows))
    phases = _phases(model, plan, epochs, rows, saved, folder, seed, show)
    show.stop()
    return _finish(folder, plan, model, rows, phases, others.share())


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
    feed = Feed(plan.train, plan.batch)
    aside = evaluation_batch(plan.validation.shape)
    validation = _with_targets(plan, Feed(plan.validation, aside).in_order())

    def validate() -> Mapping[str, float]:
        return strategy.evaluate(model, validation, examples=len(plan.validation), batch=aside)

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
            batches = _with_targets(plan, feed.epoch(seed, len(rows)))
            rows.append(
                _epoch(model, plan.loop or _by_keras, phase, batches, validate, feed.steps, show, rows)
            )
            guard.check_frozen()
            if plan.best and rows[-1]["val_loss"] <= min(row["val_loss"] for row in rows):
                checkpoint.write_weights(folder / BEST, model)
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
    rate = _rate(optimizer)
    if before and rules.thawed_by(model, frozen, before[-1]):
        rules.check_fine_tuning(phase.name, rate, done[-1]["learning_rate"], done[-1]["epochs"])
    if not before and plan.after:
        last = plan.after.result["phases"][-1]
        rules.check_fine_tuning(phase.name, rate, last["learning_rate"], last["epochs"])
    rules.set_trainable(model, frozen=frozen, thawed=[*thawed, *plan.reused(model)])
    model.compile(
        loss=outputs.loss(plan.output),
        optimizer=optimizer,
        jit_compile=False,  # on processors XLA was no faster here, and it compiles for seconds
        **strategy.compile_arguments(
            model,
            metrics=outputs.metrics(plan.output),
            steps_per_execution=max(1, min(_STEPS_PER_CALL, -(-steps // _CALLS_AN_EPOCH))),
        ),
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


def _rate(optimizer: Any) -> float:
    """The learning rate, also where every device has its copy."""
    return optimizer.learning_rate.numpy().item()


def _with_targets(plan: Plan, batches: Any) -> Any:
    """Batches of inputs and what the loss compares with, from batches of inputs and labels."""
    return batches.map(lambda inputs, labels: (inputs, outputs.targets(plan.output, inputs, labels)))


def _epoch(
    model: Any,
    loop: Loop,
    phase: Phase,
    batches: Any,
    validate: Callable[[], Mapping[str, float]],
    steps: int,
    show: Show,
    past: Rows,
) -> dict[str, Any]:
    """Train one epoch and give its row of the history, which is `past` so far."""
    start = time.monotonic()
    clock = _Clock(steps)

    def tell(done: int) -> None:
        clock.tick(done)
        show.batch(min(1.0, done / steps))

    figures = loop(model, batches, tell)
    validated = validate()
    return {
        "epoch": len(past) + 1,
        "phase": phase.name,
        **figures,
        **{f"val_{name}": value for name, value in validated.items()},
        "learning_rate": _rate(model.optimizer),
        "seconds": round(time.monotonic() - start, 3),
        **({} if clock.seconds is None else {"training_seconds": round(clock.seconds, 3)}),
    }


class _Clock:
    """Times an epoch's steps without the first call, which traces a graph, and without the validation."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._ticks: list[tuple[int, float]] = []

    def tick(self, done: int) -> None:
        """So many steps are done."""
        self._ticks.append((done, time.monotonic()))

    @property
    def seconds(self) -> float | None:
        """What all steps would take at the pace of those after the first call; None: it was the only one."""
        if len(self._ticks) < 2:
            return None
        (before, start), (done, end) = self._ticks[0], self._ticks[-1]
        return (end - start) * self._steps / (done - before)


def _by_keras(model: Any, batches: Any, tell: Callable[[int], None]) -> Mapping[str, float]:
    """Train an epoch with `model.fit`."""
    divided = strategy.divided(model, batches)
    past = model.fit(divided, verbose=0, callbacks=[_Ticker(tell)], shuffle=False)
    return {name: values[0] for name, values in past.history.items()}


class _Ticker(keras.callbacks.Callback):
    """Tells how much of an epoch is done."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Count from the number of the last batch, from 0."""
        self._tell(batch + 1)


def _finish(
    folder: Path,
    plan: Plan,
    model: Any,
    rows: Rows,
    phases: list[dict[str, Any]],
    others_share: float | None,
) -> Trained:
    """Write the network, then `result.json`, whose presence means that all else is there."""
    if plan.best:
        checkpoint.read_weights(folder / BEST, model)
    history.write(folder / HISTORY, rows)
    atomic.write_with(folder / MODEL, model.save)
    result = {
        "labels": list(plan.labels),
        "output": plan.output,
        "input": list(model.input_shape[1:]),
        "parameters": int(model.count_params()),
        "train_images": len(plan.train),
        "validation_images": len(plan.validation),
        "batch": plan.batch,
        "phases": phases,
        "epochs": len(rows),
        "best_epoch": best(rows)["epoch"] if plan.best else None,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "others_share": others_share,  # of the processors' time, while this process was at it
        "digest": rules.digest(model.weights),
    }
    atomic.write_json(folder / RESULT, result)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / BEST).unlink(missing_ok=True)
    return Trained(plan.name, model, tuple(plan.labels), plan.output, rows, result)


def best(rows: Rows) -> dict[str, Any]:
    """The row of the epoch with the lowest validation loss; the latest of equals, as the weights are kept."""
    return min(reversed(rows), key=lambda row: row["val_loss"])


def _number(seed: int, name: str) -> int:
    """A seed of its own for every network of a run."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])
