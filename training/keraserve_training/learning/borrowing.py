"""Copy a trained network from the run of another experiment that trains exactly the same one."""

import shutil
from pathlib import Path

from keraserve_training.records import run_folder

# What the network's weights depend on, besides its code
_COMPARED = ("profile", "seed", "settings", "options", "data", "weights", "versions", "source_commit")


def borrow(folder: Path, theirs: Path, network: str) -> bool:
    """Copy a finished network from another run; false where there is none, or it was made otherwise.

    Args:
        folder: of the run that gets it; its data are loaded already.
        theirs: folder of the other one.
        network: its name in both.
    """
    mine = folder / network
    if (mine / run_folder.RESULT).exists() or (mine / run_folder.CHECKPOINT).exists():
        return False
    if not (theirs / network / run_folder.RESULT).exists():
        return False
    configs = [run_folder.read_json(run / run_folder.CONFIG) for run in (folder, theirs)]
    if any(configs[0].get(key) != configs[1].get(key) for key in _COMPARED):
        return False
    shutil.rmtree(mine, ignore_errors=True)
    mine.mkdir()
    # The result is copied last: its presence means that all else is there.
    for name in (run_folder.MODEL, run_folder.HISTORY, run_folder.RESULT):
        shutil.copyfile(theirs / network / name, mine / name)
    return True
