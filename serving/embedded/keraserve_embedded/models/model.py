"""The versions of one model: their states, and the requests that run on them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from keraserve_embedded.errors import Code, LoadError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.repository import Fingerprint, fingerprint, scan

log = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], LoadedVersion]


class State(IntEnum):
    """Where a version is in its life; TensorFlow Serving's numbers."""

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
    """One version, also after its end.

    Attributes:
        running: requests that run on it; it is unloaded when they have ended.
        failed_as: what its folder looked like when it could not be loaded.
    """

    number: int
    state: State = State.START
    code: Code = Code.OK
    message: str = ""
    loaded: LoadedVersion | None = None
    running: int = 0
    failed_as: Fingerprint | None = None


@dataclass(frozen=True)
class VersionReport:
    """How one version is."""

    number: int
    state: State
    code: Code
    message: str


@dataclass(frozen=True)
class ModelReport:
    """How one model is.

    Attributes:
        configured: whether it is still in the configuration.
        problem: what is wrong with its folder; "" where nothing is.
        versions: every version that was ever tried.
        labels: the version that each label means now.
    """

    name: str
    configured: bool
    problem: str
    versions: tuple[VersionReport, ...]
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
    """One model. Only the engine's thread changes it, under the engine's lock where requests look.

    Attributes:
        entry: what the configuration says of it.
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
        """Say how it is; with the engine's lock."""
        versions = tuple(VersionReport(v.number, v.state, v.code, v.message) for v in self.versions.values())
        return ModelReport(self.entry.name, self.configured, self.problem, versions, labels)

    def follow(self, entry: ModelEntry) -> None:
        """Take what the configuration says of it now."""
        # A new configuration says that its versions are complete: as at the start, they are loaded at once.
        self._looked = self._looked and entry == self.entry
        self.entry, self.configured = entry, True

    def reconcile(self, proceed: Callable[[], bool], relabel: Callable[[], None]) -> bool:
        """Look at the disk; load and unload until what serves is what should.

        Args:
            proceed: called between two steps; false ends the work early (the server stops).
            relabel: called at the end, and before a version is unloaded: its labels have to leave it first.

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
        """Give up the retired versions on which no request runs, and say which."""
        with self._lock:
            out = [v for v in self.versions.values() if v.state == State.UNLOADING and not v.running]
            for version in out:
                version.loaded, version.state = None, State.END
        for version in out:
            log.info("%s %d unloaded", self.entry.name, version.number)
        return [version.number for version in out]

    def forget_failed(self) -> list[int]:
        """Forget the versions that could not be loaded and whose folders are gone, and say which."""
        if not self._listed:
            return []
        with self._lock:
            gone = [n for n, v in self.versions.items() if v.code != Code.OK and n not in self._found]
            for number in gone:
                del self.versions[number]
        return gone

    def _aspired(self) -> dict[int, Path] | None:
        """The folders of the versions that should serve; None where the disk can't be read."""
        if not self.configured:
            return {}
        base_path = self.entry.base_path
        self._listed = False
        try:
            found = scan(base_path)
            self._listed = True
        except OSError as error:
            # The volume may be gone only for a moment: the versions that serve stay.
            self._complain(f"can't look for versions of {self.entry.name}: {error.strerror}: {base_path}")
            return None
        before, self._found = self._found, set(found)
        if self.available.keys() & before - set(found):
            # A version that serves has gone from the disk; perhaps the volume goes: the next look decides.
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
        """Whether to try a version that does not serve: one that ended well; or one that looks as at the last
        look, so that no copy goes on, and not as when it failed. At the first look, at the start and after
        a change of its configuration, all that is there.
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
            # Whatever a foreign model does while it is loaded, the models that serve go on.
            code = error.code if isinstance(error, LoadError) else Code.INTERNAL
            self._fail(version, looked_like, code, str(error) or type(error).__name__)
            return
        with self._lock:
            version.loaded, version.state = loaded, State.AVAILABLE
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
