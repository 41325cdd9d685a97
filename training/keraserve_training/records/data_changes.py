"""Whether a user's images have changed since a run learnt from them. Needs no TensorFlow."""

from pathlib import Path

from keraserve_training.data import layout
from keraserve_training.data.layout import Layout
from keraserve_training.data.listing import Listing, changes
from keraserve_training.errors import DataUnavailableError
from keraserve_training.options import Options
from keraserve_training.records import run_folder
from keraserve_training.records.run_folder import FinishedRun

ANEW = "train again with --force (make model FORCE=1)"


def found(options: Options) -> Layout | None:
    """The user's own images as they are now; None if the run uses a public data set.

    Raises:
        DataUnavailableError: there are none, or the folder can be read in two ways.
    """
    if options.data is None:
        return None
    return layout.read(Path(options.data).expanduser().resolve(), options.layout)


def changed(folder: Path, there: Layout) -> str:
    """What is different from the images that the run in `folder` began with; empty if nothing is.

    Raises:
        RunDamagedError: the run's list of them can't be read.
        DataUnavailableError: an image can't be read.
    """
    file = folder / run_folder.IMAGES
    finished = (folder / run_folder.METRICS).exists()
    if not file.exists():
        return "an older version made this run and kept no list of its images" if finished else ""
    before = Listing.read(file)
    return changes(before, before.of_now(there), names=not finished)


def outdated(run: FinishedRun) -> str:
    """Why a finished run no longer fits the user's own images; empty if it does, or learnt from others.

    Raises:
        RunDamagedError: the run's list of them can't be read.
    """
    options = Options(**run.config.get("options", {}))
    if options.data is not None and not Path(options.data).is_dir():
        return f"the folder {options.data} is gone"
    try:
        there = found(options)
        return changed(run.folder, there) if there else ""
    except DataUnavailableError as error:
        return str(error).rstrip(".")
