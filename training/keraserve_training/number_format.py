"""Numbers with units as text, the same in the report, the plots and the documents."""

import math
from typing import Literal

Unit = Literal["share", "points", "loss", "seconds", "bytes", "count"]
"""How a number is written: `share` (0 to 1, shown in percent), `points` (difference of two shares)…"""

_MINUS = "\u2212"
_POINT = 100  # parts of one to percent
_MISSING = "not a number"


def value(number: float, unit: Unit) -> str:
    """Write a number with its unit."""
    if not math.isfinite(number):
        return _MISSING
    write = {
        "share": percent,
        "points": points,
        "loss": lambda it: f"{it:.3g}" if 0 < abs(it) < 0.1 else f"{it:.3f}",
        "seconds": duration,
        "bytes": size,
        "count": lambda it: f"{it:,.0f}" if float(it).is_integer() else f"{it:,.2f}",
    }
    return write[unit](number).replace("-", _MINUS)


def span(low: float, high: float, unit: Unit) -> str:
    """Write a range; one number where both ends look the same."""
    first, last = value(low, unit), value(high, unit)
    return first if first == last else f"{first} to {last}"


def percent(share: float) -> str:
    """A part of one: 0.8246 is 82.46 %."""
    return f"{_POINT * share:.2f} %"


def points(share: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{_POINT * share:+z.2f} points".replace("-", _MINUS)


def distance(share: float) -> str:
    """How far apart two shares are, in percentage points, without a sign."""
    return points(abs(share)).removeprefix("+")


def duration(seconds: float) -> str:
    """A length of time in ms, s, min or h."""
    if seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """A number of bytes, in steps of 1,000."""
    if abs(count) < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if abs(count) < 999.5 or unit == "GB":
            break
    return f"{count:,.1f} {unit}" if abs(count) < 99.95 else f"{count:,.0f} {unit}"
