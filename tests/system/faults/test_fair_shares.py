"""A slow model with more requests than the gateway has slots does not block another model."""

import threading
import time
from pathlib import Path
from typing import Any

from system.faults.fake_model_server import classes, fake_model_server
from system.faults.product import SLOTS, gateway_before

from keraserve_client import Client, GrpcClient, TooManyRequests
from keraserve_protocol import messages as m
from keraserve_protocol import services

REQUESTS = 238
FLOOD = 3 * SLOTS
SLOW_SECONDS = 1.0


def classify(request: m.ClassificationRequest, _: Any) -> m.ClassificationResponse:
    if request.model_spec.name == "slow":
        time.sleep(SLOW_SECONDS)
    return classes(request)


def test_a_flood_of_a_slow_model_rejects_no_request_for_a_fast_one(tmp_path: Path, red: bytes) -> None:
    over, rejected = threading.Event(), threading.Semaphore(0)
    flags = (f"--max-in-flight={SLOTS}", "--max-merged=1", "--models=slow,fast")
    with (
        fake_model_server({services.CLASSIFY: classify}) as address,
        gateway_before(address, tmp_path, *flags) as product,
    ):

        def flood() -> None:
            with Client(product.url, retries=0) as client:
                while not over.wait(0.02):
                    try:
                        client.classify("slow", red)
                    except TooManyRequests:
                        rejected.release()

        callers = [threading.Thread(target=flood) for _ in range(FLOOD)]
        for one in callers:
            one.start()
        try:
            for _ in range(FLOOD):  # all slots are taken
                assert rejected.acquire(timeout=60)
            for client in (Client(product.url, retries=0), GrpcClient(product.grpc, retries=0)):
                with client:
                    for _ in range(REQUESTS // 2):
                        assert client.classify("fast", red)[0].best.label == "x"
            for _ in range(FLOOD):  # and still are
                assert rejected.acquire(timeout=60)
        finally:
            over.set()
            for one in callers:
                one.join(60)
