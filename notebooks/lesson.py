"""What all notebooks do in the same way: an experiment, its plots, test images, its model on a server.

Three variables of the environment choose the profile and the folders: KERASERVE_PROFILE, KERASERVE_RUNS,
KERASERVE_MODELS.
"""

import inspect
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import Code, Image, display

from keraserve_client import GrpcClient, KeraserveError
from keraserve_training import commands, progress, runtime
from keraserve_training.data.datasets import Source
from keraserve_training.experiments import find
from keraserve_training.exporting import export as exporting
from keraserve_training.profiles import PROFILES
from keraserve_training.records import run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.run import RunSpec

PROFILE = PROFILES[os.environ.get("KERASERVE_PROFILE", "sample")]
RUNS = Path(os.environ.get("KERASERVE_RUNS", "runs"))
MODELS = Path(os.environ.get("KERASERVE_MODELS", "models"))
_SEED = 42
_START_SECONDS = 120

runtime.prepare()
import keras  # noqa: E402  only now: `prepare` makes it quiet

keras.utils.set_random_seed(_SEED)


def code(*functions: Callable[..., Any]) -> None:
    """Show the source of functions."""
    display(*(Code(inspect.getsource(each), language="python") for each in functions))


def run(name: str) -> FinishedRun:
    """Do an experiment, unless it is done already; prints its figures and what they show."""
    spec = RunSpec(PROFILE, _SEED)
    commands.run_one(find(name), RUNS, spec, force=False)
    return run_folder.finished_in(spec.folder(RUNS, name))


def plots(done: FinishedRun, *files: str) -> None:
    """Show plots of a run."""
    display(*(Image(filename=str(done.folder / file)) for file in files))


def answers(done: FinishedRun, network: str) -> tuple[np.ndarray, np.ndarray]:
    """The class that a network named for each test image, and the right one: int arrays [N]."""
    with np.load(done.folder / run_folder.predictions_file(network)) as file:
        return file["predicted"], file["labels"]


def some_images(source: Source, count: int = 4) -> tuple[list[np.ndarray], list[str]]:
    """The first test images of a data set, uint8 [H, W, C], and the name of each one's class."""
    data = source(PROFILE, progress.SILENT.tell)
    few = data.test.first(count)
    return few.show(np.arange(count)), [data.classes[label] for label in few.labels]


def export(name: str) -> list[str]:
    """Write the models of an experiment into the repository; returns their names."""
    done, _ = exporting.export([find(name)], runs=RUNS, models=MODELS, profile=PROFILE.name, seed=_SEED)
    return [each.name for each in done]


@contextmanager
def served(model: str) -> Iterator[GrpcClient]:
    """Serve a model of the repository on a free port until the block ends; yields a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        Path(sys.executable).with_name("keraserve-embedded"),
        f"--port={port}",
        f"--model_name={model}",
        f"--model_base_path={(MODELS / model).resolve()}",
    ]
    with (
        subprocess.Popen(command, stderr=subprocess.DEVNULL) as server,
        GrpcClient(f"127.0.0.1:{port}") as client,
    ):
        try:
            _wait(client, model, server)
            yield client
        finally:
            server.terminate()


def _wait(client: GrpcClient, model: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            if client.status(model).available:
                return
        except KeraserveError:
            time.sleep(0.2)
    raise RuntimeError(f"the model server does not serve {model}")
