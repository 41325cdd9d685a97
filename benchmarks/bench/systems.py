"""What is compared, and how each system is asked."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import commands
from bench.place import Place
from bench.processes import Command, free_port
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.tensors import from_proto

JPEG, JSON, GRPC = "image/jpeg", "application/json", "grpc"
Named = Callable[[bytes], tuple[str, float]]


@dataclass(frozen=True)
class Door:
    """One way to ask a system about a photograph.

    Attributes:
        name: short, for figures.
        title: for readers.
        port: which of the system's.
        path: of HTTP, or of the gRPC call.
        content_type: of the body; "grpc" for gRPC.
        bodies: the kind of request bodies.
        named: reads an answer: the label, and its probability.
    """

    name: str
    title: str
    path: str
    content_type: str
    bodies: str
    named: Named
    port: int = 0


@dataclass(frozen=True)
class System:
    """Programs that are started together, and the doors of what they are.

    Attributes:
        commands: gives the programs for these ports.
        doors: at least one.
        ours: whether it is Keraserve.
        peer: whose environment it needs; "" for ours.
    """

    name: str
    commands: Callable[[Place, Sequence[int]], Sequence[Command]]
    doors: Sequence[Door]
    ours: bool = False
    peer: str = ""

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return commands.peer_python(self.peer) if self.peer else Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Whether that environment is there and whole."""
        return not self.peer or self.python.with_name("installed").is_file()

    def ports(self) -> list[int]:
        """Free ports for it."""
        return [free_port() for _ in range(1 + max(door.port for door in self.doors))]


def _of_ours(body: bytes) -> tuple[str, float]:
    best = json.loads(body)["predictions"][0]["classes"][0]
    return best["label"], best["probability"]


def _of_theirs(body: bytes) -> tuple[str, float]:
    found: Any = json.loads(body)
    found = found[0] if isinstance(found, list) else found
    return found["label"], found["probability"]


def _of_grpc(body: bytes) -> tuple[str, float]:
    outputs = m.PredictResponse.FromString(body).outputs
    label: bytes = from_proto(outputs["label"])[0]
    return label.decode(), float(from_proto(outputs["probabilities"]).max())


def picture_path(model: str) -> str:
    """Where the gateway takes pictures for a model."""
    return f"/v1/models/{model}/images:classify"


def systems(model: str) -> list[System]:
    """All that are compared, ours first."""
    path = picture_path(model)
    theirs = ("/predict", JPEG, "jpeg", _of_theirs)
    over_grpc = Door(
        "grpc", "gRPC to the embedded server", services.PREDICT.path, GRPC, "predict", _of_grpc, port=1
    )
    return [
        System(
            "in-process",
            commands.in_process,
            [Door("in-process", "Keraserve, one process", path, JPEG, "jpeg", _of_ours)],
            ours=True,
        ),
        System(
            "two-processes",
            commands.two_processes,
            [
                Door("two-processes", "Keraserve, gateway and embedded server", path, JPEG, "jpeg", _of_ours),
                over_grpc,
            ],
            ours=True,
        ),
        System(
            "good-fastapi",
            commands.fastapi("good_fastapi"),
            [Door("good-fastapi", "FastAPI, raw JPEG, signature in a thread pool", *theirs)],
        ),
        System(
            "litserve",
            commands.peer("litserve", "litserve_app.py"),
            [Door("litserve", "LitServe, batching", *theirs)],
            peer="litserve",
        ),
        System(
            "bentoml",
            commands.peer("bentoml", "-m", "bentoml", "serve", "bentoml_app:Photographs"),
            [Door("bentoml", "BentoML, adaptive batching", "/predict", JSON, "base64", _of_theirs)],
            peer="bentoml",
        ),
        System(
            "rayserve",
            commands.peer("rayserve", "rayserve_app.py"),
            [Door("rayserve", "Ray Serve, `@serve.batch`", *theirs)],
            peer="rayserve",
        ),
        System(
            "tutorial",
            commands.fastapi("tutorial"),
            [
                Door(
                    "tutorial",
                    "FastAPI, JSON pixels, `model.predict`",
                    "/predict",
                    JSON,
                    "pixels",
                    _of_theirs,
                )
            ],
        ),
    ]
