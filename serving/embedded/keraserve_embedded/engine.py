"""The engine: models in, answers out. One object without network.

The gRPC services are a thin face of it; another face needs nothing but the methods here.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from keraserve_embedded import garbage_collection
from keraserve_embedded.batching.batcher import Batcher, alone
from keraserve_embedded.batching.event_loop import LoopTurn
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.calls import classify, metadata, predict
from keraserve_embedded.calls.request_limits import DEFAULT_LIMITS, RequestLimits
from keraserve_embedded.calls.work import Call, finish, finish_async
from keraserve_embedded.deadline import Patience
from keraserve_embedded.errors import (
    Code,
    EmbeddedError,
    InternalError,
    InvalidRequestError,
    NotServedError,
    StartError,
    UnknownLabelError,
)
from keraserve_embedded.models.labels import Labels
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model import Model, ModelReport, State, Version
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.signature import Origin
from keraserve_embedded.observer import Observer
from keraserve_embedded.periodic import Periodic
from keraserve_embedded.warmup import warm_up
from keraserve_protocol import messages as m

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works.

    Attributes:
        poll_seconds: how often it looks for new versions; 0 looks once.
        early_labels: a new label may name a version that is not available yet.
        as_content: answers carry `tensor_content`, else the typed fields.
        batching: merge requests that wait together; None runs each alone, on its caller's thread.
        limits: how much one request may ask for.
    """

    poll_seconds: float = 1.0
    early_labels: bool = False
    as_content: bool = False
    batching: BatchingOptions | None = None
    limits: RequestLimits = DEFAULT_LIMITS


