"""What each pre-trained network costs, as a table: size, time of a served image, extraction, memory.

    python benchmarks/training/backbone_table.py [--rounds 5] [NETWORK]...

Each network runs in a process of its own, with RANDOM weights, which changes no time. A round times the
network and MobileNet 1.0 at 224 px, one after the other; the best round of each counts, "times MobileNet" is
their ratio, which other load on the machine changes least. Extraction is computed from processor time, which
such load changes less than time on the clock: each of its operations has one thread.
"""

import argparse
import functools
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keraserve_training import runtime
from keraserve_training.pretrained.networks import NETWORKS

_YARDSTICK, _NARROW = "mobilenet", "mobilenet 0.25"
_PHOTOGRAPH = (500, 375)  # columns and rows, as many photographs of ImageNet have
_CALLS = 5  # served images of a round
_BATCH = 24
# Top-1 on ImageNet's validation images as https://keras.io/api/applications publishes it; of MobileNetV3 and
# MobileNet 0.25 as the documentation of those functions has it.
_IMAGENET = {
    "mobilenet 0.25": 50.6, "mobilenetv3small": 68.1, "mobilenet": 70.4, "mobilenetv3large": 75.6,
    "efficientnetv2b0": 78.7, "efficientnetv2b1": 79.8, "efficientnetv2b2": 80.5, "efficientnetv2b3": 82.0,
    "efficientnetv2s": 83.9, "convnexttiny": 81.3, "resnet50": 74.9, "resnet50v2": 76.0, "densenet121": 75.0,
    "nasnetmobile": 74.4, "inceptionv3": 77.9, "xception": 79.0, "inceptionresnetv2": 80.3, "vgg16": 71.3,
    "vgg19": 71.3,
}  # fmt: skip
_COLUMNS = (
    "`--backbone`", "pixels", "parameters, M", "export, MB", "served image, ms", "times MobileNet",
    "extraction, images/s", "memory, MB", "ImageNet top-1, %",
)  # fmt: skip


def main() -> None:
    """Measure the named networks, or all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_measure(given.networks[0], given.rounds)))
        return
    print(f"| {' | '.join(_COLUMNS)} |\n|---|{'---:|' * (len(_COLUMNS) - 1)}", flush=True)
    for name in given.networks or _IMAGENET:
        command = [sys.executable, __file__, "--one", "--rounds", str(given.rounds), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(_row(name, json.loads(done.stdout.splitlines()[-1])), flush=True)


def _row(name: str, found: dict[str, float]) -> str:
    width = re.sub(r"^(\w+) ([\d.]+)$", r"`\1`, `--alpha \2`", name) if " " in name else f"`{name}`"
    published = _IMAGENET.get(name)
    cells = (
        f"{found['size']:.0f}", f"{found['parameters'] / 1e6:.1f}", f"{found['bytes'] / 1e6:.0f}",
        f"{found['served']:.1f}", f"{found['ratio']:.1f}", f"{found['extracted']:.0f}",
        f"{found['memory'] / 1e6:.0f}", "" if published is None else f"{published:.1f}",
    )  # fmt: skip
    return f"| {width} | {' | '.join(cells)} |"


def _measure(name: str, rounds: int) -> dict[str, float]:
    runtime.prepare()
    from keraserve_models.exporting.served import served
    from keraserve_training.pretrained import inference

    network, _, alpha = name.partition(" ")
    photograph = _photograph()
    with tempfile.TemporaryDirectory() as place:
        size, backbone = _export(network, float(alpha or 0) or None, Path(place, "own"))
        before = _memory()
        with served(Path(place, "own")) as version:
            version.run("image_bytes", {"image_bytes": photograph})
            memory = _memory() - before
            _export(_YARDSTICK, None, Path(place, "yardstick"))
            with served(Path(place, "yardstick")) as yardstick:
                times = [
                    [_milliseconds(each, photograph) for each in (version, yardstick)] for _ in range(rounds)
                ]
        best, reference = (min(column) for column in zip(*times, strict=True))
        extracting = inference.prepared(backbone.model, "float32", _BATCH)
        return {
            "size": size,
            "parameters": backbone.model.count_params(),
            "bytes": sum(file.stat().st_size for file in Path(place, "own").rglob("*") if file.is_file()),
            "served": best,
            "ratio": best / reference,
            "extracted": max(_extracted(extracting, size) for _ in range(rounds)),
            "memory": memory,
        }


def _export(network: str, alpha: float | None, place: Path) -> tuple[int, Any]:
    """Write the network with a linear layer for two classes, as `export` does; gives its size and itself."""
    import keras

    from keraserve_models.exporting import signatures
    from keraserve_training.pretrained import backbones, folding

    size = NETWORKS[network].size
    backbone = backbones.build(network, size=size, alpha=alpha, weights="random")
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
    whole = keras.Model(backbone.model.input, keras.layers.Dense(2, "softmax")(pooled))
    signatures.save(place, signatures.Network.of_keras(folding.folded(whole)), ["one", "other"])
    return size, backbone


def _photograph() -> Any:
    """A JPEG of noise that was smoothed: about as large as a photograph's."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(coarse).resize(_PHOTOGRAPH, Image.Resampling.BICUBIC).save(encoded, "JPEG")
    return np.array([encoded.getvalue()], object)


def _milliseconds(version: Any, photograph: Any) -> float:
    """The time of one call with one JPEG, the fastest of some."""
    call = functools.partial(version.run, "image_bytes", {"image_bytes": photograph})
    return 1000 * min(_timed(call) for _ in range(_CALLS))


def _extracted(network: Any, size: int) -> float:
    """Images a second that all processors of this machine compute, if they have nothing else to do."""
    images = np.zeros((network.batch, size, size, 3), np.float32)
    return runtime.processors() * network.batch / _timed(lambda: network.run(images), time.process_time)


def _timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def _memory() -> int:
    """Bytes of this process that no other shares (RssAnon)."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
