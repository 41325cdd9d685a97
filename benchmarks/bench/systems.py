"""What is compared: how each system is started, and how it is asked."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.place import ROOT, Place
from bench.processes import Command, free_port
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.tensors import from_proto

PEERS = ROOT / "benchmarks" / "peers"
JPEG, JSON, GRPC = "image/jpeg", "application/json", "grpc"
LISTENING = {"CUDA_VISIBLE_DEVICES": ""}
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
        most_clients: more would wait minutes.
        environment_of: the peer whose environment it needs; "" for ours.
    """

    name: str
    commands: Callable[[Place, Sequence[int]], Sequence[Command]]
    doors: Sequence[Door]
    ours: bool = False
    peer: str = ""

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return peer_python(self.peer) if self.peer else Path(sys.executable)

    @property
    def installed(self) -> bool:
        """Whether that environment is there and whole."""
        return not self.peer or self.python.with_name("installed").is_file()

    def ports(self) -> list[int]:
        """Free ports for it."""
        return [free_port() for _ in range(1 + max(door.port for door in self.doors))]


def peer_python(peer: str) -> Path:
    """Where the interpreter of a peer's environment is, or would be."""
    return ROOT / "build" / "bench-peers" / peer / "bin" / "python"


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def in_process(place: Place, ports: Sequence[int]) -> list[Command]:
    """One process: the gateway, and the model server in it."""
    flags = [f"--port={ports[0]}", "--grpc-port=0", "--model-server=in-process"]
    flags.append(f"--model-config-file={place.models / 'models.config'}")
    return [Command([_program("keraserve-gateway"), *flags], LISTENING)]


def embedded(place: Place, port: int) -> Command:
    """The embedded model server alone."""
    flags = [f"--port={port}", f"--model_config_file={place.models / 'models.config'}", "--enable_batching"]
    flags += ["--enable_serialization_as_tensor_content", "--allow_version_labels_for_unavailable_models"]
    return Command([_program("keraserve-embedded"), *flags], LISTENING)


def gateway(place: Place, port: int, model_server: int) -> Command:
    """The gateway alone."""
    flags = [f"--port={port}", "--grpc-port=0", f"--model-server=127.0.0.1:{model_server}"]
    flags.append(f"--model-config-file={place.models / 'models.config'}")
    return Command([_program("keraserve-gateway"), *flags], LISTENING)


def _two_processes(place: Place, ports: Sequence[int]) -> list[Command]:
    return [embedded(place, ports[1]), gateway(place, ports[0], ports[1])]


def _fastapi(module: str) -> Callable[[Place, Sequence[int]], list[Command]]:
    def commands(place: Place, ports: Sequence[int]) -> list[Command]:
        uvicorn = [sys.executable, "-m", "uvicorn", f"{module}:app", f"--port={ports[0]}"]
        return [Command(uvicorn, _environment(place, ports[0]), PEERS)]

    return commands


def _peer(name: str, *arguments: str) -> Callable[[Place, Sequence[int]], list[Command]]:
    def commands(place: Place, ports: Sequence[int]) -> list[Command]:
        python = peer_python(name)
        return [Command([python, *arguments], _environment(place, ports[0]), PEERS)]

    return commands


def _environment(place: Place, port: int) -> Mapping[str, str]:
    return {
        **LISTENING,
        "SAVED_MODEL": str(place.saved_model.resolve()),
        "KERAS_MODEL": str(place.keras_model.resolve()),
        "LABELS": str((place.saved_model / "assets" / "labels.txt").resolve()),
        "PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


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
            in_process,
            [Door("in-process", "Keraserve, one process", path, JPEG, "jpeg", _of_ours)],
            ours=True,
        ),
        System(
            "two-processes",
            _two_processes,
            [
                Door("two-processes", "Keraserve, gateway and embedded server", path, JPEG, "jpeg", _of_ours),
                over_grpc,
            ],
            ours=True,
        ),
        System(
            "good-fastapi",
            _fastapi("good_fastapi"),
            [Door("good-fastapi", "FastAPI, raw JPEG, signature in a thread pool", *theirs)],
        ),
        System(
            "litserve",
            _peer("litserve", "litserve_app.py"),
            [Door("litserve", "LitServe, batching", *theirs)],
            peer="litserve",
        ),
        System(
            "bentoml",
            _peer("bentoml", "-m", "bentoml", "serve", "bentoml_app:Photographs"),
            [Door("bentoml", "BentoML, adaptive batching", "/predict", JSON, "base64", _of_theirs)],
            peer="bentoml",
        ),
        System(
            "rayserve",
            _peer("rayserve", "rayserve_app.py"),
            [Door("rayserve", "Ray Serve, `@serve.batch`", *theirs)],
            peer="rayserve",
        ),
        System(
            "tutorial",
            _fastapi("tutorial"),
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
