"""TensorFlow and OpenVINO in the embedded server, in turn: processor time of an image, as a table.

    python benchmarks/serving/runtimes.py [--rounds 5] [--seconds 3] [NETWORK]...

Each network is imported with RANDOM weights, which changes no time. Three ways to run it: in process, a batch
of eight in flight for each core; over gRPC, with `keraserve-embedded --enable_batching`; over HTTP, with
`keraserve serve`, both with sixteen clients that send one image at a time. All servers stay up, and a round
measures each runtime once. Compare the ratios, which other load on the machine changes least: of the
processor time of an image, and of images a second.
"""

import argparse
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keraserve_client import Client, GrpcClient

_NETWORKS = {
    "MobileNet 0.25, 128 px": ("MobileNet", 128, {"alpha": 0.25}),
    "MobileNet 1.0, 224 px": ("MobileNet", 224, {}),
    "ResNet50V2, 224 px": ("ResNet50V2", 224, {}),
    "InceptionV3, 139 px": ("InceptionV3", 139, {}),
}
_COLUMNS = (
    "network", "way", "TensorFlow: processor ms", "OpenVINO", "times as fast",
    "TensorFlow: images/s", "OpenVINO", "times as fast",
)  # fmt: skip
_RUNTIMES = ("tensorflow", "openvino")
_CLIENTS, _BATCH, _FIRST_PORT = 16, 8, 22100
_NAME = "network"


