"""A model server with one call, GetModelStatus, for tests that kill it: run with PORT VERSION FILE.

It writes the name of each requested model into FILE, and does not respond for the model `slow`.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc.aio

from keraserve_protocol import messages as m
from keraserve_protocol import services


async def serve(port: str, version: int, requested: Path) -> None:
    async def status(request: m.GetModelStatusRequest, context: Any) -> m.GetModelStatusResponse:
        with requested.open("a") as file:
            file.write(f"{request.model_spec.name}\n")
        if request.model_spec.name == "slow":
            await asyncio.sleep(60)
        response = m.GetModelStatusResponse()
        response.model_version_status.add(version=version, state=30)
        return response

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(services.handlers({services.GET_MODEL_STATUS: status})))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
