"""TensorFlow and OpenVINO in the embedded server, in turn: processor time of an image, as a table.

    python benchmarks/serving/runtimes.py [--rounds 5] [--seconds 3] [NETWORK]...

Each network is imported with RANDOM weights, which changes no time. Three ways to run it: in process, a batch
of eight in flight for each core; over gRPC, with `keraserve-embedded --enable_batching`; over HTTP, with
`keraserve serve`, both with sixteen clients that send one image at a time. All servers stay up, and a round
measures each runtime once. What is compared is the processor time of an image in the server's process, which
other load on the machine changes least.
"""

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
_RUNTIMES = {
    "TensorFlow": {"runtime": "tensorflow"},
    "OpenVINO": {"runtime": "openvino"},
    "OpenVINO, bfloat16": {"runtime": "openvino", "precision": "bfloat16"},
}
_COLUMNS = ("network", "way", *(f"{name}: ms" for name in _RUNTIMES), "OpenVINO: times as fast", "bfloat16")
_CLIENTS, _BATCH, _FIRST_PORT = 16, 8, 22100
_NAME = "network"

Flags = dict[str, str]


def main() -> None:
    """Measure the named networks, or all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    print(f"| {' | '.join(_COLUMNS)} |\n|---|---|{'---:|' * (len(_COLUMNS) - 2)}", flush=True)
    for name in given.networks or _NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder) / "models"
            _import(name, models)
            for way, start in (("in process", _in_process), ("gRPC", _grpc), ("HTTP", _http)):
                with ExitStack() as stack:
                    ports = itertools.count(_FIRST_PORT)
                    calls = {
                        runtime: stack.enter_context(start(models, flags, ports))
                        for runtime, flags in _RUNTIMES.items()
                    }
                    _print(name, way, _measured(calls, given.rounds, given.seconds))


Call = Callable[[float], float]
"""Measures for so many seconds: processor milliseconds of an image."""


def _measured(calls: dict[str, Call], rounds: int, seconds: float) -> dict[str, list[float]]:
    for call in calls.values():
        call(1.0)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in calls if number % 2 else reversed(calls):
            found[name].append(calls[name](seconds))
    return found


def _print(name: str, way: str, found: dict[str, list[float]]) -> None:
    theirs, *ours = found.values()
    cells = [f"{statistics.median(each):.2f}" for each in found.values()]
    cells += [_ratio([one / other for one, other in zip(theirs, each, strict=True)]) for each in ours]
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

    from keraserve_models.exporting import card
    from keraserve_models.importing.importer import import_model
    from keraserve_models.importing.request import ImportRequest, Overrides, Scale
    from keraserve_models.repository import digests

    network, side, options = _NETWORKS[name]
    made: Any = getattr(keras.applications, network)
    file = models.with_name("model.keras")
    made(input_shape=(side, side, 3), weights=None, classes=10, **options).save(file)
    import_model(ImportRequest(file, _NAME, models, overrides=Overrides(scale=Scale.SYMMETRIC)))
    version = models / _NAME / "1"
    same = {"images": 1000, "float32": {"accuracy": 1.0}, "bfloat16": {"accuracy": 1.0}}
    card.write(version, {**card.read(version), "precision": same})  # only time is measured
    digests.write(version)


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
) -> float:
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
    return 1000 * (processor_seconds() - used) / images


@contextmanager
def _in_process(models: Path, flags: Flags, _: Iterator[int]) -> Iterator[Call]:
    """The signature in a process of its own, which measures when a line asks it to."""
    command = [sys.executable, __file__, "--in-process", models, json.dumps(flags)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        written, read = process.stdin, process.stdout

        def call(seconds: float) -> float:
            print(seconds, file=written, flush=True)
            return float(read.readline())

        yield call
        written.close()


def _serve_in_process(models: Path, flags: Any) -> None:
    from keraserve_embedded.batching.batcher import lower_priority
    from keraserve_embedded.batching.options import BatchingOptions, cores
    from keraserve_embedded.engine import Engine, EngineOptions
    from keraserve_embedded.models.model_list import single_model
    from keraserve_embedded.process.hosting import threads
    from keraserve_embedded.quiet_tensorflow import set_threads
    from keraserve_protocol import messages as m

    set_threads(*threads(BatchingOptions()))
    engine = Engine(EngineOptions(batching=BatchingOptions(), **flags))
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
            print(found, flush=True)


@contextmanager
def _grpc(models: Path, flags: Flags, ports: Iterator[int]) -> Iterator[Call]:
    port = next(ports)
    program = Path(sys.executable).with_name("keraserve-embedded")
    served = [f"--model_name={_NAME}", f"--model_base_path={models / _NAME}", "--enable_batching"]
    with _server([program, *served, f"--port={port}", *_given(flags)]) as process:
        yield _calling([GrpcClient(f"127.0.0.1:{port}") for _ in range(_CLIENTS)], process)


@contextmanager
def _http(models: Path, flags: Flags, ports: Iterator[int]) -> Iterator[Call]:
    port = next(ports)
    program = Path(sys.executable).with_name("keraserve")
    with _server([program, "serve", models, f"--port={port}", "--grpc-port=0", *_given(flags)]) as process:
        yield _calling([Client(f"http://127.0.0.1:{port}") for _ in range(_CLIENTS)], process)


def _given(flags: Flags) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


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
        case ["--in-process", models, flags]:
            _serve_in_process(Path(models), json.loads(flags))
        case _:
            main()
