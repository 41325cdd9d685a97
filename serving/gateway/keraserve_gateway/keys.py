"""API keys: made, kept as hashes in a file, checked, and slowed down.

A key is `ks_<id>_<secret>`: by its id its entry is found, by the hash of the whole it is recognised. The
secret is 256 random bits, which nobody guesses; so a plain SHA-256 is enough, and costs a request nothing.
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

from keraserve_gateway.errors import MissingApiKey, ModelForbidden, RateLimited, UnknownApiKey
from keraserve_gateway.token_bucket import TokenBucket
from keraserve_gateway.watched_file import WatchedFile

_NOBODYS = "0" * 64


class Key(BaseModel):
    """One entry of the file.

    Attributes:
        name: whose it is, for the log.
        id: the public part of the key.
        sha256: of the whole key, in hexadecimal digits.
        models: those that it may be used for; None for all.
        requests_per_second: how many it may make; None for the settings' `key_requests_per_second`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: frozenset[str] | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = None

    def may_use(self, model: str) -> bool:
        """Tell whether it is good for a model."""
        return self.models is None or model in self.models


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


class Keys:
    """The keys of a file, read again whenever it changes; without a file everybody may do everything."""

    def __init__(self, path: Path | None, rate: float) -> None:
        self._required = path is not None
        self._rate = rate
        empty: Mapping[str, Key] = {}
        self._file = WatchedFile(path, read, empty)
        self._buckets: dict[str, TokenBucket] = {}

    def recognise(self, given: str | None) -> Key | None:
        """Find the entry of a key; None where no keys are asked for.

        Raises:
            MissingApiKey: none was given.
            UnknownApiKey: it is none of ours.
        """
        if not self._required:
            return None
        if not given:
            raise MissingApiKey(
                "an API key is needed: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
            )
        entry = self._file.content.get(given[3:11])
        right = hmac.compare_digest(_hash(given), entry.sha256 if entry else _NOBODYS)
        if entry is None or not right:
            raise UnknownApiKey("the API key is not known")
        return entry

    def admit(self, key: Key | None, models: Sequence[str]) -> None:
        """Let a request on some models in.

        Raises:
            ModelForbidden: the key is not good for one of them, which need not exist.
            RateLimited: the key has made too many requests.
        """
        if key is None:
            return
        for model in models:
            if not key.may_use(model):
                raise ModelForbidden(f"the API key is not good for model {model!r}")
        rate = key.requests_per_second or self._rate
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[key.id] = TokenBucket(rate)
        wait = bucket.take()
        if wait:
            raise RateLimited(
                f"more than {rate:g} requests a second with this key (requests_per_second)",
                retry_after=math.ceil(wait),
            )


def read(path: Path) -> Mapping[str, Key]:
    """Read the file: entries by id.

    Raises:
        OSError: it can't be read.
        ValueError: it is no TOML, or no list of keys; the message says what is wrong.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).keys
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {place}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    found = {entry.id: entry for entry in entries}
    if len(found) < len(entries):
        raise ValueError(f"{path}: two keys have the same id")
    return found


def make(name: str, models: Sequence[str] = (), rate: float | None = None) -> tuple[str, str]:
    """Make a key; gives it, which is stored nowhere, and its entry for the file.

    Raises:
        ValidationError: the name, or the rate, can't be one.
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
