"""HandleReloadConfigRequest: other models without a restart. A wrong configuration changes nothing."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import (
    Code,
    ConfigError,
    DeadlinePassedError,
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

_LOOK_SECONDS = 0.1
TimeLeft = Callable[[], float | None]


class Reloading:
    """Follows such requests, one after the other."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """`folder` is where relative base paths start."""
        self._engine = engine
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def reload(self, request: m.ReloadConfigRequest, left: TimeLeft) -> m.ReloadConfigResponse:
        """Take the request's models in place of the present ones, and wait until they are loaded.

        Args:
            request: the whole configuration, as a models.config would have it.
            left: tells how many seconds the caller still waits; None for any.

        Raises:
            ConfigError, UnavailableLabelError: it can't be followed; nothing was changed.
            LoadError: it was followed, and a model has no version that serves.
            DeadlinePassedError: it is being followed, and that takes longer than the caller waits.
        """
        entries = self._entries(request.config)
        with self._one_at_a_time:
            self._check_labels(entries)
            log.info("told to serve %s", ", ".join(entry.name for entry in entries) or "no model")
            self._wait(self._engine.configure(entries), left)
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
                    raise UnavailableLabelError(_no_label(entry.name, version))

    def _wait(self, followed: threading.Event, left: TimeLeft) -> None:
        while not followed.wait(_LOOK_SECONDS):
            seconds = left()
            if seconds is not None and seconds <= 0:
                raise DeadlinePassedError("Deadline Exceeded: the models are still being loaded")
            if self._engine.stopping:
                raise DrainingError("the server is stopping")

    def _check_models(self, entries: Sequence[ModelEntry]) -> None:
        reports = {report.name: report for report in self._engine.models()}
        wrong = [_trouble(reports[entry.name]) for entry in entries if not reports[entry.name].available]
        if wrong:
            listed = "".join(f"{{{one}}}, " for one in wrong)
            raise LoadError(f"{len(wrong)} model(s) did not become available: {{{listed}}}", Code.UNKNOWN)
        for entry in entries:
            for label, version in entry.labels.items():
                if reports[entry.name].labels.get(label) != version:
                    raise UnavailableLabelError(_no_label(entry.name, version))


def _trouble(report: ModelReport) -> str:
    failed = [version for version in report.versions if version.code != Code.OK]
    if not failed:
        return f"{{name: {report.name}}} due to error: {report.problem or 'no version to serve'}"
    worst = max(failed, key=lambda version: version.number)
    name = f"{{name: {report.name} version: {worst.number}}}"
    return f"{name} due to error: {worst.code.name}: {worst.message}"


def _no_label(model: str, version: int) -> str:
    return (
        f"Request to assign label to version {version} of model {model}, "
        "which is not currently available for inference"
    )