class Engine:
    """Serves the models that `start` and `configure` name, from the versions on disk.

    Any thread may call the methods for requests; loading and unloading happen on a thread of the engine's.
    """

    def __init__(self, options: EngineOptions | None = None, observer: Observer | None = None) -> None:
        self.options = options or EngineOptions()
        self._observer = observer or Observer()
        batching = self.options.batching
        self._batcher = Batcher(batching, self._observer) if batching else None
        self.on_change: Callable[[], None] = lambda: None
        if self._batcher:
            self._batcher.on_loss = lambda: self.on_change()
        self._models: dict[str, Model] = {}
        self._labels: dict[str, Labels] = {}
        self._pending: list[ModelEntry] | None = None
        self._followed = threading.Event()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._watch = Periodic("model watch", self.options.poll_seconds, self._step)

    # Life.

    def start(self, entries: Sequence[ModelEntry]) -> bool:
        """Load the models and wait until each has a version that serves, as TensorFlow Serving does.

        A model whose folder or versions are not there yet is waited for.

        Returns:
            Whether all serve; False where `stop` came first.

        Raises:
            StartError: a version can't be loaded; or nothing is there and `poll_seconds` is 0.
        """
        self.configure(entries)
        while not self._stopped.is_set():
            self._step()
            for model in self._models.values():
                if model.failed and not model.available:
                    worst = model.failed[0]
                    raise StartError(f"{model.entry.name} {worst.number} can't be loaded: {worst.message}")
            if self.ready():
                self._watch.start()
                return True
            if not self.options.poll_seconds:
                missing = ", ".join(name for name, model in self._models.items() if not model.available)
                raise StartError(f"no version to serve of {missing}")
            self._stopped.wait(self.options.poll_seconds)
        return False

    def configure(self, entries: Sequence[ModelEntry]) -> threading.Event:
        """Take these models in place of the present ones; the engine's thread follows at once.

        Returns:
            What is set when it has tried to load all that they ask for.
        """
        with self._lock:
            self._pending = list(entries)
            followed = self._followed
        self._watch.wake()
        return followed

    def interrupt(self) -> None:
        """Look for no more versions, and end `start` early; at once, so that a signal handler may call it."""
        self._stopped.set()

    def stop(self) -> None:
        """Look for no more versions, and wait until the engine's threads have ended.

        Requests that wait for a batch are cancelled; those that run end well.
        """
        self._stopped.set()
        self._watch.stop()
        if self._batcher:
            self._batcher.stop()

    # State.

    @property
    def stopping(self) -> bool:
        """Whether it looks for no more versions."""
        return self._stopped.is_set()

    def ready(self) -> bool:
        """Whether every configured model has a version that serves, and every thread for batches runs."""
        running, wanted = self.batch_threads()
        with self._lock:
            return (
                running == wanted
                and self._pending is None
                and all(model.available for model in self._models.values() if model.configured)
            )

    def batch_threads(self) -> tuple[int, int]:
        """How many threads run batches, and how many there should be; none without batching."""
        return self._batcher.threads() if self._batcher else (0, 0)

    def knows(self, name: str) -> bool:
        """Whether a model of this name is, or was, configured."""
        return name in self._models

    def models(self) -> list[ModelReport]:
        """Say how every model and its versions are."""
        with self._lock:
            return [model.report(self._labels[name].all()) for name, model in self._models.items()]

    def status(self, request: m.GetModelStatusRequest) -> m.GetModelStatusResponse:
        """Answer GetModelStatus: of all versions, or of the one that a number or a label means.

        Errors as `keraserve_embedded.calls.metadata.status`, UnknownLabelError, and InternalError where
        threads for batches are gone: whoever asks takes AVAILABLE for "it answers".
        """
        spec = _spec(request)
        running, wanted = self.batch_threads()
        if running < wanted:
            raise InternalError(f"only {running} of {wanted} threads for batches run: restart this server")
        with self._lock:
            number, model = self._number(spec), self._models.get(spec.name)
            if model is None:
                return metadata.status(spec.name, number, {})
            return metadata.status(spec.name, number, model.versions, model.problem)

    # Requests. Where the model spec names nothing, all raise NotServedError, UnknownLabelError or
    # InvalidRequestError; where `patience` ends first, DeadlinePassedError or GivenUpError; with batching,
    # as `keraserve_embedded.batching.batcher.Batcher.submit`.

    def predict(self, request: m.PredictRequest, patience: Patience | None = None) -> m.PredictResponse:
        """Answer Predict; errors as `keraserve_embedded.calls.predict.predict`."""
        return self._answer(request, patience)

    def classify(
        self, request: m.ClassificationRequest, patience: Patience | None = None
    ) -> m.ClassificationResponse:
        """Answer Classify; errors as `keraserve_embedded.calls.classify.classify`."""
        return self._answer(request, patience)

    def regress(self, request: m.RegressionRequest, patience: Patience | None = None) -> m.RegressionResponse:
        """Answer Regress; errors as `keraserve_embedded.calls.classify.regress`."""
        return self._answer(request, patience)

    def multi_inference(
        self, request: m.MultiInferenceRequest, patience: Patience | None = None
    ) -> m.MultiInferenceResponse:
        """Answer MultiInference; errors as `keraserve_embedded.calls.classify.multi_inference`."""
        return self._answer(request, patience)

    def loop_turn(self) -> LoopTurn:
        """Give the running event loop its way to ask; needs batching."""
        assert self._batcher is not None  # noqa: S101 - an engine that is asked so has one
        return LoopTurn(self._batcher)

    async def answer(self, request: Any, turn: LoopTurn) -> Any:
        """Answer any of these four requests in the event loop of `turn`, which it does not block.

        Cancelling the task takes the request out of the queue.
        """
        with self._calling(request) as call:
            return await finish_async(call, turn.run)

    def waiting(self) -> Mapping[Origin, int]:
        """How many rows wait for a batch, by signature."""
        return self._batcher.waiting() if self._batcher else {}

    def _answer(self, request: Any, patience: Patience | None) -> Any:
        with self._calling(request) as call:
            if self._batcher is None:
                return finish(call, lambda work: alone(work, self._observer))
            batcher, patience = self._batcher, patience or Patience()
            return finish(call, lambda work: patience.result(batcher.submit(work)))

    def inputs(self, spec: m.ModelSpec, signature: str) -> Mapping[str, m.TensorInfo]:
        """Look up the inputs of a signature.

        Raises:
            InvalidRequestError: the model has none of this name.
        """
        with self._version(spec) as version:
            return metadata.inputs(version, signature)

    def metadata(self, request: m.GetModelMetadataRequest) -> m.GetModelMetadataResponse:
        """Answer GetModelMetadata; errors as `keraserve_embedded.calls.metadata.check_fields`."""
        spec = _spec(request)
        metadata.check_fields(request)
        with self._version(spec) as version:
            return metadata.metadata(version)

    @contextmanager
    def _calling(self, request: Any) -> "Iterator[Call[Any]]":
        """Begin a call, hold its version, and tell the observer how it ended."""
        name, spec_of, begin = _CALLS[type(request)]
        began, code, model, number = time.monotonic(), Code.INTERNAL, "", 0
        try:
            with self._version(spec_of(request)) as version:
                model, number = version.model, version.number
                yield begin(version, request, self.options)
            code = Code.OK
        except EmbeddedError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            self._observer.answered(name, model, number, code, time.monotonic() - began)

    @contextmanager
    def _version(self, spec: m.ModelSpec) -> Iterator[LoadedVersion]:
        """Hold the version that a model spec means; it is not unloaded meanwhile."""
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
                asked = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
                raise NotServedError(f"Servable not found for request: {asked}")
            version.running += 1
            return version

    def _number(self, spec: m.ModelSpec) -> int | None:
        """The version that the spec names, by number or label; None for the latest."""
        if spec.HasField("version"):
            return spec.version.value
        if not spec.HasField("version_label"):
            return None
        labels = self._labels.get(spec.name)
        number = labels.version(spec.version_label) if labels else None
        if number is None:
            raise UnknownLabelError(f"Unrecognized servable version label: {spec.version_label}")
        return number

    # The engine's thread.

    def _step(self) -> None:
        """Look once: follow the configuration, the disk and the requests that have ended."""
        followed = self._follow_configuration()
        try:
            self._look(changed=followed is not None)
        finally:
            if followed:
                followed.set()

    def _look(self, *, changed: bool) -> None:
        if changed:
            self.on_change()
        changed = False
        for model in list(self._models.values()):
            changed |= model.settle(lambda: not self._stopped.is_set(), partial(self._assign_labels, model))
        if changed:
            self.on_change()
        unloaded = False
        for name, model in self._models.items():
            retired = model.end_retired()
            unloaded |= bool(retired)
            for number in (*retired, *model.forget_failed()):
                self._observer.ended(name, number)
        if unloaded:
            garbage_collection.give_back()

    def _assign_labels(self, model: Model) -> None:
        wanted = dict(model.entry.labels) if model.configured else {}
        self._labels[model.entry.name].assign(model.entry.name, wanted, model.available)

    def _follow_configuration(self) -> threading.Event | None:
        """Take the models that `configure` was given; gives what to set when they are loaded."""
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
                self._labels.setdefault(entry.name, Labels(early=self.options.early_labels))
        return followed

    def _load(self, name: str, number: int, folder: Path) -> LoadedVersion:
        began, code = time.monotonic(), Code.INTERNAL
        try:
            batching = self.options.batching
            version = LoadedVersion(name, number, folder, told=batching is not None and batching.asked)
            replayed = warm_up(version, folder, batching.allowed_batch_sizes if batching else ())
            code = Code.OK
        except EmbeddedError as error:
            code = error.code
            raise
        finally:
            self._observer.loaded(name, number, code, time.monotonic() - began)
        if replayed:
            log.info("%s %d warmed up with %d requests", name, number, replayed)
        return version


