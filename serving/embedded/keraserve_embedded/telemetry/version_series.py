"""The metric series of one version; they are removed when it has ended.

Without that, a server that gets a new version every day would show all of them for ever.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

Labels = tuple[str, ...]


@dataclass
class _Series:
    children: dict[tuple[Any, Labels], Any] = field(default_factory=dict[tuple[Any, Labels], Any])


class VersionSeries:
    """Finds series by labels, and stores which version they belong to. From any thread.

    Only versions between `begin` and `end` have series: a request that ends after its version is counted
    nowhere, so that nothing comes back.
    """

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], _Series] = {}
        self._lock = threading.Lock()

    def begin(self, model: str, version: int) -> None:
        """A version may have series from now on."""
        with self._lock:
            self._versions.setdefault((model, version), _Series())

    def end(self, model: str, version: int) -> None:
        """Remove the series of a version."""
        with self._lock:
            series = self._versions.pop((model, version), None)
            for metric, labels in series.children if series else ():
                metric.remove(*labels)

    def find(self, model: str, version: int, metric: Any, *labels: str) -> Any:
        """Give the series of a version that has these labels; None where the version has ended."""
        series = self._versions.get((model, version))
        if series is None:
            return None
        found = series.children.get((metric, labels))
        return found if found is not None else self._make(model, version, metric, labels)

    def _make(self, model: str, version: int, metric: Any, labels: Labels) -> Any:
        with self._lock:
            series = self._versions.get((model, version))
            if series is None:
                return None
            child = series.children[metric, labels] = metric.labels(*labels)
            return child
