"""API keys: how they are made, stored as hashes in a file, checked, and limited in rate.

A key is `ks_<id>_<secret>`: the id finds its entry, the hash of the whole key proves it. The secret has 256
random bits, which nobody guesses, so a plain SHA-256 is enough and costs a request nearly nothing.
"""

import hashlib
import hmac
import json
import math
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keraserve_gateway.api_keys.token_bucket import TokenBucket
from keraserve_gateway.errors import MissingApiKey, ModelForbidden, RateLimited, UnknownApiKey
from keraserve_gateway.watched_file import WatchedFile

_NO_HASH = "0" * 64


class Key(BaseModel):
    """One entry of the file.

    Attributes:
        name: of its owner, for the log.
        id: the public part of the key.
        sha256: of the whole key, in hexadecimal digits.
        models: the models that it may be used for; None for all.
        requests_per_second: its rate limit; None for the settings' `key_requests_per_second`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: frozenset[str] | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None

    def may_use(self, model: str) -> bool:
        """Return whether it may be used for a model."""
        return self.models is None or model in self.models


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


class Keys:
    """The keys of a watched file; without a file everybody may use every model."""

    def __init__(self, path: Path | None, rate: float, processes: int = 1) -> None:
        self._required = path is not None
        self._rate, self._parts = rate, processes
        self._file = WatchedFile[Mapping[str, Key]](path, read, {})
        self._buckets: dict[str, TokenBucket] = {}

    def check(self, given: str | None) -> Key | None:
        """Find the entry of a key; None if no keys are required.

        Raises:
            MissingApiKey: none was given.
            UnknownApiKey: it is not in the file.
        """
        if not self._required:
            return None
        if not given:
            raise MissingApiKey(
                "an API key is needed: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
            )
        entry = self._file.content.get(given[3:11])
        right = hmac.compare_digest(_hash(given), entry.sha256 if entry else _NO_HASH)
        if entry is None or not right:
            raise UnknownApiKey("the API key is not known")
        return entry

    def admit(self, key: Key | None, models: Sequence[str]) -> None:
        """Check that a key may be used for some models now.

        Raises:
            ModelForbidden: the key is not for one of them, which need not exist.
            RateLimited: there were too many requests with the key.
        """
        if key is None:
            return
        for model in models:
            if not key.may_use(model):
                raise ModelForbidden(f"the API key is not good for model {model!r}")
        rate = key.requests_per_second or self._rate
        bucket, part = self._buckets.get(key.id), rate / self._parts
        if bucket is None or bucket.rate != part:
            bucket = self._buckets[key.id] = TokenBucket(part)
        wait = bucket.take()
        if wait:
            raise RateLimited(
                f"more than {part:g} requests a second with this key (requests_per_second"
                + (f", {rate:g} over {self._parts} processes)" if self._parts > 1 else ")"),
                retry_after=math.ceil(wait),
            )


def read(path: Path) -> Mapping[str, Key]:
    """Read the file; return its entries by id.

    Raises:
        OSError: it can't be read.
        ValueError: it is not TOML, or not a list of keys; the message says what is wrong.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).keys
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    found = {entry.id: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError(f"{path}: two keys have the same id")
    return found


def make(name: str, models: Sequence[str] = (), rate: float | None = None) -> tuple[str, str]:
    """Make a key; returns the key, which is stored nowhere, and its entry for the file.

    Raises:
        ValidationError: the name or the rate is not valid.
    """
    key_id = secrets.token_hex(4)
    key = f"ks_{key_id}_{secrets.token_urlsafe(32)}"
    Key(name=name, id=key_id, sha256=_hash(key), requests_per_second=rate)
    lines = ["[[keys]]", f"name = {json.dumps(name)}", f'id = "{key_id}"', f'sha256 = "{_hash(key)}"']
    if models:
        lines.append(f"models = {json.dumps(list(models))}")
    if rate is not None:
        lines.append(f"requests_per_second = {rate:g}")
    return key, "\n".join(lines) + "\n"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
