"""One run of one experiment: what the experiment's own code talks to."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_training import atomic
from keraserve_training.data import datasets
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Examples, Shown
from keraserve_training.errors import OriginalChangedError, RunDiffersError
from keraserve_training.learning import borrowing
from keraserve_training.learning.evaluation import Evaluation, evaluate
from keraserve_training.learning.outputs import Output
from keraserve_training.options import Options
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show
from keraserve_training.records import predictions, provenance, run_folder
from keraserve_training.workers.work import Workers

if TYPE_CHECKING:
    import keras

    from keraserve_training.learning.fit import Loop, Phase, Trained
    from keraserve_training.pretrained.backbones import Backbone
    from keraserve_training.pretrained.features import Features


@dataclass(frozen=True)
class RunSpec:
    """What determines a run."""

    experiment: str
    profile: Profile
    seed: int
    settings: Mapping[str, Any]
    options: Options
    weights: str


class Run:
    """A run folder that is being filled. Made by `open_run.opened`."""

    def __init__(self, folder: Path, spec: RunSpec, show: Show, workers: Workers | None = None) -> None:
        self.folder = folder
        self.seed = spec.seed
        self.profile = spec.profile
        self.options = spec.options
        self._spec = spec
        self._show = show
        self._workers = workers
        self._trained: dict[str, Trained] = {}
        self._tests: dict[str, Evaluation] = {}
        self._tested_on: list[Examples] = []
        self._validated_on: dict[str, Examples] = {}
        self._features: list[dict[str, Any]] = []
        self._images: list[dict[str, str]] = []
        self._tables: list[dict[str, Any]] = []

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.folder / run_folder.METRICS).exists()

    def load(self, source: datasets.Source, *, size: int | None = None) -> Dataset:
        """Get a data set, or the user's own images in its place, and write down what was used.

        Args:
            source: one of `datasets`.
            size: pixels a side of what a network gets; None: as the images are. `--image-size` comes first.

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
        self._write_down("data", data.record(), f"other images ({data.origin})")
        size = self.options.image_size or size
        return data.sized(size) if size else data

    def backbone(self, name: str, *, size: int) -> "Backbone":
        """Build a pre-trained network, or the one that the user wants in its place.

        Args:
            name: the source document's network, a key of `networks.NETWORKS`.
            size: pixels a side in the source document.

        Raises:
            WeightsUnavailableError: its weights are not here and can't be fetched.
            RunDiffersError: the run was started with other weights.
        """
        from keraserve_training.pretrained import backbones, networks

        chosen = networks.NETWORKS[self.options.backbone or name]
        weights = self.options.weights or ("random" if self.profile.random_weights else "imagenet")
        size = self.options.image_size or (chosen.least if self.profile.random_weights else size)
        built = backbones.build(
            chosen.name,
            size=size,
            weights=weights,
            alpha=self.options.alpha,
            seed=self.seed,
            tell=self._show.tell,
        )
        self._write_down("weights", built.weights, "other weights")
        return built

    def features(self, name: str, model: "keras.Model", examples: Examples) -> "Features":
        """Let a frozen network look at images once; later runs read what it saw.

        Args:
            name: what people call these features, like `train`.
            model: takes what `examples` give.
            examples: images of the network's size.

        Raises:
            FeaturesError: they can't be stored.
        """
        from keraserve_training.pretrained import features, standardising

        extracted = features.extract(
            model,
            examples,
            store=self.folder.parent.parent / run_folder.FEATURES,
            name=f"{model.name}-{name}",
            show=self._show,
            mixed_precision=self.options.mixed_precision,
            workers=self._workers,
        )
        record = extracted.record()
        if self._random_weights():
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
        also_in: str | None = None,
    ) -> "Trained":
        """Train a network, or go on with it, or load it when it is done; see `fit.Plan`.

        Args:
            also_in: another experiment that trains the very same network under the same name: its result is
                taken where that run, with the same images and options, is finished.

        Raises:
            RuleError: a rule of transfer learning was broken, also when this training changed a network
                that was trained before.
        """
        from keraserve_training.learning.fit import Plan, fit, nothing

        plan = Plan(
            name,
            build,
            train,
            validation,
            phases,
            labels,
            output,
            batch,
            best=best,
            reused=reused or nothing,
            after=after,
            loop=loop,
        )
        if also_in and borrowing.borrow(self.folder, also_in, name):
            self._show.tell(f"{name}: taken from the finished run of {also_in}")
        self._validated_on[name] = validation
        self._trained[name] = fit(
            self.folder / name,
            plan,
            seed=self.seed,
            profile=self.profile,
            show=self._show,
        )
        try:
            self._check_originals()
        except OriginalChangedError:
            # Or the next try would find this network finished, and no fault.
            (self.folder / name / run_folder.RESULT).unlink()
            raise
        return self._trained[name]

    def compose(
        self,
        name: str,
        stem: "keras.Model",
        head: "Trained",
        *,
        images: Examples,
        features: Examples,
    ) -> "Trained":
        """Put the frozen network and what learnt on its features together, as one model that takes images.

        Args:
            name: under which the run keeps it.
            stem: what made the features.
            head: what learnt.
            images: some that both ways are tried on.
            features: those of the same images.

        Raises:
            PathsDisagreeError: the two ways give different probabilities.
        """
        from keraserve_training.learning.compose import compose

        exact = not self.options.mixed_precision
        composed = compose(self.folder / name, stem, head, images, features, exact=exact)
        self._trained[name] = composed
        if head.name in self._tests:
            self._tests[name] = self._tests[head.name]
        return composed

    def test(self, trained: "Trained", examples: Examples, images: Shown | None = None) -> Evaluation:
        """Try a network on test images; the result goes into `metrics.json`, its predictions beside it.

        Args:
            trained: the network.
            examples: what it takes.
            images: the same as people see them, where `examples` are features.
        """
        from keraserve_training.drawing import galleries

        evaluation = evaluate(trained, examples)
        self._tests[trained.name] = evaluation
        shown: Any = images if images is not None else examples
        self._tested_on += [examples, shown]
        digest = shown.sized(None).digest()
        said = predictions.Predictions(evaluation.predicted, examples.labels, digest)
        predictions.write(self.folder, trained.name, said)
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

    def image(self, file: str, title: str, draw: Callable[[Path], None], caption: str = "") -> None:
        """Draw a PNG that the report shows beside the run's curves."""
        with self._with_caveat():
            draw(self.folder / file)
        self._images.append({"file": file, "title": title, "caption": caption})

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = ""
    ) -> None:
        """Add a table to the report; its cells are written as they are."""
        content = {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        self._tables.append(content | {"caption": caption})

    def tell(self, sentence: str) -> None:
        """Say something to whoever watches the run."""
        self._show.tell(sentence)

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Draw the images and write `metrics.json`: the run is finished."""
        from keraserve_training.drawing import confusion, curves

        learnt = {name: trained for name, trained in self._trained.items() if trained.rows}
        with self._with_caveat():
            histories = {name: trained.rows for name, trained in learnt.items()}
            on = "test" if all(map(self._validated_on_test, learnt)) else "validation"
            curves.curves(self.folder / run_folder.CURVES, histories, on=on)
            for name, test in self._tests.items():
                if name in learnt:
                    file = self.folder / run_folder.confusion_image(name)
                    confusion.confusion(file, name, test.confusion, learnt[name].labels)
        config = run_folder.read_json(self.folder / run_folder.CONFIG)
        content = {
            "run_id": config["run_id"],
            "procedural": config["data"]["kind"] == "procedural",
            "metrics": dict(metrics),
            "networks": {name: self._network(name) for name in self._trained},
            "images": self._images,
            "tables": self._tables,
            "features": self._features,
            "seconds": round(sum(trained.result["seconds"] for trained in self._trained.values()), 1),
            "finished": provenance.now(),
        }
        atomic.write_json(self.folder / run_folder.METRICS, content)

    def _validated_on_test(self, name: str) -> bool:
        """Whether what a network was tried on after every epoch is what some network was tested on."""
        validated_on = self._validated_on.get(name)
        return any(validated_on is examples for examples in self._tested_on)

    def _random_weights(self) -> bool:
        from keraserve_training.records import caveats

        return caveats.RANDOM in caveats.of(run_folder.read_json(self.folder / run_folder.CONFIG))

    def _with_caveat(self) -> AbstractContextManager[None]:
        """What is drawn says so where its figures mean nothing."""
        from keraserve_training.drawing import page as drawing
        from keraserve_training.records import caveats

        return drawing.with_caveat(caveats.banner(run_folder.read_json(self.folder / run_folder.CONFIG)))

    def _write_down(self, key: str, value: Any, what: str) -> None:
        """Keep in `config.json` what the run was started with, or find it there."""
        config = run_folder.read_json(self.folder / run_folder.CONFIG)
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
    """Whether it was another one; what an older version did not write down is not compared."""
    if isinstance(there, dict) and isinstance(value, dict):
        return any(there[key] != value[key] for key in there.keys() & value.keys())
    return there != value
