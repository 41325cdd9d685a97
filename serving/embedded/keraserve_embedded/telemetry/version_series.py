"""The metric series of each version, which are removed when it has ended.

Otherwise a server that gets a new version every day would show all of them until it is restarted.
"""

import threading
from typing import Any

Labels = tuple[str, ...]


class VersionSeries:
    """Finds series by labels, and stores which version they belong to. From any thread.

    Only versions between `begin` and `end` have series: a request that ends after its version is not counted,
    as it would create a series that nothing removes.
    """

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], dict[tuple[Any, Labels], Any]] = {}
        self._lock = threading.Lock()

    def begin(self, model: str, version: int) -> None:
        """A version may have series from now on."""
        with self._lock:
            self._versions.setdefault((model, version), {})

    def end(self, model: str, version: int) -> None:
        """Remove the series of a version."""
        with self._lock:
            for metric, labels in self._versions.pop((model, version), ()):
                metric.remove(*labels)

    def find(self, model: str, version: int, metric: Any, *labels: str) -> Any:
        """Return the series of a version with these labels; None if the version has ended."""
        series = self._versions.get((model, version))
        if series is None:
            return None
        found = series.get((metric, labels))
        return found if found is not None else self._make(model, version, metric, labels)

    def _make(self, model: str, version: int, metric: Any, labels: Labels) -> Any:
        with self._lock:
            series = self._versions.get((model, version))
            if series is None:
                return None
            return series.setdefault((metric, labels), metric.labels(*labels))
