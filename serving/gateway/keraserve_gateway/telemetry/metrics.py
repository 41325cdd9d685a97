"""Prometheus metrics, in a registry for each application; those of all `workers` together, if there are."""

import os
from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder into which several processes write their metrics."""

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics. `model` and `version` are empty if they are unknown or do not exist."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "keraserve_gateway_requests",
            "Requests for models, by protocol (http or grpc), model, version and status.",
            ["protocol", "model", "version", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "keraserve_gateway_request_seconds",
            "Seconds from the first byte of a request for a model to the last of its response.",
            ["protocol", "model", "version"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "keraserve_gateway_requests_in_flight",
            "Requests being processed now, HTTP and gRPC.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.waiting = Gauge(
            "keraserve_gateway_requests_waiting",
            "Requests that wait for a slot.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.rejected = Counter(
            "keraserve_gateway_rejected",
            "Requests that the gateway itself rejected or gave up, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "keraserve_gateway_connections",
            "Open connections, by protocol (http or grpc).",
            ["protocol"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.connections_ended = Counter(
            "keraserve_gateway_connections_ended",
            "Connections that the gateway closed, by protocol and reason: idle, for new ones when as many"
            " are open as are allowed; unread, as a response was not read.",
            ["protocol", "reason"],
            registry=self.registry,
        )
        self.canary_share = Gauge(
            "keraserve_gateway_canary_share",
            "Share of a model's requests without a version that go to its canary.",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.model_server_up = Gauge(
            "keraserve_gateway_model_server_up",
            "Whether the model server is connected and responds: 1 or 0.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.images = Counter(
            "keraserve_gateway_images",
            "Images classified.",
            ["model", "version"],
            registry=self.registry,
        )

        self._series: dict[tuple[str, str, str, str], tuple[Counter, Histogram]] = {}
        self._images: dict[tuple[str, str], Counter] = {}
        self._versions: dict[str, set[str]] = {}  # by model
        self._shown, self._canaries = self.registry, set[str]()
        self._several = bool(os.environ.get(FOLDER))  # processes, whose series can't be removed
        if self._several:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)

    def observe(
        self, protocol: str, model: str, version: str, code: str, seconds: float, images: int = 0
    ) -> None:
        """Count a finished request, and the images that were classified for it."""
        found = self._series.get((protocol, model, version, code))
        if found is None:  # kept, as finding them by their labels takes longer than counting
            requests = self.requests.labels(protocol, model, version, code)
            found = requests, self.seconds.labels(protocol, model, version)
            self._versions.setdefault(model, set()).add(version)
            self._series[protocol, model, version, code] = found
        found[0].inc()
        found[1].observe(seconds)
        if images:
            counted = self._images.get((model, version))
            if counted is None:
                counted = self._images[model, version] = self.images.labels(model, version)
            counted.inc(images)

    def set_canaries(self, shares: Mapping[str, float]) -> None:
        """Set each canary's share, by model, and forget the others."""
        if not self._several:
            self.canary_share.clear()
        for model in shares if not self._several else self._canaries | shares.keys():
            self.canary_share.labels(model).set(shares.get(model, 0.0))
        self._canaries.update(shares)

    def versions(self) -> dict[str, set[str]]:
        """Return the versions that have series, by model."""
        named = {model: versions - {""} for model, versions in self._versions.items()}
        return {model: versions for model, versions in named.items() if versions}

    def forget(self, model: str, version: str) -> None:
        """Remove the series of a version that has ended; if it is requested again, they begin at 0.

        Those of several processes stay.
        """
        if self._several:
            return
        self._versions.get(model, set()).discard(version)
        self._images.pop((model, version), None)
        _remove(self.images, model, version)
        for series in [one for one in self._series if one[1:3] == (model, version)]:
            del self._series[series]
            _remove(self.requests, *series)
            _remove(self.seconds, *series[:3])

    def render(self) -> bytes:
        """Render all metrics in Prometheus' text format."""
        return generate_latest(self._shown)


def _remove(metric: Counter | Histogram, *labels: str) -> None:
    """Remove a series, if it is still there: several codes share a histogram."""
    with suppress(KeyError):
        metric.remove(*labels)
