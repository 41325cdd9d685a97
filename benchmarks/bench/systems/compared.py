"""The systems that are compared, ours first."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load.specification import GRPC
from bench.processes import Command, free_port
from bench.systems import commands
from bench.systems.endpoint import (
    JPEG,
    JSON,
    Endpoint,
    classify_path,
    read_classification,
    read_json,
    read_prediction,
)
from bench.workspace import BodyKind, Workspace
from keraserve_protocol import services


@dataclass(frozen=True)
class System:
    """Programs that are started together, and their endpoints.

    Attributes:
        name: short, for the command line and log files.
        commands: gives the programs for these ports.
        endpoints: at least one.
        ours: whether it is Keraserve.
        peer: the name of its environment; "" for ours.
        needs_keras_file: whether it serves a `.keras` file, which a model repository does not have.
    """

    name: str
    commands: Callable[[Workspace, Sequence[int]], Sequence[Command]]
    endpoints: Sequence[Endpoint]
    ours: bool = False
    peer: str = ""
    needs_keras_file: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return commands.peer_python(self.peer) if self.peer else Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Whether that environment is complete."""
        return not self.peer or self.python.with_name("installed").is_file()

    def ports(self) -> list[int]:
        """Free ports for it."""
        return [free_port() for _ in range(1 + max(one.port for one in self.endpoints))]


def _ours(name: str, title: str) -> Endpoint:
    return Endpoint(name, title, classify_path("{model}"), JPEG, BodyKind.JPEG, read_classification)


def _theirs(name: str, title: str, content_type: str = JPEG, bodies: BodyKind = BodyKind.JPEG) -> Endpoint:
    return Endpoint(name, title, "/predict", content_type, bodies, read_json)


ONE_PROCESS = _ours("in-process", "Keraserve, one process")
ONE_PROCESS_AUTO = _ours("in-process-auto", "Keraserve, one process, `--runtime=auto`")
TWO_PROCESSES = _ours("two-processes", "Keraserve, gateway and embedded server")
EMBEDDED_GRPC = Endpoint(
    "grpc",
    "gRPC to the embedded server",
    services.PREDICT.path,
    GRPC,
    BodyKind.PREDICT,
    read_prediction,
    port=1,
)
GOOD_FASTAPI = _theirs("good-fastapi", "FastAPI, raw JPEG, signature in a thread pool")
LITSERVE = _theirs("litserve", "LitServe, batching")
BENTOML = _theirs("bentoml", "BentoML, adaptive batching", JSON, BodyKind.BASE64)
RAY_SERVE = _theirs("rayserve", "Ray Serve, `@serve.batch`")
TUTORIAL = _theirs("tutorial", "FastAPI, JSON pixels, `model.predict`", JSON, BodyKind.PIXELS)


def _peer(endpoint: Endpoint, *arguments: str) -> System:
    name = endpoint.name
    return System(name, commands.peer(name, *arguments), [endpoint], peer=name)


IN_PROCESS = System(ONE_PROCESS.name, commands.in_process, [ONE_PROCESS], ours=True)
IN_PROCESS_AUTO = System(ONE_PROCESS_AUTO.name, commands.in_process_auto, [ONE_PROCESS_AUTO], ours=True)
GATEWAY_AND_EMBEDDED = System(
    TWO_PROCESSES.name, commands.two_processes, [TWO_PROCESSES, EMBEDDED_GRPC], ours=True
)
TUTORIALS = System(TUTORIAL.name, commands.fastapi("tutorial"), [TUTORIAL], needs_keras_file=True)
SYSTEMS = [
    IN_PROCESS,
    IN_PROCESS_AUTO,
    GATEWAY_AND_EMBEDDED,
    System(GOOD_FASTAPI.name, commands.fastapi("good_fastapi"), [GOOD_FASTAPI]),
    _peer(LITSERVE, "litserve_app.py"),
    _peer(BENTOML, "-m", "bentoml", "serve", "bentoml_app:Photographs"),
    _peer(RAY_SERVE, "rayserve_app.py"),
    TUTORIALS,
]
PEERS = [system.peer for system in SYSTEMS if system.peer]
"""The names of the peers' environments."""
