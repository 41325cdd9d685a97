"""Compute shards of features in several processes, or on several machines that share the store's folder.

The network and the images' description are in the store meanwhile. Each shard is a file of its own that is
whole or not there, so a piece that is done again computes only the shards that are missing.
"""

import contextlib
import pickle
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraserve_training import runtime
from keraserve_training.errors import FeaturesError
from keraserve_training.learning import rules
from keraserve_training.pretrained import bfloat16
from keraserve_training.progress import SILENT, Show
from keraserve_training.workers.work import Done, Work, Workers

if TYPE_CHECKING:
    from keraserve_training.pretrained.extraction import Extraction

_JOB = ".job"
_MODEL, _REST = "model.keras", "rest.pickle"
_SHARDS_IN_PIECE = 4  # starting a process takes as long as one or two


def make(extraction: "Extraction", shards: Sequence[int], name: str, show: Show, workers: Workers) -> None:
    """Let `workers` compute some shards; the caller holds the store's lock.

    Raises:
        FeaturesError: at least one can't be computed; the others are kept.
        WorkerError: the workers failed.
    """
    with _job(extraction) as job:
        firsts = range(0, len(shards), _SHARDS_IN_PIECE)
        parts = [list(shards[first : first + _SHARDS_IN_PIECE]) for first in firsts]
        pieces = {f"{name}, shards from {part[0]}": part for part in parts}
        work = [Work(title, make_part, {"job": job, "shards": part}) for title, part in pieces.items()]
        total = extraction.store.layout.shards
        made = total - len(shards)
        show.start(name, total, made, "shard")

        def tell(done: Done) -> None:
            nonlocal made
            if done.error is None:
                made += len(pieces[done.name])
                show.part(made)

        failed = [done for done in workers.do(work, tell) if done.error is not None]
        show.stop()
    if failed:
        raise FeaturesError(f"{failed[0].name}: {failed[0].error}")


def make_part(*, job: Path, shards: Sequence[int]) -> None:
    """Compute those of the shards that are missing, with what `_job` wrote to the folder `job`.

    Raises:
        FeaturesError: they can't be stored, or the network in `job` is another one.
        OptionError: this processor has no bfloat16.
    """
    runtime.prepare()
    import keras

    from keraserve_training.pretrained.extraction import Extraction

    digest, examples, store, batch = pickle.loads((job / _REST).read_bytes())  # noqa: S301 (written by `_job`)
    if store.layout.dtype == "bfloat16":
        bfloat16.check()
    model: Any = keras.models.load_model(job / _MODEL, compile=False)
    if rules.digest(model.weights) != digest:
        raise FeaturesError(f"{job / _MODEL} does not hold the network that was saved there: run again.")
    extraction = Extraction(model, examples, store, batch)
    missing = set(extraction.missing())
    if left := [shard for shard in shards if shard in missing]:
        extraction.make(left, job.name, SILENT)


@contextlib.contextmanager
def _job(extraction: "Extraction") -> Iterator[Path]:
    """A folder in the store with all that an extraction needs, removed afterwards."""
    store = replace(extraction.store, folder=extraction.store.folder.resolve())
    job = store.folder / _JOB
    shutil.rmtree(job, ignore_errors=True)  # of a process that was killed
    job.mkdir()
    try:
        extraction.model.save(job / _MODEL)
        # A copy by `select` has none of the tensors that `Images` caches.
        examples = extraction.examples.first(len(extraction.examples))
        rest = (rules.digest(extraction.model.weights), examples, store, extraction.batch)
        (job / _REST).write_bytes(pickle.dumps(rest))
        yield job
    finally:
        shutil.rmtree(job, ignore_errors=True)
