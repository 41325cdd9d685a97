"""The engine: TensorFlow Serving's calls as methods of one object, without a network.

The gRPC and REST APIs call these methods, and need nothing else.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keraserve_embedded.batching.batcher import Batcher, run_unbatched
from keraserve_embedded.batching.event_loop import EventLoopBatcher
from keraserve_embedded.batching.options import BatchingOptions, read_of_version
from keraserve_embedded.calls import classify, metadata, predict
from keraserve_embedded.calls.request_limits import CallOptions
from keraserve_embedded.calls.work import Call, finish, finish_async
from keraserve_embedded.deadline import Deadline
from keraserve_embedded.errors import Code, EmbeddedError, InternalError, InvalidRequestError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.manager import ModelManager
from keraserve_embedded.models.model import ModelReport
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.signature import Origin
from keraserve_embedded.observer import Observer
from keraserve_embedded.runtime_choice import Wanted, WarmUp, choose
from keraserve_embedded.runtimes import Precision, Runtime
from keraserve_embedded.warmup import warm_up
from keraserve_protocol import messages as m

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions(CallOptions):
    """The options of an engine.

    Attributes:
        poll_seconds: the time between two looks for new versions; 0: it looks once.
        early_labels: a new label may name a version that is not available yet.
        batching: merge requests that wait at the same time; None runs each alone, on its caller's thread.
        runtime: what runs the networks; `auto`: the faster one, measured for each version.
        bfloat16: TensorFlow computes convolutions and matrix products in bfloat16.
        precision: of OpenVINO's networks, where a version's card allows it.
    """

    poll_seconds: float = 1.0
    early_labels: bool = False
    batching: BatchingOptions | None = None
    runtime: Runtime = "tensorflow"
    bfloat16: bool = False
    precision: Precision = "float32"


class Engine:
    """Serves the models that `start` and `configure` name, from the versions on disk.

    Any thread may call its methods; loading and unloading happen on a thread of the engine.

    Attributes:
        options: those that it was made with.
        on_change: called after the state of a model, or of the batching threads, has changed.
    """

    def __init__(self, options: EngineOptions | None = None, observer: Observer | None = None) -> None:
        self.options = options or EngineOptions()
        self._observer = observer or Observer()
        batching = self.options.batching
        self._batcher = Batcher(batching, self._observer) if batching else None
        self.on_change: Callable[[], None] = lambda: None
        if self._batcher:
            self._batcher.on_loss = lambda: self.on_change()
        self._manager = ModelManager(
            self._load,
            self.options.poll_seconds,
            early_labels=self.options.early_labels,
            observer=self._observer,
            on_change=lambda: self.on_change(),
        )

    # Start and stop.

    def start(self, entries: Sequence[ModelEntry]) -> bool:
        """Load the models and wait until each has a version that serves, as TensorFlow Serving does.

        A model whose folder or versions are not there yet is waited for.

        Returns:
            Whether all serve; False where `stop` came first.

        Raises:
            StartError: a version can't be loaded; or nothing is there and `poll_seconds` is 0.
        """
        return self._manager.start(entries, self.ready)

    def configure(self, entries: Sequence[ModelEntry]) -> threading.Event:
        """Replace the models by these; the engine's thread loads them at once.

        Returns:
            An event that is set when it has tried to load all of them.
        """
        return self._manager.configure(entries)

    def interrupt(self) -> None:
        """Look for no more versions, and end `start` early. Does not wait: a signal handler may call it."""
        self._manager.interrupt()

    def stop(self) -> None:
        """Look for no more versions, and wait until the engine's threads have ended.

        Requests that wait for a batch are cancelled; those that run are completed.
        """
        self._manager.stop()
        if self._batcher:
            self._batcher.stop()

    # State.

    @property
    def stopping(self) -> bool:
        """Whether it looks for no more versions."""
        return self._manager.stopping

    def ready(self) -> bool:
        """Whether every configured model has a version that serves, and every batching thread runs."""
        running, wanted = self.batch_threads()
        return running == wanted and self._manager.ready()

    def batch_threads(self) -> tuple[int, int]:
        """Return how many batching threads run, and how many there should be; none without batching."""
        return self._batcher.threads() if self._batcher else (0, 0)

    def waiting(self) -> Mapping[Origin, int]:
        """Return how many rows wait for a batch, by signature."""
        return self._batcher.waiting() if self._batcher else {}

    def knows(self, name: str) -> bool:
        """Whether a model of this name is, or was, configured."""
        return self._manager.knows(name)

    def models(self) -> list[ModelReport]:
        """Report the state of every model and its versions."""
        return self._manager.reports()

    def status(self, request: m.GetModelStatusRequest) -> m.GetModelStatusResponse:
        """Run GetModelStatus: of all versions, or of the one that a number or a label names.

        Errors as `keraserve_embedded.calls.metadata.status`, UnknownLabelError, and InternalError if batching
        threads have ended, as AVAILABLE means to a client that the model responds.
        """
        spec = _spec(request)
        running, wanted = self.batch_threads()
        if running < wanted:
            raise InternalError(f"only {running} of {wanted} threads for batches run: restart this server")
        with self._manager.find(spec) as (model, number):
            if model is None:
                return metadata.status(spec.name, number, {})
            return metadata.status(spec.name, number, model.versions, model.problem)

    # Requests. If the model spec names no version that serves, all raise NotServedError, UnknownLabelError or
    # InvalidRequestError; if `deadline` ends first, DeadlineExceededError or RequestCancelledError; with
    # batching, as `keraserve_embedded.batching.batcher.Batcher.submit`.

    def predict(self, request: m.PredictRequest, deadline: Deadline | None = None) -> m.PredictResponse:
        """Run Predict; errors as `keraserve_embedded.calls.predict.predict`."""
        return self._respond(request, deadline)

    def classify(
        self, request: m.ClassificationRequest, deadline: Deadline | None = None
    ) -> m.ClassificationResponse:
        """Run Classify; errors as `keraserve_embedded.calls.classify.classify`."""
        return self._respond(request, deadline)

    def regress(self, request: m.RegressionRequest, deadline: Deadline | None = None) -> m.RegressionResponse:
        """Run Regress; errors as `keraserve_embedded.calls.classify.regress`."""
        return self._respond(request, deadline)

    def multi_inference(
        self, request: m.MultiInferenceRequest, deadline: Deadline | None = None
    ) -> m.MultiInferenceResponse:
        """Run MultiInference; errors as `keraserve_embedded.calls.classify.multi_inference`."""
        return self._respond(request, deadline)

    def event_loop_batcher(self) -> EventLoopBatcher:
        """Make the batcher that `respond` needs in the running event loop; the engine must have batching."""
        assert self._batcher is not None  # noqa: S101 - the caller configured batching
        return EventLoopBatcher(self._batcher)

    async def respond(self, request: Any, batcher: EventLoopBatcher) -> Any:
        """Run any of these four requests in the event loop of `batcher`, without blocking it.

        Cancelling the task takes the request out of the queue.
        """
        with self._calling(request) as call:
            return await finish_async(call, batcher.run)

    def _respond(self, request: Any, deadline: Deadline | None) -> Any:
        with self._calling(request) as call:
            if self._batcher is None:
                return finish(call, lambda work: run_unbatched(work, self._observer))
            batcher, deadline = self._batcher, deadline or Deadline()
            return finish(call, lambda work: deadline.result(batcher.submit(work)))

    def inputs(self, spec: m.ModelSpec, signature: str) -> Mapping[str, m.TensorInfo]:
        """Look up the inputs of a signature.

        Raises:
            InvalidRequestError: the model has none of this name.
        """
        with self._manager.hold(spec) as version:
            return metadata.inputs(version, signature)

    def metadata(self, request: m.GetModelMetadataRequest) -> m.GetModelMetadataResponse:
        """Run GetModelMetadata; errors as `keraserve_embedded.calls.metadata.check_fields`."""
        spec = _spec(request)
        metadata.check_fields(request)
        with self._manager.hold(spec) as version:
            return metadata.metadata(version)

    @contextmanager
    def _calling(self, request: Any) -> "Iterator[Call[Any]]":
        """Begin a call, hold its version, and report its end to the observer."""
        name, spec_of, begin = _CALLS[type(request)]
        began, code, model, number = time.monotonic(), Code.INTERNAL, "", 0
        try:
            with self._manager.hold(spec_of(request)) as version:
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
            self._observer.call_ended(name, model, number, code, time.monotonic() - began)

    def _load(self, name: str, number: int, folder: Path) -> LoadedVersion:
        began, code = time.monotonic(), Code.INTERNAL
        try:
            batching = self.options.batching
            if batching and not batching.explicit:
                batching = read_of_version(folder, batching) or batching
            version = LoadedVersion(
                name,
                number,
                folder,
                assume_independent=batching is not None and batching.explicit,
                bfloat16=self.options.bfloat16,
            )
            warm = WarmUp()
            replayed = warm_up(version, folder, batching.allowed_batch_sizes if batching else (), warm.add)
            choose(version, folder, Wanted(self.options.runtime, self.options.precision, batching), warm)
            if self._batcher and batching:
                self._batcher.set_options(version.signatures.values(), batching)
            code = Code.OK
        except EmbeddedError as error:
            code = error.code
            raise
        finally:
            self._observer.version_loaded(name, number, code, time.monotonic() - began)
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


# The calls that run a graph, by the type of their request: the call's name, where its model is named, and the
# generator that runs it.
_CALLS: Mapping[type, tuple[str, Callable[[Any], m.ModelSpec], Callable[..., Call[Any]]]] = {
    m.PredictRequest: ("Predict", _spec, predict.predict),
    m.ClassificationRequest: ("Classify", _spec, classify.classify),
    m.RegressionRequest: ("Regress", _spec, classify.regress),
    m.MultiInferenceRequest: ("MultiInference", _tasks_spec, classify.multi_inference),
}
