"""The model server is killed or hangs: no call of a client with retries fails, and /readyz says 503."""

import signal
import time

from system.faults.load import MOST_IN_FLIGHT, Seen, callers
from system.faults.product import MINUTES, Product
from waiting import until

ROUNDS = 1 + int(MINUTES)
AWAY = 4.0  # seconds without a process, before the next one starts


def responded(seen: dict[str, Seen], since: float) -> bool:
    """Whether all requests that were in flight at that moment have their responses."""
    return all(one.since(since) > MOST_IN_FLIGHT for one in seen.values())


def test_no_call_fails_when_the_model_server_is_killed(product: Product, red: bytes) -> None:
    """SIGKILL under load of all four classes and classify_many; a new start some seconds later."""
    with callers(product, red, timeout=120) as seen:  # a busy machine takes long to start it
        until(lambda: all(one.responses for one in seen.values()), "a client has no response")
        for _ in range(ROUNDS):
            product.model_server.signal(signal.SIGKILL)
            until(lambda: product.status("/readyz") == 503, "the gateway is still ready")
            assert product.status("/livez") == 200
            time.sleep(AWAY)
            product.model_server.start()
            until(lambda: product.status("/readyz") == 200, "it is not ready again", 180)
            back = time.monotonic()
            until(lambda now=back: responded(seen, now), "a client still waits")
    assert {name: one.failures for name, one in seen.items() if one.failures} == {}


def test_no_call_fails_when_the_model_server_is_paused(product: Product, red: bytes) -> None:
    """SIGSTOP: connections stay open without a response."""
    with callers(product, red, timeout=60) as seen:
        until(lambda: all(one.responses for one in seen.values()), "a client has no response")
        for _ in range(ROUNDS):
            product.model_server.signal(signal.SIGSTOP)
            until(lambda: product.status("/readyz") == 503, "the gateway is still ready")
            assert product.status("/livez") == 200
            product.model_server.signal(signal.SIGCONT)
            until(lambda: product.status("/readyz") == 200, "it is not ready again")
            back = time.monotonic()
            until(lambda now=back: responded(seen, now), "a client still waits")
    assert {name: one.failures for name, one in seen.items() if one.failures} == {}
