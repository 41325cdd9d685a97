"""`Run`, by which the code of an experiment loads data, trains, tests and records results in one folder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_models import atomic
from keraserve_training import settings
from keraserve_training.data import datasets
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Examples, Shown
from keraserve_training.errors import OriginalChangedError, RunDiffersError
from keraserve_training.learning import borrowing
from keraserve_training.learning.evaluation import Evaluation, evaluate
from keraserve_training.learning.outputs import Output
from keraserve_training.options import NONE, Options
from keraserve_training.profiles import Profile
from keraserve_training.progress import SILENT, Show
from keraserve_training.records import caveats, predictions, provenance, run_folder
from keraserve_training.workers.work import Workers

if TYPE_CHECKING:
    import keras

    from keraserve_training.learning.augmentation import Augmentation
    from keraserve_training.learning.fit import Loop, Phase, Trained
    from keraserve_training.pretrained.backbones import Backbone
    from keraserve_training.pretrained.features import Features


@dataclass(frozen=True)
class RunSpec:
    """How an experiment is run; `settings` are those that differ from its own, in JSON's types."""

    profile: Profile
    seed: int
    options: Options = NONE
    settings: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, runs: Path, experiment: str) -> Path:
        """The folder of that run of an experiment."""
        return run_folder.path(runs, experiment, self.profile.name, self.seed, self.slug)

    @property
    def slug(self) -> str:
        """Options and settings as a readable part of a name; empty where none were given."""
        return "-".join(part for part in (self.options.slug(), settings.slug(self.settings)) if part)


