"""Who sends wrong API keys is answered later and later asks again: guesses and broken clients cost little.

A right key is taken at once, whoever else is at its address: behind a proxy many callers have the same one.
"""

import asyncio
import ipaddress
import re
import time
from collections import OrderedDict

KEPT = 1024
"""Addresses that are remembered; the one that was heard of least recently goes."""
PER_SECOND = 10.0
"""Wrong keys of an address that are answered, on all its connections together; a second's worth at once."""
LONGEST_SECONDS = 10.0
"""No response waits longer: more than PER_SECOND of them come only on more than a hundred connections."""

_KEY = re.compile(r"ks_[0-9a-f]{8}_[A-Za-z0-9_-]+")


class WrongKeys:
    """Counts them by address."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, float] = OrderedDict()  # when the latest one of an address is answered

    def __len__(self) -> int:
        return len(self._turns)

    async def slow_down(self, address: str) -> None:
        """Wait until an address has its turn, if it has sent many."""
        source, now = _source(address), time.monotonic()
        latest = self._turns.pop(source, 0.0)
        turn = min(max(latest, now - 1.0) + 1 / PER_SECOND, now + LONGEST_SECONDS)
        self._turns[source] = turn
        if len(self._turns) > KEPT:
            self._turns.popitem(last=False)
        if turn > now:
            await asyncio.sleep(turn - now)


def without_keys(text: str) -> str:
    """Leave of each key in a text, as in a path, the part that names it: the log is no place for the rest."""
    return _KEY.sub(lambda found: found[0][:12] + "...", text) if "ks_" in text else text


def _source(address: str) -> str:
    """Give what one caller has: an address, of IPv6 the network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
