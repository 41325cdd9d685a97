"""Which models the model server should serve: read from `models.config`, or named in the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keraserve_gateway.errors import ModelServerUnavailable
from keraserve_gateway.watched_file import WatchedFile
from keraserve_protocol import model_config


@dataclass(frozen=True)
class ConfiguredModel:
    """A model that should be served, and its labels with the versions that they point to."""

    name: str
    labels: dict[str, int] = field(default_factory=dict[str, int])


Models = Mapping[str, ConfiguredModel]


class ConfiguredModels:
    """The models of a `models.config` file, read again whenever the file changes; or a fixed list.

    If the file becomes invalid or empty, the last valid one counts, as in the model server; a line is logged.
    """

    def __init__(self, path: Path | None, names: Sequence[str] = ()) -> None:
        fixed: Models = {name: ConfiguredModel(name) for name in names}
        self._file = WatchedFile(path, _parse, fixed)

    def read(self) -> tuple[ConfiguredModel, ...]:
        """List the models.

        Raises:
            ModelServerUnavailable: the file has never been readable: the first export writes it.
        """
        models = self._file.content
        if self._file.problem is not None and not models:
            reason = type(self._file.problem).__name__
            raise ModelServerUnavailable(f"the list of models can't be read: {reason}")
        return tuple(models.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Their names; none where the file could never be read."""
        return tuple(self._file.content)

    def labels(self, name: str) -> Mapping[str, int]:
        """Return the labels of a model with their versions; none of an unknown model."""
        model = self._file.content.get(name)
        return model.labels if model else {}

    def __contains__(self, name: str) -> bool:
        return name in self._file.content


def _parse(path: Path) -> Models:
    config = model_config.read(path)
    if config.WhichOneof("config") is None:
        raise model_config.ModelConfigError(f"{path} is empty, which changes nothing for the model server")
    return {
        one.name: ConfiguredModel(one.name, dict(one.version_labels))
        for one in config.model_config_list.config
    }
