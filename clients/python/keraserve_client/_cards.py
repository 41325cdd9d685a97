"""The warnings of versions, read over gRPC from their model cards, once for each version. No I/O."""

import json
import time
from typing import Any

from keraserve_client._errors import KeraserveError
from keraserve_client._rpc import Rpc
from keraserve_client._steps import Extra, Plan
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.signatures import CARD_OUTPUT, MODEL_CARD
from keraserve_protocol.tensors import TensorError, from_proto

_SECONDS = 1.0  # that a response waits for the card of its version, at most
_AGAIN_SECONDS = 30.0  # until the card is requested again from a server that had no time for it
_WITHOUT_CARD = {400, 501}  # the statuses of a model without a card: it has no such signature
_MOST = 1024  # versions that are remembered
_Version = tuple[str, int]


class Cards:
    """The warnings of every version that this client got a response of."""

    def __init__(self) -> None:
        self._known: dict[_Version, tuple[str, ...]] = {}
        self._not_before: dict[_Version, float] = {}

    def warnings(self, model: str, version: int) -> Plan[Rpc, m.Message, tuple[str, ...]]:
        """Return the warnings of a version; none if it has no card, or if the server has no time for it."""
        key = model, version
        if key in self._known or time.monotonic() < self._not_before.get(key, 0.0):
            return self._known.get(key, ())
        # With one output of several, TensorFlow Serving takes a request without inputs also when it batches.
        spec = m.model_spec(model, version=version, signature=MODEL_CARD)
        request = m.PredictRequest(model_spec=spec, output_filter=[CARD_OUTPUT])
        try:
            response = yield Extra(Rpc(services.PREDICT, request), _SECONDS)
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
    """Read a card; an output of another form, as other exporters' models may have, gives no warnings."""
    try:
        card: Any = json.loads(from_proto(response.outputs[CARD_OUTPUT]).item())
        return tuple(str(sentence) for sentence in card.get("warnings", ()))
    except (TensorError, ValueError, TypeError, AttributeError, RecursionError):
        return ()
