"""Which models there should be: read from `models.config`, or named in the settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from keraserve_gateway.errors import ModelServerAway
from keraserve_protocol import model_config


@dataclass(frozen=True)
class ConfiguredModel:
    """A model that should be served, and its labels with the versions that they point to."""

    name: str
    labels: dict[str, int] = field(default_factory=dict[str, int])


class ConfiguredModels:
    """The models of a `models.config` file, read again whenever the file changes; or a fixed list.

    A file that breaks while the gateway runs changes nothing: the last good one counts, and the log says
    so. (The model server does the same.)
    """

    def __init__(self, path: Path | None, names: Sequence[str] = ()) -> None:
        self._path = path
        self._models = tuple(ConfiguredModel(name) for name in names)
        self._seen: tuple[int, int, int] | None = None
        self._problem: str | None = None

    def read(self) -> tuple[ConfiguredModel, ...]:
        """List the models.

        Raises:
            ModelServerAway: the file can't be read, and never could: it is written by the first export.
        """
        self._refresh()
        if self._problem is not None and not self._models:
            raise ModelServerAway(self._problem)
        return self._models

    def __contains__(self, name: str) -> bool:
        self._refresh()
        return any(model.name == name for model in self._models)

    def _refresh(self) -> None:
        path = self._path
        if path is None:
            return
        try:
            stat = path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            config = model_config.read(path)
        except (OSError, model_config.ModelConfigError) as error:
            if self._problem is None:
                structlog.get_logger().warning("models.config can't be read", reason=str(error))
            self._problem = f"the list of models can't be read: {error.__class__.__name__}"
            return
        self._seen, self._problem = seen, None
        self._models = tuple(
            ConfiguredModel(one.name, dict(one.version_labels)) for one in config.model_config_list.config
        )
