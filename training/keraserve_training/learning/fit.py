"""Train one network through its phases; a training that is killed goes on after the last whole epoch.

After every epoch the whole state is saved; the order of the images follows from (seed, epoch), the initial
weights from (seed, name). So a run that was killed ends with the same weights, bit for bit, as any other.
"""

import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keraserve_models import atomic
from keraserve_training.data.examples import Examples
from keraserve_training.errors import RunDamagedError
from keraserve_training.learning import augmentation, calibration, checkpoint, outputs, rules, strategy
from keraserve_training.learning.augmentation import Augmentation
from keraserve_training.learning.checkpoint import Rows
from keraserve_training.learning.feed import Feed, evaluation_batch
from keraserve_training.learning.machine_load import Others
from keraserve_training.learning.outputs import Output
from keraserve_training.profiles import Profile
from keraserve_training.progress import SILENT, Show
from keraserve_training.records import history
from keraserve_training.records.run_folder import BEST, CHECKPOINT, HISTORY, MODEL, RESULT, read_json

# Steps of one call from Python: many take a third off the time of small networks.
_STEPS_PER_CALL = 25
_CALLS_AN_EPOCH = 20  # at least, where a call is several steps, so that the progress bar moves

Loop = Callable[[keras.Model, Any, Callable[[int], None]], Mapping[str, float]]
"""Trains a compiled model for one epoch on batches (a `tf.data.Dataset` of inputs and targets), calls the
function after each with the number done, and returns the epoch's figures: `loss`, `accuracy`."""
Layers = Callable[[keras.Model], Sequence[keras.Layer]]
"""Picks layers of a model."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training between two calls of `compile`.

    Attributes:
        name: what the curves call it.
        epochs: passes over the images.
        optimizer: makes a new optimizer.
        frozen: the layers that must not learn; all others do.
        highest_rate: of a schedule that begins with a lower one; None: the rate that it begins with.
        rate: the experiment's setting that is its learning rate.
    """

    name: str
    epochs: int
    optimizer: Callable[[], Any]
    frozen: Layers = lambda _: ()
    highest_rate: float | None = None
    rate: str = "learning_rate"


