"""One run of one experiment: what the experiment's own code talks to."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keraserve_training import atomic, outputs, provenance, run_folder, runtime
from keraserve_training.errors import OriginalChangedError, RunBusyError, RunDiffersError
from keraserve_training.experiment import Experiment
from keraserve_training.outputs import Output
from keraserve_training.pictures import Dataset, Pictures
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show

if TYPE_CHECKING:
    import keras

    from keraserve_training.fit import Phase, Trained

_TEST_BATCH = 500
# What must be the same for a run to go on; the versions because another library rounds differently.
_COMPARED = ("experiment", "profile", "seed", "settings", "versions")


@dataclass(frozen=True)
class Asked:
    """What determines a run."""

    experiment: str
    profile: Profile
    seed: int
    settings: Mapping[str, Any]
    weights: str


@dataclass(frozen=True)
class Evaluation:
    """How a network does on pictures that it has not seen."""

    accuracy: float
    loss: float
    pictures: int
    confusion: npt.NDArray[np.int64]


class Run:
    """A run folder that is being filled. Made by `opened`."""

    def __init__(self, folder: Path, asked: Asked, show: Show) -> None:
        self.folder = folder
        self.seed = asked.seed
        self.profile = asked.profile
        self._asked = asked
        self._show = show
        self._trained: dict[str, Trained] = {}
        self._tests: dict[str, Evaluation] = {}

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / run_folder.METRICS).exists()

    def load(self, source: Callable[[Profile, Callable[[str], None]], Dataset]) -> Dataset:
        """Get a data set and write down what was used.

        Raises:
            DataUnavailableError: it is not here and can't be fetched.
            RunDiffersError: the run was started with other pictures.
        """
        data = source(self.profile, self._show.tell)
        config = run_folder.read_json(self.folder / run_folder.CONFIG)
        if config.setdefault("data", data.record()) != data.record():
            raise RunDiffersError(
                f"{self.folder} was started with other pictures ({config['data']['origin']}): go on with"
                " those, or start anew with --force."
            )
        atomic.write_json(self.folder / run_folder.CONFIG, config)
        return data

    def fit(
        self,
        name: str,
        *,
        build: "Callable[[], keras.Model]",
        train: Pictures,
        validation: Pictures,
        phases: "Sequence[Phase]",
        labels: Sequence[str],
        output: Output,
        batch: int = 32,
    ) -> "Trained":
        """Train a network, or go on with it, or load it when it is done; see `fit.fit`.

        Raises:
            RuleError: a rule of transfer learning was broken, also when this training changed a network
                that was trained before.
        """
        from keraserve_training.fit import Plan, fit

        plan = Plan(name, build, train, validation, phases, labels, output, batch)
        self._trained[name] = fit(
            self.folder / name, plan, seed=self.seed, profile=self.profile, show=self._show
        )
        self._check_originals()
        return self._trained[name]

    def test(self, trained: "Trained", pictures: Pictures) -> Evaluation:
        """Try a network on test pictures; the result goes into `metrics.json`."""
        from keraserve_training.feed import Feed

        values = trained.model.predict(Feed(pictures, _TEST_BATCH).in_order(), verbose=0)  # pyright: ignore
        scores = np.asarray(outputs.probabilities(trained.output, values))
        confusion = np.zeros((len(trained.labels),) * 2, np.int64)
        np.add.at(confusion, (pictures.labels, scores.argmax(axis=-1)), 1)
        evaluation = Evaluation(
            accuracy=float(np.trace(confusion) / len(pictures)),
            loss=outputs.cross_entropy(scores, pictures.labels),
            pictures=len(pictures),
            confusion=confusion,
        )
        self._tests[trained.name] = evaluation
        return evaluation

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Draw the pictures and write `metrics.json`: the run is finished."""
        from keraserve_training import plots

        histories = {name: trained.rows for name, trained in self._trained.items()}
        plots.curves(self.folder / run_folder.CURVES, histories)
        for name, test in self._tests.items():
            file = self.folder / run_folder.confusion_picture(name)
            plots.confusion(file, name, test.confusion, self._trained[name].labels)
        config = run_folder.read_json(self.folder / run_folder.CONFIG)
        content = {
            "run_id": config["run_id"],
            "procedural": self.profile.procedural,
            "metrics": dict(metrics),
            "networks": {name: self._network(name) for name in self._trained},
            "seconds": round(sum(trained.result["seconds"] for trained in self._trained.values()), 1),
            "finished": _now(),
        }
        atomic.write_json(self.folder / run_folder.METRICS, content)

    def _network(self, name: str) -> dict[str, Any]:
        trained = self._trained[name]
        description = {key: value for key, value in trained.result.items() if key != "digest"}
        last = {key: trained.rows[-1][key] for key in ("val_accuracy", "val_loss") if key in trained.rows[-1]}
        test = self._tests.get(name)
        measured = asdict(test) | {"confusion": test.confusion.tolist()} if test else None
        return {**description, "validation": last, "test": measured}

    def _check_originals(self) -> None:
        from keraserve_training.rules import digest

        for name, trained in self._trained.items():
            if digest(trained.model.weights) != trained.result["digest"]:
                raise OriginalChangedError(
                    f"Training changed {name!r}, which was finished before: reuse a clone (rules.clone)."
                )


