"""Do an experiment in a run folder: start it, go on with it, or leave it alone when it is finished."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keraserve_training import atomic, runtime
from keraserve_training.data import image_files
from keraserve_training.data.layout import Layout
from keraserve_training.errors import DataUnavailableError, RunBusyError, RunDiffersError
from keraserve_training.experiment import Experiment
from keraserve_training.locks import locked
from keraserve_training.options import NONE, Options
from keraserve_training.profiles import Profile
from keraserve_training.progress import Show
from keraserve_training.records import data_changes, provenance, run_folder
from keraserve_training.run import Run, RunSpec
from keraserve_training.workers.work import Workers

# What must be the same for a run to go on; the versions because another library rounds differently.
_COMPARED = ("experiment", "profile", "seed", "settings", "options", "versions")


def execute(
    experiment: Experiment,
    folder: Path,
    *,
    profile: Profile,
    seed: int,
    show: Show,
    options: Options = NONE,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    workers: Workers | None = None,
) -> bool:
    """Do an experiment in `folder`, going on where it was interrupted; see `opened`.

    What can be done in pieces, the features of a frozen network, is left to `workers`, if there are any.

    Returns:
        False where it was finished already.

    Raises:
        OptionError: the experiment does not take one of the options.
        DataUnavailableError: the images are not here, or not any more.
    """
    options.check(experiment.name, experiment.takes)
    spec = RunSpec(experiment.name, profile, seed, settings or {}, options, experiment.weights)
    with opened(folder, spec, show, force=force, workers=workers) as run:
        if run.finished:
            return False
        runtime.prepare()
        import keras

        keras.utils.clear_session()  # a process that does many runs would keep every graph
        # Everything in the scope: also a reused network has to be on all devices.
        with runtime.scope(options.strategy), _spoilt_images_named(experiment.name):
            experiment.run(run, **spec.settings)
        return True


@contextlib.contextmanager
def _spoilt_images_named(experiment: str) -> Iterator[None]:
    """Where TensorFlow fails since an image is no longer what it was, say which one."""
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
    folder: Path, spec: RunSpec, show: Show, *, force: bool = False, workers: Workers | None = None
) -> Iterator[Run]:
    """Start a run in `folder`, or go on with the one that was interrupted there; nobody else can meanwhile.

    Args:
        folder: the run's folder; need not exist.
        spec: what the run is.
        show: is told how it goes.
        force: throw away what is there.
        workers: who does what can be done in pieces; None: this process.

    Raises:
        RunBusyError: another process is at it.
        RunDiffersError: the folder holds something else, or the images have changed; says what differs.
        RunDamagedError: `config.json` can't be read, or an older version wrote it.
        DataUnavailableError: the user's own images are not there.
    """
    images = data_changes.found(spec.options)  # before anything is thrown away
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / run_folder.LOCK, wait=False))
        except BlockingIOError:
            raise RunBusyError(f"Another process is training in {folder}: wait for it, or stop it.") from None
        if force:
            _empty(folder)
        _sweep(folder)
        _configure(folder, spec)
        if images is not None:
            _compare(folder, images)
        yield Run(folder, spec, show, workers)


def _configure(folder: Path, spec: RunSpec) -> None:
    """Write `config.json`, or compare with the one that is there."""
    wanted = {
        "experiment": spec.experiment,
        "profile": asdict(spec.profile),
        "seed": spec.seed,
        "settings": dict(spec.settings),
        "options": spec.options.given(),
        "versions": provenance.versions(),
        "source_commit": provenance.source_commit(),
        "machine": provenance.machine(),
    }
    if spec.weights == "none":  # else the run writes down which ones it found
        wanted["weights"] = "none"
    wanted = json.loads(json.dumps(wanted))  # as it reads when it comes back from the file
    file = folder / run_folder.CONFIG
    if not file.exists():
        _empty(folder)  # nothing counts without a configuration: an earlier _empty was killed
        started = {"run_id": f"{spec.experiment}-{secrets.token_hex(8)}", "started": provenance.now()}
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
    """A setting without the sentence that explains it to people."""
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if key != "explanation"}
    return value


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
