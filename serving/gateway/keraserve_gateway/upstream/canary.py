"""Which version answers a request that names none: its newest, or `stable` and `canary` by shares.

The shares are in a small file, `{"<model>": <0 to 1>}`, that `keraserve-train canary`, `promote` and
`rollback` write; the labels are those of models.config. A model without a share is answered by its newest
version, as TensorFlow Serving does it.
"""

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from keraserve_gateway.upstream.configured_models import ConfiguredModels
from keraserve_gateway.watched_file import WatchedFile
from keraserve_protocol.canary import CANARY, STABLE

NEWEST = 0

Shares = Mapping[str, float]
_SHARES = TypeAdapter(dict[str, Annotated[float, Field(ge=0, le=1)]])


class Canary:
    """Chooses versions.

    Args:
        path: of the file with the shares; it need not be there.
        configured: where the labels come from.
    """

    def __init__(self, path: Path | None, configured: ConfiguredModels) -> None:
        empty: Shares = {}
        self._file = WatchedFile(path, _parse, empty, optional=True)
        self._configured = configured

    @property
    def shares(self) -> Shares:
        """The share of `canary`, by model."""
        return self._file.content

    def versions(self, model: str, sticky: str | None) -> tuple[int, ...]:
        """Give the versions to ask, in this order, until one is there; `NEWEST` is what the server thinks.

        A version may not be loaded yet, or not on every model server: then the next one answers.

        Args:
            model: its name.
            sticky: requests that give the same are answered by the same version, while the share stays;
                as it grows, they only ever move to `canary`.
        """
        share = self.shares.get(model)
        if share is None:
            return (NEWEST,)
        labels = self._configured.labels(model)
        chosen = [labels.get(STABLE, NEWEST), NEWEST]
        if _draw(model, sticky) < share and CANARY in labels:
            chosen.insert(0, labels[CANARY])
        return tuple(dict.fromkeys(chosen))


def _draw(model: str, sticky: str | None) -> float:
    """Draw from [0, 1): at random, or always the same for the same key."""
    if sticky is None:
        return random.random()  # noqa: S311 (no secret)
    digest = hashlib.blake2b(f"{model}\0{sticky}".encode(errors="replace"), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def _parse(path: Path) -> Shares:
    return _SHARES.validate_json(path.read_bytes())