@dataclass(frozen=True)
class Plan:
    """All that determines one trained network, except the seed and the profile.

    Attributes:
        name: under which the run keeps it.
        build: makes it, with new weights that follow from the seed.
        train: the training examples.
        validation: the examples that it is evaluated on after every epoch.
        phases: one after the other.
        labels: the name of each class.
        output: what its last layer gives.
        batch: examples a step.
        best: in the end, restore the weights of the epoch with the lowest validation loss.
        reused: the layers that come from another network, where no phase freezes them first.
        after: the network whose training came before, where this one goes on with its layers.
        loop: trains an epoch in place of `model.fit`.
        augmentation: changes the training images; None: they stay as they are.
        calibrated: in the end, fit a temperature on the validation examples.
        smoothing: of the labels, see `outputs.loss`; the validation loss has it, too.
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
    reused: Layers | None = None
    after: "Trained | None" = None
    loop: Loop | None = None
    augmentation: Augmentation | None = None
    calibrated: bool = False
    smoothing: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A trained network.

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

    def probabilities(self, values: Any) -> Any:
        """The probabilities of all classes float32 [N, K], from what the model gives; calibrated if it is."""
        return outputs.probabilities(self.output, values, self.result.get("temperature", 1.0))

    @property
    def best_row(self) -> dict[str, Any]:
        """The row of the epoch whose weights these are; empty where it has no history."""
        if not self.rows:
            return {}
        return best(self.rows) if self.result.get("best_epoch") else self.rows[-1]


def fit(folder: Path, plan: Plan, *, seed: int, profile: Profile, show: Show = SILENT) -> Trained:
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
    training = _Training(folder, plan, seed, profile, show)
    training.run()
    return training.finish(others.share())


def compiled(
    folder: Path, plan: Plan, number: int, *, seed: int, profile: Profile, show: Show = SILENT
) -> tuple[keras.Model, Any]:
    """The model of a plan, compiled for its phase `number` (from 0), and the first epoch's batches.

    `plan.build` gives the model as the phase before has left it. Nothing is written.

    Raises:
        RuleError: the plan breaks a rule of transfer learning.
    """
    keras.utils.set_random_seed(_number(seed, plan.name))
    training = _Training(folder, plan, seed, profile, show)
    return training.compiled(number)


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


def copy(folder: Path, original: Path) -> Trained:
    """Copy a finished network, without its history, into `folder`; load it where that was done before."""
    if not (folder / RESULT).exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original / MODEL, folder / MODEL)
        atomic.write_json(folder / RESULT, read_json(original / RESULT) | {"composed_of": [original.name]})
    return load(folder)


class _Training:
    """The training of one network: its model, its history, and a description of each phase so far."""

    def __init__(self, folder: Path, plan: Plan, seed: int, profile: Profile, show: Show) -> None:
        self._folder, self._plan, self._seed, self._show = folder, plan, seed, show
        self._epochs = [profile.epochs(phase.epochs) for phase in plan.phases]
        self._model: Any = plan.build()
        self._feed = Feed(plan.train, plan.batch)
        self._validation_batch = evaluation_batch(plan.validation.shape)
        self._validation = self._with_targets(Feed(plan.validation, self._validation_batch).in_order())
        self._rows: Rows = []
        self._phases: list[dict[str, Any]] = []
        self._frozen: list[Sequence[keras.Layer]] = []  # what each phase so far froze

    def run(self) -> None:
        """Train through the phases that are left."""
        saved = checkpoint.read(self._folder / CHECKPOINT)
        self._rows = list(saved.rows) if saved else []
        self._show.start(self._plan.name, sum(self._epochs), len(self._rows))
        reached = saved.phase if saved else 0
        for number, phase in enumerate(self._plan.phases):
            guard = self._compile(phase, self._epochs[number])
            if saved and number <= reached:
                saved.check(number, self._phases[-1])
            if number < reached:
                continue
            if saved and number == reached:
                saved.restore(self._model)
                guard = rules.Guard(self._model)
            while len(self._rows) < sum(self._epochs[: number + 1]):
                guard.check_compiled()
                self._rows.append(self._epoch(phase))
                guard.check_frozen()
                self._save()
        self._show.stop()

    def compiled(self, number: int) -> tuple[keras.Model, Any]:
        """The model compiled for a phase, and the batches of the first epoch."""
        for phase, epochs in zip(self._plan.phases[: number + 1], self._epochs, strict=False):
            self._compile(phase, epochs)
        return self._model, self._batches(0)

    def _compile(self, phase: Phase, epochs: int) -> rules.Guard:
        """Freeze what the phase freezes, compile after that, describe the phase, and set up its guard."""
        plan, model, frozen = self._plan, self._model, phase.frozen(self._model)
        thawed = rules.thawed_by(model, frozen, [layer for layers in self._frozen for layer in layers])
        optimizer = phase.optimizer()
        rate = phase.highest_rate or _rate(optimizer)
        if self._frozen and rules.thawed_by(model, frozen, self._frozen[-1]):
            rules.check_fine_tuning(phase.name, rate, self._phases[-1])
        if not self._frozen and plan.after:
            rules.check_fine_tuning(phase.name, rate, plan.after.result["phases"][-1])
        reused = plan.reused(model) if plan.reused else ()
        rules.set_trainable(model, frozen=frozen, thawed=[*thawed, *reused])
        steps_per_call = max(1, min(_STEPS_PER_CALL, -(-self._feed.steps // _CALLS_AN_EPOCH)))
        model.compile(
            loss=outputs.loss(plan.output, plan.smoothing),
            optimizer=optimizer,
            jit_compile=False,  # on processors XLA was no faster here, and it compiles for seconds
            **strategy.compile_arguments(
                model, metrics=outputs.metrics(plan.output), steps_per_execution=steps_per_call
            ),
        )
        optimizer.build(model.trainable_variables)
        self._frozen.append(frozen)
        self._phases.append(
            {
                "name": phase.name,
                "optimizer": type(optimizer).__name__,
                "learning_rate": rate,
                "batch": plan.batch,
                "trainable_parameters": sum(int(np.prod(each.shape)) for each in model.trainable_weights),
                "epochs": epochs,
            }
        )
        return rules.Guard(model)

    def _epoch(self, phase: Phase) -> dict[str, Any]:
        """Train one epoch and return its row of the history."""
        steps, epoch = self._feed.steps, len(self._rows)
        batches = self._batches(epoch)
        start, clock = time.monotonic(), _Clock(steps)

        def tell(done: int) -> None:
            clock.tick(done)
            self._show.batch(min(1.0, done / steps))

        figures = (self._plan.loop or _by_keras)(self._model, batches, tell)
        count = len(self._plan.validation)
        validated = strategy.evaluate(
            self._model, self._validation, examples=count, batch=self._validation_batch
        )
        return {
            "epoch": epoch + 1,
            "phase": phase.name,
            **figures,
            **{f"val_{name}": value for name, value in validated.items()},
            "learning_rate": _rate(self._model.optimizer),
            "seconds": round(time.monotonic() - start, 3),
            **({} if clock.seconds is None else {"training_seconds": round(clock.seconds, 3)}),
        }

    def _save(self) -> None:
        """Write all that is needed to go on after this epoch."""
        rows = self._rows
        if self._plan.best and rows[-1]["val_loss"] <= min(row["val_loss"] for row in rows):
            checkpoint.write_weights(self._folder / BEST, self._model)
        checkpoint.write(self._folder / CHECKPOINT, self._model, self._phases, rows)
        history.write(self._folder / HISTORY, rows)
        self._show.epoch(rows[-1])

    def finish(self, others_share: float | None) -> Trained:
        """Write the network, then `result.json`, whose presence means that all else is there."""
        folder, plan, model, rows = self._folder, self._plan, self._model, self._rows
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
            "phases": self._phases,
            "epochs": len(rows),
            "best_epoch": best(rows)["epoch"] if plan.best else None,
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            # Where a network goes on with the layers of another: the one that learnt before.
            "after": plan.after.result.get("composed_of", [plan.after.name])[-1] if plan.after else None,
            "others_share": others_share,  # of the processors' time during the training
            "digest": rules.digest(model.weights),
        }
        if plan.calibrated:
            values = model.predict(self._validation, verbose=0)
            result["temperature"] = calibration.temperature(plan.output, values, plan.validation.labels)
        atomic.write_json(folder / RESULT, result)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        (folder / BEST).unlink(missing_ok=True)
        return Trained(plan.name, model, tuple(plan.labels), plan.output, rows, result)

    def _batches(self, epoch: int) -> Any:
        """The training batches of an epoch (from 0), as the network gets them."""
        batches, change = self._feed.epoch(self._seed, epoch), self._plan.augmentation
        if change:
            batches = augmentation.augmented(batches, change, self._seed, epoch)
        return self._with_targets(batches)

    def _with_targets(self, batches: Any) -> Any:
        """Batches of inputs and what the loss compares with, from batches of inputs and labels."""
        output = self._plan.output
        return batches.map(lambda inputs, labels: (inputs, outputs.targets(output, inputs, labels)))


def _rate(optimizer: Any) -> float:
    """The learning rate, also where every device has a copy of it."""
    return optimizer.learning_rate.numpy().item()


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
        """The time of all steps at the pace of those after the first call; None: there was no other call."""
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
    """Reports the number of steps done."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """`batch` is the number of the last batch, from 0."""
        self._tell(batch + 1)


def best(rows: Rows) -> dict[str, Any]:
    """The row of the epoch with the lowest validation loss; the latest of equals, as the weights are kept."""
    return min(reversed(rows), key=lambda row: row["val_loss"])


def _number(seed: int, name: str) -> int:
    """A seed of its own for every network of a run."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])
