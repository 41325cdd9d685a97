"""Collect the finished runs of an experiment for a report, grouped by options, the one to show first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keraserve_training import settings
from keraserve_training.errors import RunDamagedError, RunMissingError
from keraserve_training.options import Options
from keraserve_training.profiles import PROFILES
from keraserve_training.records import caveats, history, run_folder
from keraserve_training.records.run_folder import FinishedRun

_DIGEST = 12  # characters of the digest by which a user's images are known
_NEEDED = {"profile", "seed", "data", "versions"}
_NEEDED_OF_NETWORKS = {"labels", "output", "parameters", "train_images", "epochs", "seconds"}


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed; the latest is the last."""

    runs: tuple[FinishedRun, ...]

    @property
    def latest(self) -> FinishedRun:
        """The run that finished last."""
        return self.runs[-1]

    def values(self, metric: str) -> list[float]:
        """A figure of every run that has it, the latest last; of two with the same seed, the later one's."""
        by_seed = {run.config["seed"]: run.metrics["metrics"].get(metric) for run in self.runs}
        # The latest run's value comes last, also if an earlier run had the same seed.
        latest = self.latest.config["seed"]
        by_seed[latest] = by_seed.pop(latest)
        return [value for value in by_seed.values() if value is not None]


@dataclass(frozen=True)
class Gathered:
    """The finished runs of one experiment.

    Attributes:
        groups: the one to show in full first; empty if no run is finished.
        troubles: a sentence for each run that can't be read.
    """

    groups: tuple[Group, ...]
    troubles: tuple[str, ...]

    @property
    def shown(self) -> FinishedRun | None:
        """The run to show in full: the latest of the largest profile, if possible with real weights and
        the experiment's own settings."""
        return self.groups[0].latest if self.groups else None


def gather(runs: Path, experiment: str) -> Gathered:
    """Read every finished run of an experiment; one that can't be read becomes a sentence in `troubles`."""
    found: list[FinishedRun] = []
    troubles: list[str] = []
    for folder in run_folder.finished_folders(runs, experiment):
        try:
            found.append(_read(folder))
        except RunDamagedError as error:
            troubles.append(str(error))
    found.sort(key=lambda run: run.metrics["finished"])
    latest_first = sorted(_groups(found), key=lambda group: group.latest.metrics["finished"], reverse=True)
    return Gathered(tuple(sorted(latest_first, key=_rank)), tuple(troubles))


def check(runs: Path, experiments: Iterable[str]) -> list[str]:
    """The `troubles` of all experiments.

    Raises:
        RunMissingError: no experiment has a finished run in `runs`.
    """
    found = [gather(runs, experiment) for experiment in experiments]
    if not any(each.groups or each.troubles for each in found):
        raise RunMissingError(
            f"There is no finished run in {runs}: train first (keraserve-train run NAME), or name another"
            " --runs."
        )
    return [trouble for each in found for trouble in each.troubles]


def _read(folder: Path) -> FinishedRun:
    """A run with all that a report shows."""
    run = run_folder.finished_in(folder)
    missing = _NEEDED - run.config.keys()
    for name, network in run.networks.items():
        missing |= _NEEDED_OF_NETWORKS - network.keys()
        history.read(folder / name / run_folder.HISTORY)
    if missing:
        raise RunDamagedError(
            f"{folder} lacks {', '.join(sorted(missing))}: an older version made this run; run it again with"
            " --force."
        )
    return run


def _groups(found: Sequence[FinishedRun]) -> list[Group]:
    same: dict[tuple[str, str], list[FinishedRun]] = {}
    for run in found:
        same.setdefault((run.profile, key(run)), []).append(run)
    return [Group(tuple(members)) for members in same.values()]


def _rank(group: Group) -> tuple[int, bool, bool]:
    run = group.latest
    order = list(PROFILES)
    profile = order.index(run.profile) if run.profile in PROFILES else len(order)
    return profile, caveats.RANDOM in caveats.of(run.config), bool(run.config.get("settings"))


def key(run: FinishedRun) -> str:
    """Equal for runs of an experiment that differ only in their seed; empty if nothing was changed.

    A user's own images are identified by their digest, since folders of one name may hold different images.
    """
    given = Options(**{**run.config.get("options", {}), "data": None})
    images = run.config["data"]["sha256"][:_DIGEST] if "data" in run.config.get("options", {}) else ""
    changed = settings.slug(run.config.get("settings", {}))
    return "-".join(part for part in (given.slug(), changed, images) if part)