class Run:
    """A run folder that is being filled. Made by `open_run.opened`."""

    def __init__(
        self, folder: Path, spec: RunSpec, show: Show = SILENT, workers: Workers | None = None
    ) -> None:
        self.folder = folder
        self.seed = spec.seed
        self.profile = spec.profile
        self.options = spec.options
        self._show = show
        self._workers = workers
        self._trained: dict[str, Trained] = {}
        self._tests: dict[str, Evaluation] = {}
        self._tested_on: list[Examples] = []
        self._validated_on: dict[str, Examples] = {}
        self._features: list[dict[str, Any]] = []
        self._plots: list[dict[str, str]] = []
        self._tables: list[dict[str, Any]] = []

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / run_folder.METRICS).exists()

    def load(self, source: datasets.Source, *, size: int | None = None) -> Dataset:
        """Get a data set, or the user's own images in its place, and record what was used.

        Args:
            source: one of `datasets`.
            size: pixels a side of a network's input; None: as the images are. `--image-size` overrides it.

        Raises:
            DataUnavailableError: it is not here and can't be fetched.
            RunDiffersError: the run was started with other images.
        """
        if self.options.data is not None:
            source = partial(datasets.class_folders, Path(self.options.data), how=self.options.layout)
        data = source(self.profile, self._show.tell)
        self._show.tell(data.found())
        if data.listing is not None:
            data.listing.write(self.folder / run_folder.IMAGES)
        self._record("data", data.record(), f"other images ({data.origin})")
        size = self.options.image_size or size
        features = run_folder.features(self.folder, run_folder.read_config(self.folder)["experiment"])
        data = data.kept(features.parent / run_folder.COPIES)
        return data.sized(size) if size else data

    def backbone(self, name: str, *, size: int) -> "Backbone":
        """Build a pre-trained network, or the one that the user's options name.

        Args:
            name: the source document's network, a key of `networks.NETWORKS`.
            size: pixels a side in the source document.

        Raises:
            WeightsUnavailableError: its weights are not here and can't be fetched.
            RunDiffersError: the run was started with other weights.
        """
        from keraserve_training.pretrained import backbones

        given = self.options.backbone or name
        chosen = backbones.find(given)
        weights = self.options.weights or ("random" if self.profile.random_weights else "imagenet")
        size = self.options.image_size or (chosen.least if self.profile.random_weights else size)
        alpha, seed, tell = self.options.alpha, self.seed, self._show.tell
        built = backbones.build(given, size=size, weights=weights, alpha=alpha, seed=seed, tell=tell)
        self._record("weights", built.weights, "other weights")
        return built

    def features(self, name: str, model: "keras.Model", examples: Examples) -> "Features":
        """Compute the features of a frozen network, or read them where an earlier run stored them.

        Args:
            name: part of the files' names, like `train`.
            model: the network.
            examples: images of the network's size.

        Raises:
            FeaturesError: they can't be stored.
        """
        from keraserve_training.pretrained import features, standardising

        config = run_folder.read_config(self.folder)
        extracted = features.extract(
            model,
            examples,
            store=run_folder.features(self.folder, config["experiment"]),
            name=f"{model.name}-{name}",
            show=self._show,
            mixed_precision=self.options.mixed_precision,
            workers=self._workers,
        )
        record = extracted.record()
        if caveats.RANDOM in caveats.of(config):
            record["deviation"] = standardising.spread(extracted.features).median
        self._features.append(record)
        return extracted.features

    def fit(
        self,
        name: str,
        *,
        build: "Callable[[], keras.Model]",
        train: Examples,
        validation: Examples,
        phases: "Sequence[Phase]",
        labels: Sequence[str],
        output: Output,
        batch: int = 32,
        best: bool = False,
        reused: "Callable[[keras.Model], Sequence[keras.Layer]] | None" = None,
        after: "Trained | None" = None,
        loop: "Loop | None" = None,
        augmentation: "Augmentation | None" = None,
        calibrated: bool = False,
        smoothing: float = 0.0,
        also_in: str | None = None,
    ) -> "Trained":
        """Train a network, or go on with it, or load it when it is done; for the arguments see `fit.Plan`.

        Args:
            also_in: another experiment that trains exactly this network under the same name: its result is
                taken where its run with the same images and options is finished.

        Raises:
            RuleError: a rule of transfer learning was broken, also when this training changed a network
                that was trained before.
        """
        from keraserve_training.learning.fit import Plan, fit

        plan = Plan(
            name,
            build,
            train,
            validation,
            phases,
            labels,
            output,
            batch,
            best,
            reused,
            after,
            loop,
            augmentation,
            calibrated,
            smoothing,
        )
        if also_in and borrowing.borrow(
            self.folder, self.folder.parent.parent / also_in / self.folder.name, name
        ):
            self._show.tell(f"{name}: taken from the finished run of {also_in}")
        self._validated_on[name] = validation
        self._trained[name] = fit(
            self.folder / name, plan, seed=self.seed, profile=self.profile, show=self._show
        )
        try:
            self._check_originals()
        except OriginalChangedError:
            # Otherwise the next attempt would find this network finished, and no error.
            (self.folder / name / run_folder.RESULT).unlink()
            raise
        return self._trained[name]

    def compose(
        self, name: str, stem: "keras.Model", head: "Trained", *, images: Examples, features: Examples
    ) -> "Trained":
        """Join the frozen network `stem` and the `head` trained on its features to one model of images.

        Args:
            name: of the joined model.
            stem: images to features.
            head: features to classes.
            images: some on which the joined model is compared with the head.
            features: of the same images.

        Raises:
            PathsDisagreeError: the joined model gives other probabilities than the head.
        """
        from keraserve_training.learning.compose import compose

        exact = not self.options.mixed_precision
        composed = compose(self.folder / name, stem, head, images, features, exact=exact)
        self._trained[name] = composed
        if head.name in self._tests:
            self._tests[name] = self._tests[head.name]
        return composed

    def keep(self, name: str, trained: "Trained") -> None:
        """Keep a copy of a network that was trained and tested under another name: what is exported."""
        from keraserve_training.learning.fit import copy

        self._trained[name] = copy(self.folder / name, self.folder / trained.name)
        self._tests[name] = self._tests[trained.name]

    def test(self, trained: "Trained", examples: Examples, images: Shown | None = None) -> Evaluation:
        """Test a network; the result goes into `metrics.json`, and a file beside it gets the predictions.

        Args:
            trained: the network.
            examples: test images, or their features.
            images: the test images, where `examples` are features.
        """
        from keraserve_training.drawing import galleries

        evaluation = evaluate(trained, examples)
        self._tests[trained.name] = evaluation
        shown: Any = images if images is not None else examples
        self._tested_on += [examples, shown]
        digest = shown.sized(None).digest()
        made = predictions.Predictions(evaluation.predicted, examples.labels, digest)
        predictions.write(self.folder, trained.name, made)
        wrong = evaluation.mistakes
        with self._with_caveat():
            galleries.mistakes(
                self.folder / run_folder.mistakes_image(trained.name),
                trained.name,
                shown.show(np.array([mistake.image for mistake in wrong], np.int64)),
                [(trained.labels[mistake.true], trained.labels[mistake.predicted]) for mistake in wrong],
                [mistake.probability for mistake in wrong],
            )
        return evaluation

    def explain(self, name: str, images: Shown, networks: "Mapping[str, Trained]") -> None:
        """Add to the report what decided on the most confident mistakes of a network.

        Args:
            name: of the network, which was tested on `images`.
            images: of the size that the networks take.
            networks: one or two, by words such as "before"; nothing is added if one of them has no maps.
        """
        from keraserve_training.drawing.explained import prepare

        if (draw := prepare(self._tests[name].mistakes, images, networks)) is None:
            return
        self.plot(
            run_folder.what_decided_image(name),
            f"{name}: what decided on the most confident mistakes",
            draw,
            "Left the image as the network gets it, with its true class; beside it the class that was found."
            " Yellow places speak most for that class, violet ones do not.",
        )

    def plot(self, file: str, title: str, draw: Callable[[Path], None], caption: str = "") -> None:
        """Add a plot or a gallery to the report, beside the curves; `draw` writes it to a PNG file."""
        with self._with_caveat():
            draw(self.folder / file)
        self._plots.append({"file": file, "title": title, "caption": caption})

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""
    ) -> None:
        """Add a table to the report."""
        content = {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        self._tables.append(content | {"caption": caption})

    def tell(self, sentence: str) -> None:
        """Print a sentence for the user."""
        self._show.tell(sentence)

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Draw curves, confusion matrices and reliability, then write `metrics.json`: the run is finished."""
        from keraserve_training.drawing import confusion, curves, reliability

        learnt = {name: trained for name, trained in self._trained.items() if trained.rows}
        with self._with_caveat():
            histories = curves.joined(
                {name: trained.rows for name, trained in learnt.items()},
                {name: trained.result.get("after") for name, trained in learnt.items()},
            )
            on = "test" if all(map(self._validated_on_test, learnt)) else "validation"
            curves.curves(self.folder / run_folder.CURVES, histories, on=on)
            for name, test in self._tests.items():
                if name in learnt:
                    file = self.folder / run_folder.confusion_image(name)
                    confusion.confusion(file, name, test.confusion, learnt[name].labels)
                    file = self.folder / run_folder.reliability_image(name)
                    reliability.reliability(file, name, test.reliability, test.calibration_error)
        config = run_folder.read_config(self.folder)
        results = [trained.result for trained in self._trained.values()]
        content = {
            "run_id": config["run_id"],
            "procedural": config["data"]["kind"] == "procedural",
            "metrics": dict(metrics),
            "networks": {name: self._network(name) for name in self._trained},
            "plots": self._plots,
            "tables": self._tables,
            "features": self._features,
            "seconds": round(
                sum(result["seconds"] for result in results if not result.get("composed_of")), 1
            ),
            "finished": provenance.now(),
        }
        atomic.write_json(self.folder / run_folder.METRICS, content)

    def _validated_on_test(self, name: str) -> bool:
        """Whether a network's validation examples are those that some network was tested on."""
        validated_on = self._validated_on.get(name)
        return any(validated_on is examples for examples in self._tested_on)

    def _with_caveat(self) -> AbstractContextManager[None]:
        """Write the run's caveats on what is drawn."""
        from keraserve_training.drawing import page

        return page.with_caveat(caveats.banner(run_folder.read_config(self.folder)))

    def _record(self, key: str, value: Any, what: str) -> None:
        """Write to `config.json` what the run uses, or compare with what is there."""
        config = run_folder.read_config(self.folder)
        if _differs(config.setdefault(key, value), value):
            raise RunDiffersError(
                f"{self.folder} was started with {what}: go on with what it had, or start anew with --force."
            )
        atomic.write_json(self.folder / run_folder.CONFIG, config)

    def _network(self, name: str) -> dict[str, Any]:
        trained = self._trained[name]
        description = {key: value for key, value in trained.result.items() if key != "digest"}
        row = trained.best_row
        last = {key: row[key] for key in ("val_accuracy", "val_loss") if key in row}
        test = self._tests.get(name)
        return {
            **description,
            "validation": last,
            "validated_on_test": self._validated_on_test(name),
            "test": test.record() if test else None,
        }

    def _check_originals(self) -> None:
        from keraserve_training.learning.rules import digest

        for name, trained in self._trained.items():
            if digest(trained.model.weights) != trained.result["digest"]:
                raise OriginalChangedError(
                    f"Training changed {name!r}, which was finished before: reuse a clone (rules.clone)."
                )


def _differs(there: Any, value: Any) -> bool:
    """Whether two recorded values differ; keys that an older version did not record are not compared."""
    if isinstance(there, dict) and isinstance(value, dict):
        return any(there[key] != value[key] for key in there.keys() & value.keys())
    return there != value
