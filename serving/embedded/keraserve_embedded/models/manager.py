"""The configured models: load and unload their versions on a thread, and hold versions while requests run."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from keraserve_embedded import garbage_collection
from keraserve_embedded.errors import InvalidRequestError, NotServedError, StartError, UnknownLabelError
from keraserve_embedded.models.labels import Labels
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model import Loader, Model, ModelReport, State, Version
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.observer import Observer
from keraserve_embedded.periodic import Periodic
from keraserve_protocol import messages as m


class ModelManager:
    """Follows the configuration and the disk. Any thread may call its methods.

    Args:
        load: loads one version; called on the manager's thread.
        poll_seconds: the time between two looks for new versions; 0: it looks once.
        early_labels: a new label may name a version that is not available yet.
        observer: its `version_ended` is called for each version that has ended.
        on_change: called after versions changed, or the configuration did.
    """

    def __init__(
        self,
        load: Loader,
        poll_seconds: float,
        *,
        early_labels: bool,
        observer: Observer,
        on_change: Callable[[], None],
    ) -> None:
        self._load = load
        self._poll_seconds = poll_seconds
        self._early_labels = early_labels
        self._observer = observer
        self._on_change = on_change
        self._models: dict[str, Model] = {}
        self._labels: dict[str, Labels] = {}
        self._pending: list[ModelEntry] | None = None
        self._followed = threading.Event()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._watch = Periodic("model watch", poll_seconds, self._step)

    def start(self, entries: Sequence[ModelEntry], ready: Callable[[], bool]) -> bool:
        """Load the models and wait until `ready`; as `Engine.start`."""
        self.configure(entries)
        while not self._stopped.is_set():
            self._step()
            for model in self._models.values():
                if model.failed and not model.available:
                    worst = model.failed[0]
                    raise StartError(f"{model.entry.name} {worst.number} can't be loaded: {worst.message}")
            if ready():
                self._watch.start()
                return True
            if not self._poll_seconds:
                missing = ", ".join(name for name, model in self._models.items() if not model.available)
                raise StartError(f"no version to serve of {missing}")
            self._stopped.wait(self._poll_seconds)
        return False

    def configure(self, entries: Sequence[ModelEntry]) -> threading.Event:
        """Replace the models by these; as `Engine.configure`."""
        with self._lock:
            self._pending = list(entries)
            followed = self._followed
        self._watch.wake()
        return followed

    def interrupt(self) -> None:
        """Look for no more versions, and end `start` early; as `Engine.interrupt`."""
        self._stopped.set()

    def stop(self) -> None:
        """Look for no more versions, and wait until the manager's thread has ended."""
        self._stopped.set()
        self._watch.stop()

    @property
    def stopping(self) -> bool:
        """Whether it looks for no more versions."""
        return self._stopped.is_set()

    def ready(self) -> bool:
        """Whether every configured model has a version that serves."""
        with self._lock:
            return self._pending is None and all(
                model.available for model in self._models.values() if model.configured
            )

    def knows(self, name: str) -> bool:
        """Whether a model of this name is, or was, configured."""
        return name in self._models

    def reports(self) -> list[ModelReport]:
        """Report the state of every model and its versions."""
        with self._lock:
            return [model.report(self._labels[name].all()) for name, model in self._models.items()]

    @contextmanager
    def find(self, spec: m.ModelSpec) -> Iterator[tuple[Model | None, int | None]]:
        """Find the model that a spec names, and the version's number; nothing changes within the context.

        Raises:
            UnknownLabelError: no version has this label.
        """
        with self._lock:
            number = self._number(spec)
            yield self._models.get(spec.name), number

    @contextmanager
    def hold(self, spec: m.ModelSpec) -> Iterator[LoadedVersion]:
        """Hold the version that a spec names; it is not unloaded within the context.

        Raises:
            InvalidRequestError: the spec names no model.
            UnknownLabelError: no version has this label.
            NotServedError: no such version serves.
        """
        version = self._acquire(spec)
        try:
            assert version.loaded is not None  # noqa: S101 - what is available is loaded
            yield version.loaded
        finally:
            with self._lock:
                version.running -= 1
                last = version.state == State.UNLOADING and not version.running
            if last:
                self._watch.wake()

    def _acquire(self, spec: m.ModelSpec) -> Version:
        if not spec.name:
            raise InvalidRequestError("ModelSpec has no name specified.")
        with self._lock:
            model = self._models.get(spec.name)
            available = model.available if model else {}
            number = self._number(spec)
            if number is None and available:
                number = max(available)
            version = available.get(number) if number is not None else None
            if version is None:
                wanted = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
                raise NotServedError(f"Servable not found for request: {wanted}")
            version.running += 1
            return version

    def _number(self, spec: m.ModelSpec) -> int | None:
        """Return the version that the spec names, by number or label; None for the latest."""
        if spec.HasField("version"):
            return spec.version.value
        if not spec.HasField("version_label"):
            return None
        labels = self._labels.get(spec.name)
        number = labels.version(spec.version_label) if labels else None
        if number is None:
            raise UnknownLabelError(f"Unrecognized servable version label: {spec.version_label}")
        return number

    # On the manager's thread.

    def _step(self) -> None:
        """Apply the configuration, load and unload versions, and end retired ones without requests."""
        followed = self._follow_configuration()
        try:
            self._look(changed=followed is not None)
        finally:
            if followed:
                followed.set()

    def _look(self, *, changed: bool) -> None:
        if changed:
            self._on_change()
        changed = False
        for model in list(self._models.values()):
            changed |= model.reconcile(
                lambda: not self._stopped.is_set(), partial(self._assign_labels, model)
            )
        if changed:
            self._on_change()
        unloaded = False
        for name, model in self._models.items():
            retired = model.end_retired()
            unloaded |= bool(retired)
            for number in (*retired, *model.forget_failed()):
                self._observer.version_ended(name, number)
        if unloaded:
            garbage_collection.release_memory()

    def _assign_labels(self, model: Model) -> None:
        wanted = dict(model.entry.labels) if model.configured else {}
        self._labels[model.entry.name].assign(model.entry.name, wanted, model.available)

    def _follow_configuration(self) -> threading.Event | None:
        """Apply the models of `configure`; return the event to set when they are loaded."""
        with self._lock:
            entries, self._pending = self._pending, None
            if entries is None:
                return None
            followed, self._followed = self._followed, threading.Event()
            for model in self._models.values():
                model.configured = False
            for entry in entries:
                model = self._models.setdefault(entry.name, Model(entry, self._load, self._lock))
                model.follow(entry)
                self._labels.setdefault(entry.name, Labels(early=self._early_labels))
        return followed
