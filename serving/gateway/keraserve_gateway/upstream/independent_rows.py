"""Which versions answer each row of a batch as if it were alone: only for those requests may leave together.

What a version's exporter measured is in its card (`model_cards`). Of any other version nothing is known.
"""

from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import messages as m

_MOST = 1024  # models, versions and labels that are remembered


class IndependentRows:
    """Learns from answers which version a model spec means, and looks at its card. Of one event loop.

    Args:
        cards: the cards of versions, which are asked beside the requests.
    """

    def __init__(self, cards: ModelCards) -> None:
        self._cards = cards
        self._meant: dict[bytes, int] = {}

    def version(self, spec: m.ModelSpec) -> int:
        """Give the version that a model spec meant when it was answered, if its rows are independent; else 0.

        It may mean another one by now: the response says which it was, see `answered`.
        """
        version = self._meant.get(_key(spec), 0)
        return version if version and self._cards.independent_rows(spec.name, version) else 0

    def responded(self, spec: m.ModelSpec, version: int) -> None:
        """Note which version has answered; 0 where the response does not say."""
        key = _key(spec)
        if self._meant.get(key, 0) == version:
            return
        while len(self._meant) >= _MOST:
            del self._meant[next(iter(self._meant))]
        self._meant[key] = version


def _key(spec: m.ModelSpec) -> bytes:
    without = m.ModelSpec()
    without.CopyFrom(spec)
    without.signature_name = ""
    return without.SerializeToString(deterministic=True)
