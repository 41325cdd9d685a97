"""The model server is killed, or hangs: no call of a patient client fails, and the gateway says how it is."""

import signal
import time

from system.faults.load import UNDER_WAY, Seen, callers
from system.faults.product import MINUTES, Product, until

ROUNDS = 1 + int(MINUTES)
AWAY = 4.0  # seconds without a process; the start of the next comes on top


def responded(seen: dict[str, Seen], since: float) -> bool:
    """Say whether all requests that waited at that moment are answered: none waits on to the next fault."""
    return all(one.since(since) > UNDER_WAY for one in seen.values())


def test_a_killed_model_server_costs_no_call(product: Product, red: bytes) -> None:
    """SIGKILL in mid-load, a start some seconds later: all four classes and classify_many."""
    with callers(product, red, timeout=120) as seen:  # a busy machine takes long to start it
        until(lambda: all(one.responses for one in seen.values()), "nobody was answered")
        for _ in range(ROUNDS):
            product.model_server.signal(signal.SIGKILL)
            until(lambda: product.status("/readyz") == 503, "the gateway thinks itself ready")
            assert product.status("/livez") == 200
            time.sleep(AWAY)
            product.model_server.start()
            until(lambda: product.status("/readyz") == 200, "it is not ready again", 180)
            back = time.monotonic()
            until(lambda now=back: responded(seen, now), "somebody waits for ever")
    assert {name: one.failures for name, one in seen.items() if one.failures} == {}


def test_a_model_server_that_stops_and_goes_on_costs_no_call(product: Product, red: bytes) -> None:
    """SIGSTOP: connections stay open and nobody answers."""
    with callers(product, red, timeout=60) as seen:
        until(lambda: all(one.responses for one in seen.values()), "nobody was answered")
        for _ in range(ROUNDS):
            product.model_server.signal(signal.SIGSTOP)
            until(lambda: product.status("/readyz") == 503, "the gateway thinks itself ready")
            assert product.status("/livez") == 200
            product.model_server.signal(signal.SIGCONT)
            until(lambda: product.status("/readyz") == 200, "it is not ready again")
            back = time.monotonic()
            until(lambda now=back: responded(seen, now), "somebody waits for ever")
    assert {name: one.failures for name, one in seen.items() if one.failures} == {}
