"""In one process, a model whose status is AVAILABLE responds while others are still being loaded."""

import subprocess
import sys
from pathlib import Path

from gateway.conftest import ENVIRONMENT

PROGRAM = """
import asyncio, sys, threading
from pathlib import Path
from keraserve_embedded.engine import Engine
from keraserve_gateway import errors
from keraserve_gateway.context import Deadline, RequestContext
from keraserve_gateway.settings import Settings
from keraserve_gateway.upstream.in_process import InProcessModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.tensors import from_proto, to_proto
import numpy as np

go, start = threading.Event(), Engine.start

def slow_start(self, entries):  # the models are served, and the start has not ended yet
    started = start(self, entries)
    assert go.wait(60)
    return started

Engine.start = slow_start

def request(name):
    made = m.PredictRequest(model_spec=m.model_spec(name))
    made.inputs["images"].CopyFrom(to_proto(np.full((1, 1, 1, 3), (230, 20, 20), np.uint8)))
    return made

def context(seconds):
    return RequestContext(Deadline.after(seconds))

async def main():
    server = InProcessModelServer(Settings(model_server="in-process", model_config_file=Path(sys.argv[1])))
    starting = asyncio.create_task(server.start())
    status_request = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))
    while True:
        try:
            status = await server.ask(services.GET_MODEL_STATUS, status_request, context(10))
            if status.model_version_status[0].state == 30:
                break
        except (errors.ModelServerUnavailable, errors.NotFound):
            pass
        await asyncio.sleep(0.02)
    found = await server.ask(services.PREDICT, request("colours"), context(30))
    print(server.is_up, from_proto(found.outputs["label"]))
    for _ in range(2):
        try:
            await server.ask(services.PREDICT, request("other"), context(30))
        except errors.GatewayError as error:
            print(type(error).__name__)
        go.set()
        await starting
    await server.close()

asyncio.run(main())
"""


def test_an_available_model_responds_before_the_start_has_ended(models: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, models / "models.config"],
        capture_output=True,
        text=True,
        timeout=200,
        env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert ran.stdout.split("\n")[:-1] == ["False [b'red']", "ModelServerUnavailable", "NotFound"], ran.stderr
