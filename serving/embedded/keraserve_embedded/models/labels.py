"""Version labels: names that requests may use in place of a version's number."""

import logging
from collections.abc import Collection

log = logging.getLogger(__name__)


class Labels:
    """The labels of one model.

    A label moves to another version when that version is available. A new label may name a version that is
    not available yet only if `early` is set.
    """

    def __init__(self, *, early: bool) -> None:
        self._early = early
        self._versions: dict[str, int] = {}
        self._waiting: set[tuple[str, int]] = set()

    def version(self, label: str) -> int | None:
        """Return the version that the label names now."""
        return self._versions.get(label)

    def all(self) -> dict[str, int]:
        """Return the version that each label names now."""
        return dict(self._versions)

    def assign(self, model: str, wanted: dict[str, int], available: Collection[int]) -> None:
        """Assign the labels of `model` as in `wanted`, if their versions are available."""
        assigned: dict[str, int] = {}
        for label, version in wanted.items():
            now = self._versions.get(label)
            if version in available or now == version or (self._early and now is None):
                assigned[label] = version
                self._waiting.discard((label, version))
                if now != version:
                    log.info("%s: label %s is version %d", model, label, version)
                continue
            if now is not None:
                assigned[label] = now
            if (label, version) not in self._waiting:
                self._waiting.add((label, version))
                log.warning(
                    "%s: label %s waits for version %d, which is not available for inference",
                    model, label, version,
                )  # fmt: skip
        self._versions = assigned