def main() -> None:
    """Measure the named networks, or all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    print(f"| {' | '.join(_COLUMNS)} |\n|---|---|{'---:|' * (len(_COLUMNS) - 2)}", flush=True)
    for name in given.networks or _NETWORKS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            models = Path(folder) / "models"
            _import(name, models)
            ports = itertools.count(_FIRST_PORT)
            ways = {
                way: {runtime: stack.enter_context(start(models, runtime, ports)) for runtime in _RUNTIMES}
                for way, start in (("in process", _in_process), ("gRPC", _grpc), ("HTTP", _http))
            }
            for way, calls in ways.items():
                _print(name, way, _measured(calls, given.rounds, given.seconds))


@dataclass(frozen=True)
class Figures:
    """What a round found: processor milliseconds of an image, and images a second."""

    milliseconds: float
    rate: float


Call = Callable[[float], Figures]
"""Measures for so many seconds."""


def _measured(calls: dict[str, Call], rounds: int, seconds: float) -> dict[str, list[Figures]]:
    for call in calls.values():
        call(1.0)
    found: dict[str, list[Figures]] = {runtime: [] for runtime in calls}
    for number in range(rounds):
        for runtime in _RUNTIMES if number % 2 else reversed(_RUNTIMES):
            found[runtime].append(calls[runtime](seconds))
    return found


def _print(name: str, way: str, found: dict[str, list[Figures]]) -> None:
    theirs, ours = (found[each] for each in _RUNTIMES)
    cells = [
        f"{statistics.median(each.milliseconds for each in theirs):.2f}",
        f"{statistics.median(each.milliseconds for each in ours):.2f}",
        _ratio([one.milliseconds / other.milliseconds for one, other in zip(theirs, ours, strict=True)]),
        f"{statistics.median(each.rate for each in theirs):,.0f}",
        f"{statistics.median(each.rate for each in ours):,.0f}",
        _ratio([other.rate / one.rate for one, other in zip(theirs, ours, strict=True)]),
    ]
    print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _import(name: str, models: Path) -> None:
    """Import a network in a process of its own."""
    subprocess.run([sys.executable, __file__, "--import", name, models], check=True)


def _imported(name: str, models: Path) -> None:
    from keraserve_models import quiet

    quiet.prepare()
    import keras

    from keraserve_models.importing.importer import import_model
    from keraserve_models.importing.request import ImportRequest, Overrides, Scale

    network, side, options = _NETWORKS[name]
    made: Any = getattr(keras.applications, network)
    file = models.with_name("model.keras")
    made(input_shape=(side, side, 3), weights=None, classes=10, **options).save(file)
    import_model(ImportRequest(file, _NAME, models, overrides=Overrides(scale=Scale.SYMMETRIC)))


def _photographs() -> list[bytes]:
    """JPEG files of 160 px, of about 5 KB: coarse random patterns, enlarged."""
    generator = np.random.default_rng(0)
    files: list[bytes] = []
    for _ in range(64):
        image = Image.fromarray(generator.integers(0, 255, (12, 16, 3), np.uint8))
        stream = io.BytesIO()
        image.resize((160, 120), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
        files.append(stream.getvalue())
    return files


def _closed_loop(
    clients: int,
    send: Callable[[int, bytes], int],
    seconds: float,
    processor_seconds: Callable[[], float],
    begin: Callable[[], None] | None = None,
) -> Figures:
    """Let clients send one thing after the other, each on a thread that calls `begin`."""
    files = _photographs()
    used, began = processor_seconds(), time.monotonic()

    def run(client: int) -> int:
        images = 0
        for file in itertools.islice(itertools.cycle(files), client, None):
            if time.monotonic() - began > seconds:
                break
            images += send(client, file)
        return images

    with ThreadPoolExecutor(clients, initializer=begin) as pool:
        images = sum(pool.map(run, range(clients)))
    return Figures(1000 * (processor_seconds() - used) / images, images / (time.monotonic() - began))


@contextmanager
def _in_process(models: Path, runtime: str, _: Iterator[int]) -> Iterator[Call]:
    """The signature in a process of its own, which measures when a line asks it to."""
    command = [sys.executable, __file__, "--in-process", models, runtime]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        written, read = process.stdin, process.stdout

        def call(seconds: float) -> Figures:
            print(seconds, file=written, flush=True)
            return Figures(*map(float, read.readline().split()))

        yield call
        written.close()


def _serve_in_process(models: Path, runtime: Any) -> None:
    from keraserve_embedded.batching.batcher import lower_priority
    from keraserve_embedded.batching.options import BatchingOptions, cores
    from keraserve_embedded.engine import Engine, EngineOptions
    from keraserve_embedded.models.model_list import single_model
    from keraserve_embedded.process.hosting import threads
    from keraserve_embedded.quiet_tensorflow import set_threads
    from keraserve_protocol import messages as m

    set_threads(*threads(BatchingOptions()))
    engine = Engine(EngineOptions(batching=BatchingOptions(), runtime=runtime))
    engine.start(single_model(_NAME, str(models / _NAME)))
    with engine._manager.hold(m.model_spec(_NAME)) as version:
        signature = version.signatures["image_bytes"]
        batch = {"image_bytes": np.array(_photographs()[:_BATCH], object)}
        for line in sys.stdin:
            found = _closed_loop(
                cores(),
                lambda *_: len(signature.run(batch)["label"]),
                float(line),
                time.process_time,
                lower_priority,
            )
            print(found.milliseconds, found.rate, flush=True)


@contextmanager
def _grpc(models: Path, runtime: str, ports: Iterator[int]) -> Iterator[Call]:
    port = next(ports)
    program = Path(sys.executable).with_name("keraserve-embedded")
    flags = [f"--model_name={_NAME}", f"--model_base_path={models / _NAME}", "--enable_batching"]
    with _server([program, *flags, f"--port={port}", f"--runtime={runtime}"]) as process:
        yield _calling([GrpcClient(f"127.0.0.1:{port}") for _ in range(_CLIENTS)], process)


@contextmanager
def _http(models: Path, runtime: str, ports: Iterator[int]) -> Iterator[Call]:
    port = next(ports)
    program = Path(sys.executable).with_name("keraserve")
    flags = [f"--port={port}", "--grpc-port=0", f"--runtime={runtime}"]
    with _server([program, "serve", models, *flags]) as process:
        yield _calling([Client(f"http://127.0.0.1:{port}") for _ in range(_CLIENTS)], process)


def _calling(clients: list[Any], process: int) -> Call:
    end = time.monotonic() + 120
    while True:
        try:
            clients[0].classify(_NAME, _photographs()[:1])
            break
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)

    def send(client: int, file: bytes) -> int:
        return len(clients[client].classify(_NAME, [file]))

    def used() -> float:
        """Processor seconds of the server, as Linux counts them."""
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    return lambda seconds: _closed_loop(len(clients), send, seconds, used)


@contextmanager
def _server(command: list[Any]) -> Iterator[int]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--import", name, models]:
            _imported(name, Path(models))
        case ["--in-process", models, runtime]:
            _serve_in_process(Path(models), runtime)
        case _:
            main()
