"""The moments at which the requests of an open loop are due, whether or not earlier ones are done."""

import random
from collections.abc import Iterator


def poisson(rate: float, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield the moments of a Poisson process, in seconds from its start: `rate` a second on average."""
    generator = random.Random(seed)  # the same moments for every system
    moment = generator.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += generator.expovariate(rate)