def _tasks_spec(request: m.MultiInferenceRequest) -> m.ModelSpec:
    if not request.tasks:
        raise InvalidRequestError("MultiInferenceRequest has no tasks.")
    return request.tasks[0].model_spec


def _spec(request: Any) -> m.ModelSpec:
    if not request.HasField("model_spec"):
        raise InvalidRequestError("Missing ModelSpec")
    return request.model_spec


# What answers a request, by its type: the call's name, where its model is named, and how it begins.
_CALLS: (
    "Mapping[type, tuple[str, Callable[[Any], m.ModelSpec], Callable[[Any, Any, EngineOptions], Call[Any]]]]"
)
_CALLS = {
    m.PredictRequest: (
        "Predict",
        _spec,
        lambda version, request, options: predict.predict(
            version, request, as_content=options.as_content, limits=options.limits
        ),
    ),
    m.ClassificationRequest: (
        "Classify",
        _spec,
        lambda version, request, options: classify.classify(version, request, options.limits),
    ),
    m.RegressionRequest: (
        "Regress",
        _spec,
        lambda version, request, options: classify.regress(version, request, options.limits),
    ),
    m.MultiInferenceRequest: (
        "MultiInference",
        _tasks_spec,
        lambda version, request, options: classify.multi_inference(version, request, options.limits),
    ),
}
