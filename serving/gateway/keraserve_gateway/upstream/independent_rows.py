"""Which versions compute each row of a batch independently of the others: only their requests are merged.

A version's card (`model_cards`) has what its exporter measured. Of a version without a card nothing is known.
"""

from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import messages as m

_MOST = 1024  # models, versions and labels that are remembered


class IndependentRows:
    """Learns from responses which version a model spec means, and looks at its card. For one event loop.

    Args:
        cards: the versions' cards, which are fetched in the background.
    """

    def __init__(self, cards: ModelCards) -> None:
        self._cards = cards
        self._versions: dict[bytes, int | None] = {}

    def version(self, spec: m.ModelSpec) -> int | None:
        """Give the version that a model spec meant last, if its rows are independent; else None.

        It may mean another one by now: the response says which it was, see `learn`.
        """
        version = self._versions.get(_key(spec))
        if version is None or not self._cards.independent_rows(spec.name, version):
            return None
        return version

    def learn(self, spec: m.ModelSpec, version: int | None) -> None:
        """Note the version of a response; None if the response does not say."""
        key = _key(spec)
        if self._versions.get(key) == version:
            return
        while len(self._versions) >= _MOST:
            del self._versions[next(iter(self._versions))]
        self._versions[key] = version


def _key(spec: m.ModelSpec) -> bytes:
    without = m.ModelSpec()
    without.CopyFrom(spec)
    without.signature_name = ""
    return without.SerializeToString(deterministic=True)
