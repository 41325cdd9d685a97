"""Which version to load or unload next, so that a model is never without one: TensorFlow Serving's order."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Load this version."""

    version: int


@dataclass(frozen=True)
class Unload:
    """Unload this version."""

    version: int


def next_transition(aspired: set[int], available: set[int], loadable: set[int]) -> Load | Unload | None:
    """Take the next step from the versions that serve to the ones that should.

    What is no longer wanted goes as soon as something wanted serves (or nothing is wanted), the lowest
    version first; until then at most one unwanted version stays. Then the highest new version is loaded.

    Args:
        aspired: the versions that should serve.
        available: the versions that do.
        loadable: those of `aspired` that are not yet loaded and may be tried.
    """
    unwanted = available - aspired
    if unwanted and (not aspired or aspired & available or len(unwanted) > 1):
        return Unload(min(unwanted))
    if loadable:
        return Load(max(loadable))
    return None
