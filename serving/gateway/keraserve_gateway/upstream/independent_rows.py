"""Which versions answer each row of a batch as if it were alone: only for those requests may leave together.

A version that `keraserve-train export` wrote has a signature `model_card` that gives its card, with what its
exporter measured. Of any other nothing is known.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from keraserve_gateway import errors
from keraserve_gateway.upstream.card_signature import ASK_SECONDS, OUTPUT, SIGNATURE
from keraserve_protocol import messages as m
from keraserve_protocol.elements import unpack

Predict = Callable[[m.PredictRequest, float], Awaitable[m.PredictResponse]]

_AGAIN_SECONDS = 30.0  # until a model that is not known to have independent rows is asked again
_MOST = 1024  # models, versions and labels that are remembered


@dataclass(frozen=True)
class _Known:
    """A version whose rows are independent; 0 for none, to be asked again at that time."""

    version: int
    until: float


class IndependentRows:
    """Knows, or asks beside the requests. Of one event loop."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def version(self, spec: m.ModelSpec) -> int:
        """Give the version that a model spec meant when it was asked, if its rows are independent; else 0.

        It may mean another one by now: the answer says which it was, see `forget`.
        """
        key = _key(spec)
        known = self._known.get(key)
        if (known is None or known.until < time.monotonic()) and key not in self._asking:
            self._asking[key] = asyncio.create_task(self._ask(key))
        return known.version if known else 0

    def forget(self, spec: m.ModelSpec) -> None:
        """Ask again: another version has answered."""
        self._known.pop(_key(spec), None)

    async def _ask(self, key: bytes) -> None:
        spec = m.ModelSpec.FromString(key)
        spec.signature_name = SIGNATURE
        request = m.PredictRequest(model_spec=spec, output_filter=[OUTPUT])
        found = _Known(0, time.monotonic() + _AGAIN_SECONDS)
        try:
            response = await self._predict(request, ASK_SECONDS)
            if OUTPUT in response.outputs and _says_so(unpack(response.outputs[OUTPUT])[0]):
                found = _Known(response.model_spec.version.value, float("inf"))
        except (errors.GatewayError, ValueError, IndexError, TypeError, RecursionError):
            pass  # no card, one that can't be read, or nobody there
        finally:
            del self._asking[key]
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = found


def _key(spec: m.ModelSpec) -> bytes:
    without = m.ModelSpec()
    without.CopyFrom(spec)
    without.signature_name = ""
    return without.SerializeToString(deterministic=True)


def _says_so(content: Any) -> bool:
    card: Any = json.loads(content)
    return isinstance(card, dict) and cast(dict[str, Any], card).get("independent_rows") is True
