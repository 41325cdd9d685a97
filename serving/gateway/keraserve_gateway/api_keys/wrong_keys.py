"""Wrong API keys: an address that sends many of them gets its responses ever later.

A right key is accepted at once, whatever else its address sends: behind a proxy many callers share one.
"""

import asyncio
import ipaddress
import re
import time
from collections import OrderedDict

KEPT = 1024
"""How many addresses are remembered; the one not seen for longest is forgotten first."""
PER_SECOND = 10.0
"""Responses to wrong keys for an address, on all its connections together; as many at once."""
LONGEST_SECONDS = 10.0
"""The longest delay of a response, whose caller may use many connections."""

_KEY = re.compile(r"ks_[0-9a-f]{8}_[A-Za-z0-9_-]+")


class WrongKeys:
    """Counts wrong keys by address."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, float] = OrderedDict()  # when the latest response of an address is due

    def __len__(self) -> int:
        return len(self._turns)

    async def slow_down(self, address: str) -> None:
        """Wait until the response to a wrong key from this address is due."""
        source, now = _source(address), time.monotonic()
        latest = self._turns.pop(source, 0.0)
        turn = min(max(latest, now - 1.0) + 1 / PER_SECOND, now + LONGEST_SECONDS)
        self._turns[source] = turn
        if len(self._turns) > KEPT:
            self._turns.popitem(last=False)
        if turn > now:
            await asyncio.sleep(turn - now)


def without_keys(text: str) -> str:
    """Cut every API key in a text, such as a path, down to its id, so that the text may be logged."""
    return _KEY.sub(lambda found: found[0][:12] + "...", text) if "ks_" in text else text


def _source(address: str) -> str:
    """Return what one caller has: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
