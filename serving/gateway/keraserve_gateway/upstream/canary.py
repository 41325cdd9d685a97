"""Chooses the version for a request that names none: the newest, or `stable` and `canary` by shares.

The shares are in a small file, `{"<model>": <0 to 1>}`, that `keraserve-train canary`, `promote` and
`rollback` write; the labels are those of models.config. Without a share, a model's newest version gets the
requests, as in TensorFlow Serving.
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

Shares = Mapping[str, float]
_SHARES = TypeAdapter(dict[str, Annotated[float, Field(ge=0, le=1)]])


class Canary:
    """Chooses versions.

    Args:
        path: of the file with the shares, which may be missing.
        configured: has the labels.
    """

    def __init__(self, path: Path | None, configured: ConfiguredModels) -> None:
        empty: Shares = {}
        self._file = WatchedFile(path, _parse, empty, optional=True)
        self._configured = configured

    @property
    def shares(self) -> Shares:
        """The share of `canary`, by model."""
        return self._file.content

    def versions(self, model: str, sticky: str | None) -> tuple[int | None, ...]:
        """Return the versions to try in this order; None lets the model server choose.

        A version may not be loaded yet, or not on every model server: then the next one is tried.

        Args:
            model: its name.
            sticky: requests with the same key get the same version while the share stays; as the share grows,
                they only ever move to `canary`.
        """
        share = self.shares.get(model)
        if share is None:
            return (None,)
        labels = self._configured.labels(model)
        chosen: list[int | None] = [labels.get(STABLE), None]
        if _draw(model, sticky) < share and CANARY in labels:
            chosen.insert(0, labels[CANARY])
        return tuple(dict.fromkeys(chosen))


def _draw(model: str, sticky: str | None) -> float:
    """Draw a number from [0, 1): at random, or always the same one for the same key."""
    if sticky is None:
        return random.random()  # noqa: S311 (no secret)
    digest = hashlib.blake2b(f"{model}\0{sticky}".encode(errors="replace"), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def _parse(path: Path) -> Shares:
    return _SHARES.validate_json(path.read_bytes())
