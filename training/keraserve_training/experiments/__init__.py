"""The experiments, in the order of their source documents, and how to find one."""

import difflib

from keraserve_training.errors import UnknownExperimentError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments.fashion_mnist_reuse import fashion_mnist_reuse

EXPERIMENTS = (fashion_mnist_reuse(),)


def registry() -> dict[str, Experiment]:
    """Every experiment by its name, in the order of the source documents."""
    return {experiment.name: experiment for experiment in EXPERIMENTS}


def find(name: str) -> Experiment:
    """Look an experiment up.

    Raises:
        UnknownExperimentError: there is none; names the nearest ones.
    """
    known = registry()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
    raise UnknownExperimentError(f"There is no experiment {name!r}. Did you mean {' or '.join(near)}?")
