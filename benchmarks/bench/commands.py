"""How each system is started."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.place import ROOT, Place
from bench.processes import Command

PEERS = ROOT / "benchmarks" / "peers"
WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def peer_python(peer: str) -> Path:
    """Where the interpreter of a peer's environment is, or would be."""
    return ROOT / "build" / "bench-peers" / peer / "bin" / "python"


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def in_process(place: Place, ports: Sequence[int]) -> list[Command]:
    """One process: the gateway, and the model server in it."""
    flags = [f"--port={ports[0]}", "--grpc-port=0", "--model-server=in-process"]
    flags.append(f"--model-config-file={place.models / 'models.config'}")
    return [Command([_program("keraserve-gateway"), *flags], WITHOUT_GPU)]


def embedded(place: Place, port: int) -> Command:
    """The embedded model server alone."""
    flags = [f"--port={port}", f"--model_config_file={place.models / 'models.config'}", "--enable_batching"]
    flags += ["--enable_serialization_as_tensor_content", "--allow_version_labels_for_unavailable_models"]
    return Command([_program("keraserve-embedded"), *flags], WITHOUT_GPU)


def gateway(place: Place, port: int, model_server: int) -> Command:
    """The gateway alone."""
    flags = [f"--port={port}", "--grpc-port=0", f"--model-server=127.0.0.1:{model_server}"]
    flags.append(f"--model-config-file={place.models / 'models.config'}")
    return Command([_program("keraserve-gateway"), *flags], WITHOUT_GPU)


def two_processes(place: Place, ports: Sequence[int]) -> list[Command]:
    """Both."""
    return [embedded(place, ports[1]), gateway(place, ports[0], ports[1])]


def fastapi(module: str) -> Callable[[Place, Sequence[int]], list[Command]]:
    """A FastAPI application of `peers/`, in our own environment."""

    def commands(place: Place, ports: Sequence[int]) -> list[Command]:
        uvicorn = [sys.executable, "-m", "uvicorn", f"{module}:app", f"--port={ports[0]}"]
        return [Command(uvicorn, _environment(place, ports[0]), PEERS)]

    return commands


def peer(name: str, *arguments: str) -> Callable[[Place, Sequence[int]], list[Command]]:
    """A program of `peers/`, in the environment of its own."""

    def commands(place: Place, ports: Sequence[int]) -> list[Command]:
        python = peer_python(name)
        return [Command([python, *arguments], _environment(place, ports[0]), PEERS)]

    return commands


def _environment(place: Place, port: int) -> Mapping[str, str]:
    return {
        **WITHOUT_GPU,
        "SAVED_MODEL": str(place.saved_model.resolve()),
        "KERAS_MODEL": str(place.keras_model.resolve()),
        "LABELS": str((place.saved_model / "assets" / "labels.txt").resolve()),
        "PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
