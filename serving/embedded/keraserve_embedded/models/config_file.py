"""Read a models.config, and notice when it changes."""

import logging
from collections.abc import Callable
from pathlib import Path

from keraserve_embedded.errors import ConfigError
from keraserve_embedded.models.model_list import ModelEntry, from_config
from keraserve_protocol import model_config
from keraserve_protocol.model_config import ModelConfigError

log = logging.getLogger(__name__)


class ConfigFile:
    """A models.config on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._entries: list[ModelEntry] | None = None
        self._complaint = ""

    def read(self) -> list[ModelEntry]:
        """Read the models that the file lists; none if it is empty.

        Raises:
            ConfigError: the file can't be read or is wrong; the message names it.
        """
        self._entries = self._read() or []
        return self._entries

    def poll(self, apply: Callable[[list[ModelEntry]], object]) -> None:
        """Call `apply` if the file lists other models than before.

        A file that can't be read or is wrong changes nothing; that is logged once.
        """
        try:
            entries = self._read()
        except ConfigError as error:
            if str(error) != self._complaint:
                log.error("%s; the models stay as they are", error)
            self._complaint = str(error)
            return
        self._complaint = ""
        if entries is None or entries == self._entries:
            return
        self._entries = entries
        log.info("%s changed: it lists %s", self.path, ", ".join(e.name for e in entries) or "no model")
        apply(entries)

    def _read(self) -> list[ModelEntry] | None:
        try:
            return from_config(model_config.read(self.path), self.path.parent)
        except ModelConfigError as error:
            raise ConfigError(str(error)) from error
        except ConfigError as error:
            raise ConfigError(f"{self.path}: {error}") from error
