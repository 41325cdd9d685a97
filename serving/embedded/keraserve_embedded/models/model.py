"""The versions of one model: their states, and the requests that run on them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from keraserve_embedded.errors import Code, LoadError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.repository import Fingerprint, fingerprint, scan

log = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], LoadedVersion]


class State(IntEnum):
    """The states of a version, with TensorFlow Serving's numbers."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Load:
    """Load this version."""

    version: int


@dataclass(frozen=True)
class Unload:
    """Unload this version."""

    version: int


@dataclass
class Version:
    """One version, also after it was unloaded.

    Attributes:
        message: what is wrong with it; or which runtime serves it, where one was asked for.
        running: requests that run on it; it is unloaded when they have ended.
        failed_as: the fingerprint of its folder when it failed to load.
    """

    number: int
    state: State = State.START
    code: Code = Code.OK
    message: str = ""
    loaded: LoadedVersion | None = None
    running: int = 0
    failed_as: Fingerprint | None = None


@dataclass(frozen=True)
class ModelReport:
    """The state of one model.

    Attributes:
        configured: whether it is still in the configuration.
        problem: what is wrong with its folder, or "".
        versions: copies of every version that was ever tried, without the SavedModels.
        labels: the version that each label names now.
    """

    name: str
    configured: bool
    problem: str
    versions: tuple[Version, ...]
    labels: Mapping[str, int]

    @property
    def available(self) -> bool:
        """Whether a version serves."""
        return bool(self.serving)

    @property
    def serving(self) -> set[int]:
        """The versions that serve."""
        return {version.number for version in self.versions if version.state == State.AVAILABLE}


