"""Open a run folder and do an experiment in it: start it, go on with it, or skip it when it is finished."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_models.locks import locked
from keraserve_training import runtime
from keraserve_training.data import image_files
from keraserve_training.data.layout import Layout
from keraserve_training.errors import DataUnavailableError, RunBusyError, RunDiffersError
from keraserve_training.experiment import Experiment
from keraserve_training.progress import SILENT, Show
from keraserve_training.records import data_changes, provenance, run_folder
from keraserve_training.run import Run, RunSpec
from keraserve_training.workers.work import Workers

# What must be the same for a run to go on; the versions because another library rounds differently.
_COMPARED = ("experiment", "profile", "seed", "settings", "options", "versions")


def execute(
    experiment: Experiment,
    folder: Path,
    spec: RunSpec,
    show: Show = SILENT,
    *,
    force: bool = False,
    workers: Workers | None = None,
) -> bool:
    """Do an experiment in `folder`, going on where it was interrupted. For arguments and errors see `opened`.

    Returns:
        False where it was finished already.

    Raises:
        OptionError: the experiment does not take one of the options or settings.
        DataUnavailableError: the images are not here, or not any more.
    """
    experiment.check(spec.options, spec.settings)
    with opened(experiment, folder, spec, show, force=force, workers=workers) as run:
        if run.finished:
            return False
        runtime.prepare()
        import keras

        keras.utils.clear_session()  # a process that does many runs would keep every graph
        # Everything is in the scope: also a reused network has to be on all devices.
        with runtime.scope(spec.options.strategy), _spoilt_images_named(experiment.name):
            experiment.do(run, spec.settings)
        return True


@contextlib.contextmanager
def _spoilt_images_named(experiment: str) -> Iterator[None]:
    """Raise DataUnavailableError where TensorFlow fails because an image file was removed or damaged."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        files = image_files.spoilt()
        if not files:
            raise
        others = f" (and {len(files) - 1:,} more)" if files[1:] else ""
        raise DataUnavailableError(
            f"{files[0]}{others} has gone or has been damaged since {experiment} began: put it back and start"
            " again, the run goes on where it was; or start anew without it, with --force."
        ) from error


@contextlib.contextmanager
def opened(
    experiment: Experiment,
    folder: Path,
    spec: RunSpec,
    show: Show = SILENT,
    *,
    force: bool = False,
    workers: Workers | None = None,
) -> Iterator[Run]:
    """Start a run in `folder`, or go on with the interrupted one there, holding the folder's lock.

    Args:
        experiment: whose run it is.
        folder: the run's folder; need not exist.
        spec: how the experiment is run.
        show: displays the progress.
        force: delete what is there.
        workers: compute the features of frozen networks; None: this process does.

    Raises:
        RunBusyError: another process trains in the folder.
        RunDiffersError: the folder holds something else, or the images have changed; says what differs.
        RunDamagedError: `config.json` can't be read, or an older version wrote it.
        DataUnavailableError: the user's own images are not there.
    """
    images = data_changes.found(spec.options)  # before anything is deleted
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / run_folder.LOCK, wait=False))
        except BlockingIOError:
            raise RunBusyError(f"Another process is training in {folder}: wait for it, or stop it.") from None
        if force:
            _empty(folder)
        _remove_unfinished_files(folder)
        _configure(folder, experiment, spec)
        if images is not None:
            _compare(folder, images)
        yield Run(folder, spec, show, workers)


def _configure(folder: Path, experiment: Experiment, spec: RunSpec) -> None:
    """Write `config.json`, or compare with the one that is there."""
    wanted = {
        "experiment": experiment.name,
        "profile": asdict(spec.profile),
        "seed": spec.seed,
        "settings": dict(spec.settings),
        "options": spec.options.given(),
        "versions": provenance.versions(),
        "source_commit": provenance.source_commit(),
        "machine": provenance.machine(),
    }
    if experiment.weights == "none":  # else the run records which ones it found
        wanted["weights"] = "none"
    wanted = json.loads(json.dumps(wanted))  # as it reads when it comes back from the file
    file = folder / run_folder.CONFIG
    if not file.exists():
        _empty(folder)  # files without a configuration are left from an _empty that was killed
        started = {"run_id": f"{experiment.name}-{secrets.token_hex(8)}", "started": provenance.now()}
        atomic.write_json(file, started | wanted)
        return
    there = run_folder.read_config(folder)
    finished = (folder / run_folder.METRICS).exists()
    compared = [key for key in _COMPARED if not (finished and key == "versions")]
    differing = [key for key in compared if _matters(there.get(key)) != _matters(wanted[key])]
    if differing:
        details = "; ".join(f"{key} was {there.get(key)}, now {wanted[key]}" for key in differing)
        raise RunDiffersError(f"{folder} holds a run that differs ({details}): start anew with --force.")


def _compare(folder: Path, images: Layout) -> None:
    """Raise RunDiffersError if the user's own images are not those that the run began with."""
    changes = data_changes.changed(folder, images)
    if not changes:
        return
    finished = (folder / run_folder.METRICS).exists()
    back = "" if finished else "put back what was there to go on, or "
    began = "learnt" if finished else "began to learn"
    raise RunDiffersError(
        f"{images.root} is not what {folder} {began} from: {changes}: {back}{data_changes.ANEW}."
    )


def _matters(value: Any) -> Any:
    """A setting without the sentence that explains it."""
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if key != "explanation"}
    return value


def _empty(folder: Path) -> None:
    # config.json is deleted first: without it the rest is ignored, should this be interrupted.
    (folder / run_folder.METRICS).unlink(missing_ok=True)
    (folder / run_folder.CONFIG).unlink(missing_ok=True)
    for inner in folder.iterdir():
        if inner.is_dir():
            shutil.rmtree(inner)
        elif inner.name != run_folder.LOCK:
            inner.unlink()


def _remove_unfinished_files(folder: Path) -> None:
    """Remove what a killed process was writing (see `atomic.write_with`); only this process has the lock."""
    for parent, _, files in os.walk(folder):
        for name in files:
            if name.startswith(".") and name != run_folder.LOCK:
                (Path(parent) / name).unlink()
