"""Who sends wrong API keys is answered later and later asks again: guesses and broken clients cost little.

A right key is taken at once, whoever else is at its address: behind a proxy many callers have the same one.
"""

import asyncio
import ipaddress
import re
from collections import OrderedDict

from keraserve_gateway.bucket import Bucket

KEPT = 1024
"""Addresses that are remembered; the one that was heard of least recently goes."""
PER_SECOND = 10.0
"""Wrong keys of an address that are answered at once."""
DELAY_SECONDS = 1.0
"""How much later all others are."""

_KEY = re.compile(r"ks_[0-9a-f]{8}_[A-Za-z0-9_-]+")


class WrongKeys:
    """Counts them by address."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    async def slow_down(self, address: str) -> None:
        """Wait, if an address has sent many."""
        source = _source(address)
        bucket = self._buckets.pop(source, None) or Bucket(PER_SECOND)
        self._buckets[source] = bucket
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        if bucket.take():
            await asyncio.sleep(DELAY_SECONDS)


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
