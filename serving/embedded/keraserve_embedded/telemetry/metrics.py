"""Prometheus metrics: TensorFlow Serving's under its names, and our own by version."""

import re
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import Code
from keraserve_embedded.models.model import State
from keraserve_embedded.observer import Observer
from keraserve_embedded.telemetry.version_series import VersionSeries

# TensorFlow Serving's buckets, in microseconds: from 10, each 1.8 times the one before.
_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
_POWERS_OF_2 = tuple(2**power for power in range(14))
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# TensorFlow Serving's counters have no `_total`, which the library adds to every counter.
_ADDED_TOTAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?:tensorflow:[\w:]+)_total\b", re.MULTILINE)
_CREATED = re.compile(rb"^(?:# (?:HELP|TYPE) )?[\w:]+_created\b.*\n", re.MULTILINE)


class Metrics(Observer):
    """Counts the events of an engine and its APIs.

    A model's name that was never configured becomes "", so that callers can't create series. The series of a
    version are removed when it has ended.
    """

    CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._knows: Callable[[str], bool] = lambda _: False
        self._series = VersionSeries()
        self._runtimes: dict[tuple[str, str], Histogram] = {}
        self._declare_tensorflow_servings()
        self._declare_own()

    def _declare_tensorflow_servings(self) -> None:
        model, path = "model_name", "model_path"
        self._request_count = self._counter(":tensorflow:serving:request_count", "Requests.", model, "status")
        self._request_latency = self._microseconds(
            ":tensorflow:serving:request_latency", "Time of successful requests.", model, "API", "entrypoint"
        )
        self._runtime_latency = self._microseconds(
            ":tensorflow:serving:runtime_latency", "Time in the engine.", model, "API", "runtime"
        )
        self._batch_size = self._rows(
            ":tensorflow:serving:batching_session:processed_batch_size", "Rows of the batches that ran."
        )
        self._load_attempts = self._counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "Versions tried.", path, "status"
        )
        self._load_latency = self._counter(
            ":tensorflow:cc:saved_model:load_latency", "Microseconds that loading took.", path
        )

    def _declare_own(self) -> None:
        version = ("model_name", "version")
        self._responses = self._counter("keraserve_requests", "Requests.", *version, "API", "status")
        self._response_seconds = self._seconds(
            "keraserve_request_seconds", "Time in the engine, waiting for a batch included.", *version, "API"
        )
        self._run_seconds = self._seconds(
            "keraserve_run_seconds", "Time of one run of the graph.", *version, "signature"
        )
        self._batch_rows = self._rows(
            "keraserve_batch_rows", "Rows of the batches that ran, padding included.", *version, "signature"
        )

    def watch(self, engine: Engine) -> None:
        """Show the state of this engine's models, and count requests by their names."""
        self._knows = engine.knows
        self.registry.register(_StateCollector(engine))

    def request_ended(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """The gRPC or REST API has responded to one request."""
        name = model if self._knows(model) else ""
        self._request_count.labels(name, code.name).inc()
        if code == Code.OK:
            self._request_latency.labels(name, api, entrypoint).observe(seconds * 1e6)

    def call_ended(self, call: str, model: str, version: int, code: Code, seconds: float) -> None:
        """The engine has responded to one request, or it failed."""
        if not model:
            self._responses.labels("", "", call, code.name).inc()
            return
        number, find = str(version), self._series.find
        if responses := find(model, version, self._responses, model, number, call, code.name):
            responses.inc()
        if code != Code.OK:
            return
        if times := find(model, version, self._response_seconds, model, number, call):
            times.observe(seconds)
        self._runtime_of(model, call).observe(seconds * 1e6)

    def _runtime_of(self, model: str, call: str) -> Histogram:
        """Find the series of successful calls; a look-up by labels takes longer than counting."""
        found = self._runtimes.get((model, call))
        if found is None:
            found = self._runtimes[model, call] = self._runtime_latency.labels(model, call, "TF2")
        return found

    def graph_ran(
        self, model: str, version: int, signature: str, requests: int, rows: int, seconds: float
    ) -> None:
        """A graph ran once."""
        del requests
        labels = (model, str(version), signature)
        if times := self._series.find(model, version, self._run_seconds, *labels):
            times.observe(seconds)
        if not rows:
            return
        if sizes := self._series.find(model, version, self._batch_rows, *labels):
            sizes.observe(rows)
        self._batch_size.observe(rows)

    def version_loaded(self, model: str, version: int, code: Code, seconds: float) -> None:
        """A version was loaded and warmed up, or failed to."""
        self._series.begin(model, version)
        path, good = f"{model}/{version}", code == Code.OK
        if attempts := self._series.find(
            model, version, self._load_attempts, path, "success" if good else "fail"
        ):
            attempts.inc()
        if good and (latency := self._series.find(model, version, self._load_latency, path)):
            latency.inc(seconds * 1e6)

    def version_ended(self, model: str, version: int) -> None:
        """A version was unloaded; or the folder of one that failed to load is gone."""
        self._series.end(model, version)

    def page(self) -> bytes:
        """Write the metrics in Prometheus' text format."""
        written = _CREATED.sub(b"", generate_latest(self.registry))
        return _ADDED_TOTAL.sub(rb"\1", written)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _microseconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_MICROSECONDS)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_SECONDS)

    def _rows(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=_POWERS_OF_2)


class _StateCollector(Collector):
    """Collects the present state of the models and their versions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        available = _gauge("keraserve_model_available", "1: a version serves, 0: none does.", "model_name")
        states = _gauge(
            "keraserve_version_state", "1 for the state of a version.", "model_name", "version", "state"
        )
        failed = _gauge("keraserve_version_failed", "1: it can't be loaded.", "model_name", "version", "code")
        labels = _gauge("keraserve_label_version", "What a label means.", "model_name", "label")
        waiting = _gauge(
            "keraserve_waiting_rows", "Rows that wait for a batch.", "model_name", "version", "signature"
        )
        for report in self._engine.models():
            if not report.configured:
                continue
            available.add_metric([report.name], float(report.available))
            for one in report.versions:
                number = str(one.number)
                if one.code != Code.OK:
                    failed.add_metric([report.name, number, one.code.name], 1)
                elif one.state != State.END:
                    states.add_metric([report.name, number, one.state.name], 1)
            for label, version in report.labels.items():
                labels.add_metric([report.name, label], version)
        for origin, rows in self._engine.waiting().items():
            waiting.add_metric([origin.model, str(origin.version), origin.signature], rows)
        threads = _gauge("keraserve_batch_threads", "Threads that run batches.")
        threads.add_metric([], self._engine.batch_threads()[0])
        return (available, states, failed, labels, waiting, threads)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
