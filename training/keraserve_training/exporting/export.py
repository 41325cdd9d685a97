"""Export: write a version into the model repository for each servable of each finished run."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keraserve_models.repository import folders, server_config
from keraserve_training import settings
from keraserve_training.errors import ExportError, OutdatedError, RunMissingError
from keraserve_training.experiment import Experiment, Servable
from keraserve_training.exporting import model_card
from keraserve_training.options import NONE, Options, flag
from keraserve_training.profiles import FULL, SAMPLE
from keraserve_training.records import caveats, data_changes, run_folder
from keraserve_training.records.run_folder import FinishedRun

_LONGEST, _DIGEST = 63, 6  # letters of a model's name, and of the digest that makes a cut one unique


@dataclass(frozen=True)
class Exported:
    """One servable in the repository.

    Attributes:
        name: of the model.
        version: its number.
        new: written now, not found there.
        warnings: sentences that everybody who uses its predictions has to know.
    """

    name: str
    version: int
    new: bool
    warnings: list[str]


def export(
    experiments: Iterable[Experiment],
    *,
    runs: Path,
    models: Path,
    profile: str,
    seed: int | None = None,
    served_from: str | None = None,
    force: bool = False,
    outdated: bool = False,
    options: Options = NONE,
    given: Mapping[str, Any] = MappingProxyType({}),
    tell: Callable[[Exported], None] = lambda _: None,
) -> tuple[list[Exported], list[str]]:
    """Write a version of every servable of every finished run, then update `models.config`.

    Args:
        experiments: whose runs.
        runs: folder of all runs.
        models: the repository.
        profile: only runs of this profile, so that no procedural model is served by accident.
        seed: only runs with this seed; None: all, in the order in which they finished.
        served_from: see `server_config.write`.
        force: also what is in the repository already.
        outdated: also runs whose images have changed since the training.
        options: only runs that were given these, whatever else they were given.
        given: the same for settings.
        tell: is called with each servable.

    Returns:
        What is in the repository now, and sentences about `models.config`.

    Raises:
        RunMissingError: no experiment has such a run.
        RunDamagedError: a run can't be read.
        RepositoryError: versions of another origin have the name, or the repository can't be written.
        OutdatedError: the images of a run have changed; says how. The other runs are exported.
    """
    wanted = [
        (experiment, run)
        for experiment in experiments
        for run in run_folder.finished(runs, experiment.name)
        if run.profile == profile and seed in (None, run.config["seed"]) and _was_given(run, options, given)
    ]
    if not wanted:
        words = [f", {flag(name)} {value}" for name, value in options.given().items()]
        words += [f", --set {each}" for each in settings.words(given)]
        seeded = "" if seed is None else f" and seed {seed}"
        raise RunMissingError(
            f"There is no finished run of profile {profile}{seeded}{''.join(words)} in {runs}: train first"
            " (keraserve-train run NAME or train-all), or name another --profile."
        )
    exported: list[Exported] = []
    notices: list[str] = []
    rejected: list[str] = []
    for experiment, run in wanted:
        reason = data_changes.outdated(run)
        if reason and not outdated:
            rejected.append(f"{run.folder} no longer fits its images: {reason}")
            continue
        for servable in experiment.servables:
            servable = named(servable, experiment, run)
            # One exporter at a time checks whether a run is there and writes it: two would write it twice.
            with folders.exporting(models, servable.name):
                version = None if force else model_card.exported_as(models / servable.name, run)
                new = version is None
                if version is None:
                    model_card.check_origin(models / servable.name, run)
                    notices += server_config.write(models, served_from, coming=servable.name)
                    what = {"experiment": experiment, "servable": servable, "run": run, "outdated": reason}
                    version = folders.publish(models, servable.name, partial(_write, **what))
            warnings = model_card.warnings(servable, run, reason)
            exported.append(Exported(servable.name, version, new, warnings))
            tell(exported[-1])
    if exported:
        notices += server_config.write(models, served_from)
    if rejected:
        raise OutdatedError(
            f"{'; '.join([*rejected, *notices])}: {data_changes.ANEW}, or export it all the same with"
            " --outdated."
        )
    return exported, notices


def named(servable: Servable, experiment: Experiment, run: FinishedRun) -> Servable:
    """A servable with the name that follows from a run's options and origin.

    `--name` replaces the experiment's part of the name; other options and settings are appended, so that a
    model that was trained on other images is not a version of this one; so are a small profile and random
    weights. A name that would be too long is cut, and gets a digest.
    """
    options = Options(**run.config.get("options", {}))
    changed = settings.slug(run.config.get("settings", {}))
    if options.name:
        name = options.name + servable.name.removeprefix(experiment.name)
    else:
        name = "-".join(part for part in (servable.name, options.slug(), changed) if part)
    origin = _origin(run, named=options.name is not None)
    longest = _LONGEST - len(origin)
    if len(name) > longest:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: longest - _DIGEST - 1].rstrip('-')}-{digest}"
    return replace(servable, name=name + origin)


def _origin(run: FinishedRun, *, named: bool) -> str:
    """The end of a model's name, where it was not trained on all images or from pre-trained weights."""
    if run.profile == SAMPLE.name:  # which has no pre-trained weights either
        return f"-{run.profile}"
    random = named and caveats.RANDOM in caveats.of(run.config)  # else the options have put it into the name
    return ("" if run.profile == FULL.name else f"-{run.profile}") + ("-random" if random else "")


def _was_given(run: FinishedRun, options: Options, settings: Mapping[str, Any]) -> bool:
    there = {**run.config.get("options", {}), **run.config.get("settings", {})}
    return all(there.get(name) == value for name, value in {**options.given(), **settings}.items())


def _write(place: Path, experiment: Experiment, servable: Servable, run: FinishedRun, outdated: str) -> None:
    """Fill the folder of a version; `outdated` says what has changed about the run's images."""
    from keraserve_training import runtime

    runtime.prepare()
    import tensorflow as tf

    from keraserve_models.exporting import card, row_independence, signatures, warm_up
    from keraserve_models.exporting.served import served
    from keraserve_training.learning import fit
    from keraserve_training.pretrained.folding import folded

    trained = fit.load(run.folder / servable.model)
    try:
        # Folded, it gives the same outputs with less arithmetic.
        network = signatures.Network.of_keras(folded(trained.model), trained.probabilities)
        explained = signatures.save(place, network, trained.labels)
    except tf.errors.OpError as error:  # TensorFlow writes the files, so a full disk is its error
        raise ExportError(
            f"The model could not be written to {place.parent} ({type(error).__name__}): is the disk full, or"
            " the folder not yours? Nothing was published."
        ) from error
    height, width, channels = trained.result["input"]
    warm_up.write(place / folders.WARM_UP, servable.name, (height, width), channels)
    with served(place) as version:
        measured = row_independence.measure(version, (height, width), channels)
    card.write(place, {**model_card.card(experiment, servable, run, outdated), **explained, **measured})
