"""HandleReloadConfigRequest: replace the list of models without a restart. A wrong list changes nothing."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from keraserve_embedded.deadline import Deadline
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import (
    Code,
    ConfigError,
    DeadlineExceededError,
    DrainingError,
    LoadError,
    UnavailableLabelError,
)
from keraserve_embedded.models.model import ModelReport
from keraserve_embedded.models.model_list import ModelEntry, from_config
from keraserve_protocol import messages as m
from keraserve_protocol import model_config
from keraserve_protocol.model_config import ModelConfigError

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


class ConfigReloader:
    """Replaces the configuration of an engine, one request after the other."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """`folder` is where relative base paths start."""
        self._engine = engine
        self._folder = folder
        self._lock = threading.Lock()

    def reload(self, request: m.ReloadConfigRequest, deadline: Deadline) -> m.ReloadConfigResponse:
        """Replace the models by those of the request, and wait until they are loaded.

        Args:
            request: the whole configuration, as in a models.config.
            deadline: until when the caller waits.

        Raises:
            ConfigError, UnavailableLabelError: it is wrong, and nothing was changed.
            LoadError: it was applied, but a model has no version that serves.
            DeadlineExceededError: it is being applied, and that takes longer than the caller waits.
        """
        entries = self._entries(request.config)
        with self._lock:
            self._check_labels(entries)
            log.info("a reload request lists %s", ", ".join(entry.name for entry in entries) or "no model")
            self._wait(self._engine.configure(entries), deadline)
            self._check_models(entries)
        return m.ReloadConfigResponse(status=m.StatusProto())

    def _entries(self, config: m.ModelServerConfig) -> list[ModelEntry]:
        try:
            model_config.check(config)
        except ModelConfigError as error:
            raise ConfigError(str(error)) from error
        if config.WhichOneof("config") != "model_config_list":
            raise ConfigError(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        return from_config(config, self._folder) or []

    def _check_labels(self, entries: Sequence[ModelEntry]) -> None:
        reports = {report.name: report for report in self._engine.models()}
        for entry in entries:
            report = reports.get(entry.name)
            allowed = entry.aspired() | (report.serving if report else set())
            for label, version in entry.labels.items():
                now = report.labels.get(label) if report else None
                early = self._engine.options.early_labels and now is None
                if not (version in allowed or version == now or early):
                    raise UnavailableLabelError(_unavailable(entry.name, version))

    def _wait(self, followed: threading.Event, deadline: Deadline) -> None:
        while not followed.wait(_POLL_SECONDS):
            if deadline.seconds_left() == 0:
                raise DeadlineExceededError("Deadline Exceeded: the models are still being loaded")
            if self._engine.stopping:
                raise DrainingError("the server is stopping")

    def _check_models(self, entries: Sequence[ModelEntry]) -> None:
        reports = {report.name: report for report in self._engine.models()}
        failures = [_failure(reports[entry.name]) for entry in entries if not reports[entry.name].available]
        if failures:
            listed = "".join(f"{{{one}}}, " for one in failures)
            raise LoadError(f"{len(failures)} model(s) did not become available: {{{listed}}}", Code.UNKNOWN)
        for entry in entries:
            for label, version in entry.labels.items():
                if reports[entry.name].labels.get(label) != version:
                    raise UnavailableLabelError(_unavailable(entry.name, version))


def _failure(report: ModelReport) -> str:
    failed = [version for version in report.versions if version.code != Code.OK]
    if not failed:
        return f"{{name: {report.name}}} due to error: {report.problem or 'no version to serve'}"
    worst = max(failed, key=lambda version: version.number)
    name = f"{{name: {report.name} version: {worst.number}}}"
    return f"{name} due to error: {worst.code.name}: {worst.message}"


def _unavailable(model: str, version: int) -> str:
    return (
        f"Request to assign label to version {version} of model {model}, "
        "which is not currently available for inference"
    )
