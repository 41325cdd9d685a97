"""How models are computed: mixed precision and XLA, by TensorFlow Serving's flags."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keraserve_embedded import quiet_tensorflow
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.process import hosting

WORDS = ["fine", "sharp", "dark"]


class Network(tf.Module):
    """A convolution, a table, and a function that is to be compiled."""

    def __init__(self) -> None:
        super().__init__()
        draw = np.random.default_rng(3).normal(size=(3, 3, 3, 32))
        self.kernel = tf.Variable(draw.astype(np.float32))
        keys = tf.constant(WORDS)
        values = tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1.0, 2.0, 3.0]))
        self.table = tf.lookup.StaticHashTable(values, -1.0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.float32, "images"),
            tf.TensorSpec([None], tf.string, "words"),
        ]
    )
    def seen(self, images: tf.Tensor, words: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 1, "SAME"))
        return {"scores": tf.reduce_mean(found, (1, 2)), "values": self.table.lookup(words)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], jit_compile=True)
    def twice(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 2.0 * x}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network, folder = Network(), tmp_path_factory.mktemp("computing") / "m" / "1"
    tf.saved_model.save(network, str(folder), signatures={"seen": network.seen, "twice": network.twice})
    return folder


def test_bfloat16_is_close_to_float32_and_tables_and_strings_stay(saved: Path) -> None:
    inputs = {
        "images": np.random.default_rng(5).uniform(size=(3, 16, 16, 3)).astype(np.float32),
        "words": np.array([b"dark", b"fine", b"none"], object),
    }
    results = [
        LoadedVersion("m", 1, saved, bfloat16=on).signatures["seen"].run(inputs) for on in (False, True)
    ]
    exact, rounded = results
    assert rounded["scores"].dtype == np.float32
    assert rounded["scores"] == pytest.approx(exact["scores"], rel=0.02, abs=0.02)
    if quiet_tensorflow.has_bfloat16():
        assert not np.array_equal(rounded["scores"], exact["scores"])
    assert [list(one["values"]) for one in results] == [[3.0, 1.0, -1.0]] * 2


@pytest.mark.parametrize(
    ("flags", "bfloat16"), [("fpu avx2 avx512f", False), ("avx512_bf16 vnni", True), ("asimd bf16", True)]
)
def test_a_processor_without_bfloat16_computes_in_float32_and_says_so(
    flags: str,
    bfloat16: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"flags\t: {flags}\n")
    monkeypatch.setattr(hosting, "has_bfloat16", lambda: quiet_tensorflow.has_bfloat16(file))
    assert hosting.takes_bfloat16("bfloat16") is bfloat16
    assert ("no effect: this processor has no instructions for it" in caplog.text) is not bfloat16
    assert not quiet_tensorflow.has_bfloat16(tmp_path / "absent")


def test_xla_compiles_only_where_that_is_enabled(saved: Path) -> None:
    """In a process of its own, for which it is disabled."""
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from keraserve_embedded import quiet_tensorflow;"
        "from keraserve_embedded.models.loaded_version import LoadedVersion;"
        "run = LoadedVersion('m', 1, Path(sys.argv[1])).signatures['twice'].run;"
        "print(run({'x': np.float32([1, 2])})['y']);"
        "quiet_tensorflow.disable_xla();"
        "run({'x': np.float32([1, 2, 3])})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(saved)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[2. 4.]\n"
    assert done.returncode == 1
    assert "ExecutionError: XLA compilation disabled" in done.stderr
