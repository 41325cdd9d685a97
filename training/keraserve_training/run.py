"""One run of one experiment: what the experiment's own code talks to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keraserve_training import atomic, outputs, provenance, run_folder
from keraserve_training.errors import OriginalChangedError, RunDiffersError
from keraserve_training.outputs import Output
from keraserve_training.pictures import Dataset, Pictures
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show

if TYPE_CHECKING:
    import keras

    from keraserve_training.fit import Phase, Trained

_TEST_BATCH = 500


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
    """A run folder that is being filled. Made by `execution.opened`."""

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
        try:
            self._check_originals()
        except OriginalChangedError:
            # Or the next try would find this network finished, and no fault.
            (self.folder / name / run_folder.RESULT).unlink()
            raise
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
            "finished": provenance.now(),
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
