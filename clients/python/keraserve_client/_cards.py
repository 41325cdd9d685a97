"""What versions warn of, read over gRPC from their model cards: once for each version. No I/O."""

import json
import time
from typing import Any

from keraserve_client._errors import KeraserveError
from keraserve_client._rpc import Rpc
from keraserve_client._steps import Beside, Plan
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.signatures import CARD_OUTPUT, MODEL_CARD
from keraserve_protocol.tensors import TensorError, from_proto

_SECONDS = 1.0  # that a response waits for the card of its version, at most
_AGAIN_SECONDS = 30.0  # until a server that had no time for it is asked again
_WITHOUT_CARD = {400, 501}  # what somebody else's model answers: it has no such signature
_MOST = 1024  # versions that are remembered
_Version = tuple[str, int]


class Cards:
    """The warnings of every version that answered this client."""

    def __init__(self) -> None:
        self._known: dict[_Version, tuple[str, ...]] = {}
        self._not_before: dict[_Version, float] = {}

    def warnings(self, model: str, version: int) -> Plan[Rpc, m.Message, tuple[str, ...]]:
        """Give the warnings of a version; none where it has no card, or while none is to be had."""
        key = model, version
        if key in self._known or version < 1 or time.monotonic() < self._not_before.get(key, 0.0):
            return self._known.get(key, ())
        # One output of several: so TensorFlow Serving takes a request without inputs under batching too.
        spec = m.model_spec(model, version=version, signature=MODEL_CARD)
        request = m.PredictRequest(model_spec=spec, output_filter=[CARD_OUTPUT])
        try:
            response = yield Beside(Rpc(services.PREDICT, request), _SECONDS)
            found = _read(response) if isinstance(response, m.PredictResponse) else ()
        except KeraserveError as error:
            if error.status_code not in _WITHOUT_CARD:
                self._not_before[key] = time.monotonic() + _AGAIN_SECONDS
                return ()
            found = ()
        while len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)), None)
        self._known[key] = found
        return found


def _read(response: m.PredictResponse) -> tuple[str, ...]:
    """Read a card; what is none, of somebody else's model, warns of nothing."""
    try:
        card: Any = json.loads(from_proto(response.outputs[CARD_OUTPUT]).item())
        return tuple(str(sentence) for sentence in card.get("warnings", ()))
    except (TensorError, ValueError, TypeError, AttributeError, RecursionError):
        return ()