def execute(
    experiment: Experiment,
    folder: Path,
    *,
    profile: Profile,
    seed: int,
    show: Show,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
) -> bool:
    """Do an experiment in `folder`, going on where it was interrupted; see `opened`.

    Returns:
        False where it was finished already.
    """
    asked = Asked(experiment.name, profile, seed, settings or {}, experiment.weights)
    with opened(folder, asked, show, force=force) as run:
        if run.finished:
            return False
        runtime.prepare()
        import keras

        keras.utils.clear_session()  # a process that does many runs would keep every graph
        experiment.run(run, **asked.settings)
        return True


@contextlib.contextmanager
def opened(folder: Path, asked: Asked, show: Show, *, force: bool = False) -> Iterator[Run]:
    """Start a run in `folder`, or go on with the one that was interrupted there; nobody else can meanwhile.

    Args:
        folder: the run's folder; need not exist.
        asked: what the run is.
        show: is told how it goes.
        force: throw away what is there.

    Raises:
        RunBusyError: another process is at it.
        RunDiffersError: the folder holds something else; says what differs.
        RunDamagedError: `config.json` can't be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(atomic.locked(folder / run_folder.LOCK, wait=False))
        except BlockingIOError:
            raise RunBusyError(f"Another process is training in {folder}: wait for it, or stop it.") from None
        if force:
            _empty(folder)
        _sweep(folder)
        _configure(folder, asked)
        yield Run(folder, asked, show)


def _configure(folder: Path, asked: Asked) -> None:
    """Write `config.json`, or compare with the one that is there."""
    wanted = {
        "experiment": asked.experiment,
        "profile": asdict(asked.profile),
        "seed": asked.seed,
        "settings": dict(asked.settings),
        "weights": asked.weights,
        "versions": provenance.versions(),
        "source_commit": provenance.source_commit(),
    }
    wanted = json.loads(json.dumps(wanted))  # as it reads when it comes back from the file
    file = folder / run_folder.CONFIG
    if not file.exists():
        _empty(folder)  # nothing counts without a configuration: an earlier _empty was killed
        started = {"run_id": f"{asked.experiment}-{secrets.token_hex(8)}", "started": _now()}
        atomic.write_json(file, started | wanted)
        return
    there = run_folder.read_json(file)
    finished = (folder / run_folder.METRICS).exists()
    compared = [key for key in _COMPARED if not (finished and key == "versions")]
    differing = [key for key in compared if there.get(key) != wanted[key]]
    if differing:
        details = "; ".join(f"{key} was {there.get(key)}, now {wanted[key]}" for key in differing)
        raise RunDiffersError(f"{folder} holds a run that differs ({details}): start anew with --force.")


def _empty(folder: Path) -> None:
    # config.json goes first: without it the rest counts as nothing, should this be interrupted.
    (folder / run_folder.METRICS).unlink(missing_ok=True)
    (folder / run_folder.CONFIG).unlink(missing_ok=True)
    for inner in folder.iterdir():
        if inner.is_dir():
            shutil.rmtree(inner)
        elif inner.name != run_folder.LOCK:
            inner.unlink()


def _sweep(folder: Path) -> None:
    """Remove what a killed process was writing (see `atomic.write_with`); the lock says that it is gone."""
    for parent, _, files in os.walk(folder):
        for name in files:
            if name.startswith(".") and name != run_folder.LOCK:
                (Path(parent) / name).unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