class Model:
    """One model. Only the engine's thread changes it, with the engine's lock where requests read it.

    Attributes:
        entry: its configuration.
        configured: whether it is still in the configuration.
        versions: every version that was ever tried.
        available: those that serve.
        problem: what is wrong with its folder on disk.
    """

    def __init__(self, entry: ModelEntry, load: Loader, lock: threading.Lock) -> None:
        self.entry = entry
        self.configured = True
        self.versions: dict[int, Version] = {}
        self.available: dict[int, Version] = {}
        self._load_version = load
        self._lock = lock
        self.problem = ""
        self._seen: dict[int, Fingerprint] = {}
        self._looked = False
        self._found: set[int] = set()
        self._listed = False  # whether the last look found the base path

    @property
    def failed(self) -> list[Version]:
        """The versions that could not be loaded, highest first."""
        return [v for _, v in sorted(self.versions.items(), reverse=True) if v.code != Code.OK]

    def report(self, labels: Mapping[str, int]) -> ModelReport:
        """Report its state; the caller holds the engine's lock."""
        versions = tuple(replace(version, loaded=None) for version in self.versions.values())
        return ModelReport(self.entry.name, self.configured, self.problem, versions, labels)

    def follow(self, entry: ModelEntry) -> None:
        """Apply its new configuration, and load its versions at once, as at the start."""
        self._looked = self._looked and entry == self.entry
        self.entry, self.configured = entry, True

    def reconcile(self, proceed: Callable[[], bool], relabel: Callable[[], None]) -> bool:
        """Look at the disk; load and unload until those versions serve that should.

        Args:
            proceed: called between two steps; returns False to end early, as the server stops.
            relabel: called at the end, and before a version is unloaded, so that its labels move first.

        Returns:
            Whether anything changed.
        """
        folders = self._aspired()
        if folders is None:
            relabel()
            return False
        loadable = {number for number, folder in folders.items() if self._may_load(number, folder)}
        self._looked = True
        changed = False
        while proceed():
            step = next_transition(set(folders), set(self.available), loadable)
            if step is None:
                break
            changed = True
            if isinstance(step, Load):
                loadable.remove(step.version)
                self._load(step.version, folders[step.version])
            else:
                relabel()
                self._retire(step.version)
        relabel()
        return changed

    def end_retired(self) -> list[int]:
        """Unload the retired versions on which no request runs, and return their numbers."""
        with self._lock:
            out = [v for v in self.versions.values() if v.state == State.UNLOADING and not v.running]
            for version in out:
                version.loaded, version.state = None, State.END
        for version in out:
            log.info("%s %d unloaded", self.entry.name, version.number)
        return [version.number for version in out]

    def forget_failed(self) -> list[int]:
        """Forget versions that failed to load and whose folders are gone, and return their numbers."""
        if not self._listed:
            return []
        with self._lock:
            gone = [n for n, v in self.versions.items() if v.code != Code.OK and n not in self._found]
            for number in gone:
                del self.versions[number]
        return gone

    def _aspired(self) -> dict[int, Path] | None:
        """Find the folders of the versions that should serve; None if the disk can't be read."""
        if not self.configured:
            return {}
        base_path = self.entry.base_path
        self._listed = False
        try:
            found = scan(base_path)
            self._listed = True
        except OSError as error:
            # The volume may be gone only for a moment, so the versions that serve stay.
            self._complain(f"can't look for versions of {self.entry.name}: {error.strerror}: {base_path}")
            return None
        before, self._found = self._found, set(found)
        if self.available.keys() & before - set(found):
            # A version that serves is gone from the disk, perhaps because the volume is being unmounted.
            return None
        wanted = self.entry.policy.choose(set(found))
        missing = (self.entry.policy.specific or frozenset()) - wanted
        if missing:
            numbers = ", ".join(map(str, sorted(missing)))
            self._complain(f"{self.entry.name}: version {numbers} is configured but not in {base_path}")
        elif not wanted:
            self._complain(f"no version of {self.entry.name} in {base_path}: its folders' names are numbers")
        else:
            self.problem = ""
        return {number: found[number] for number in wanted}

    def _complain(self, text: str) -> None:
        """Log what is wrong with the disk, once."""
        if text != self.problem:
            log.warning("%s", text)
        self.problem = text

    def _may_load(self, number: int, folder: Path) -> bool:
        """Tell whether to try a version that does not serve.

        That is one that was unloaded; or one whose files are those of the last look, so that no copy is under
        way, but not those with which it failed. The first look, at the start and after a change of the
        configuration, tries every version.
        """
        version = self.versions.get(number)
        if version and (version.state != State.END or version.failed_as is None):
            return version.state == State.END
        before, now = self._seen.get(number), fingerprint(folder)
        self._seen[number] = now
        return (now == before or not self._looked) and (version is None or now != version.failed_as)

    def _load(self, number: int, folder: Path) -> None:
        with self._lock:
            version = self.versions.setdefault(number, Version(number))
            version.state, version.code, version.message = State.LOADING, Code.OK, ""
            version.failed_as = None
        looked_like = fingerprint(folder)
        started = time.monotonic()
        try:
            loaded = self._load_version(self.entry.name, number, folder)
        except Exception as error:
            # Whatever a model raises while it is loaded, other models continue to serve.
            code = error.code if isinstance(error, LoadError) else Code.INTERNAL
            self._fail(version, looked_like, code, str(error) or type(error).__name__)
            return
        with self._lock:
            version.loaded, version.state, version.message = loaded, State.AVAILABLE, loaded.runtime
            self.available = {**self.available, number: version}
        log.info("%s %d available after %.1f s", self.entry.name, number, time.monotonic() - started)

    def _fail(self, version: Version, looked_like: Fingerprint, code: Code, message: str) -> None:
        with self._lock:
            version.failed_as = looked_like
            version.state, version.code, version.message = State.END, code, message
        log.error("%s %d can't be loaded: %s", self.entry.name, version.number, message)

    def _retire(self, number: int) -> None:
        with self._lock:
            version = self.available[number]
            version.state = State.UNLOADING
            self.available = {n: v for n, v in self.available.items() if n != number}


def next_transition(aspired: set[int], available: set[int], loadable: set[int]) -> Load | Unload | None:
    """Choose the next step from the versions that serve to those that should.

    Unwanted versions are unloaded, the lowest first, as soon as a wanted one serves (or none is wanted);
    until then at most one of them stays. Then the highest new version is loaded.

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
