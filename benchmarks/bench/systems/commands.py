"""How each system is started."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.processes import Command
from bench.workspace import ROOT, Workspace

PEERS_FOLDER = ROOT / "benchmarks" / "peers"
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def peer_python(peer: str) -> Path:
    """Where the interpreter of a peer's environment is, or would be."""
    return ROOT / "build" / "bench-peers" / peer / "bin" / "python"


def _gateway(workspace: Workspace, port: int, model_server: str, *more: str) -> Command:
    flags = [f"--port={port}", "--grpc-port=0", f"--model-server={model_server}"]
    flags += [f"--model-config-file={workspace.models / 'models.config'}", *more]
    return Command([program("keraserve-gateway"), *flags], WITHOUT_GPU)


def program(name: str) -> Path:
    """Where one of our programs is."""
    return Path(sys.executable).with_name(name)


def in_process(workspace: Workspace, ports: Sequence[int]) -> list[Command]:
    """One process: the gateway, and the model server in it."""
    return [_gateway(workspace, ports[0], "in-process")]


def in_process_auto(workspace: Workspace, ports: Sequence[int]) -> list[Command]:
    """One process, whose model server takes the faster runtime."""
    return [_gateway(workspace, ports[0], "in-process", "--model-server-flags=--runtime=auto")]


def embedded(workspace: Workspace, port: int) -> Command:
    """The embedded model server alone."""
    flags = [
        f"--port={port}",
        f"--model_config_file={workspace.models / 'models.config'}",
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        f"--batching_parameters_file={ROOT / 'serving' / 'tfserving' / 'batching.config'}",
    ]
    flags += ["--enable_serialization_as_tensor_content", "--allow_version_labels_for_unavailable_models"]
    return Command([program("keraserve-embedded"), *flags], WITHOUT_GPU)


def gateway(workspace: Workspace, port: int, model_server: int) -> Command:
    """The gateway alone."""
    return _gateway(workspace, port, f"127.0.0.1:{model_server}")


def two_processes(workspace: Workspace, ports: Sequence[int]) -> list[Command]:
    """The gateway, and the embedded model server behind it."""
    return [embedded(workspace, ports[1]), gateway(workspace, ports[0], ports[1])]


def fastapi(module: str) -> Callable[[Workspace, Sequence[int]], list[Command]]:
    """A FastAPI application of `peers/`, in our own environment."""

    def commands(workspace: Workspace, ports: Sequence[int]) -> list[Command]:
        uvicorn = [sys.executable, "-m", "uvicorn", f"{module}:app", f"--port={ports[0]}"]
        return [Command(uvicorn, _environment(workspace, ports[0]), PEERS_FOLDER)]

    return commands


def peer(name: str, *arguments: str) -> Callable[[Workspace, Sequence[int]], list[Command]]:
    """A program of `peers/`, in the environment of its own."""

    def commands(workspace: Workspace, ports: Sequence[int]) -> list[Command]:
        python = peer_python(name)
        return [Command([python, *arguments], _environment(workspace, ports[0]), PEERS_FOLDER)]

    return commands


def _environment(workspace: Workspace, port: int) -> Mapping[str, str]:
    return {
        **WITHOUT_GPU,
        "SAVED_MODEL": str(workspace.saved_model.resolve()),
        "KERAS_MODEL": str(workspace.keras_model.resolve()),
        "LABELS": str((workspace.saved_model / "assets" / "labels.txt").resolve()),
        "PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
