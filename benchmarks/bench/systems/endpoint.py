"""`Endpoint`: how a photograph is sent to a system, and how its response is read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.load.specification import LoadSpecification
from bench.workspace import BodyKind, Workspace
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import from_proto

JPEG, PNG, JSON = "image/jpeg", "image/png", "application/json"
Best = tuple[str, float]
"""The most probable label, and its probability."""


@dataclass(frozen=True)
class Endpoint:
    """How a photograph is sent to a system, and how its response is read.

    Attributes:
        name: short, for figures.
        title: for readers.
        path: of HTTP, or of the gRPC call; `{model}` stands for the model's name.
        content_type: of the body; `GRPC` for gRPC.
        bodies: the kind of request bodies.
        read: reads a response.
        port: its index among the system's ports.
    """

    name: str
    title: str
    path: str
    content_type: str
    bodies: BodyKind
    read: Callable[[bytes], Best]
    port: int = 0

    def load(self, port: int, workspace: Workspace, clients: int) -> LoadSpecification:
        """The load of these clients, in a closed loop."""
        path, bodies = self.path.format(model=workspace.model), workspace.bodies(self.bodies)
        return LoadSpecification(port, path, self.content_type, bodies, clients)


def classify_path(model: str) -> str:
    """The gateway's path for images."""
    return f"/v1/models/{model}/images:classify"


def predict_path(model: str) -> str:
    """The gateway's path for JSON."""
    return f"/v1/models/{model}:predict"


def read_classification(body: bytes) -> Best:
    """Read the gateway's response."""
    best = json.loads(body)["predictions"][0]["classes"][0]
    return best["label"], best["probability"]


def read_json(body: bytes) -> Best:
    """Read a peer's response."""
    found: Any = json.loads(body)
    found = found[0] if isinstance(found, list) else found
    return found["label"], found["probability"]


def read_prediction(body: bytes) -> Best:
    """Read the response of gRPC's Predict."""
    outputs = m.PredictResponse.FromString(body).outputs
    label: bytes = from_proto(outputs["label"])[0]
    return label.decode(), float(from_proto(outputs["probabilities"]).max())
