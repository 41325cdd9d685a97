"""Features against the network itself; after a kill, repeated, damaged, by two at once; their key."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import extractor_to_kill
from training.shard_progress import Progress

from keraserve_training.data import examples, procedural
from keraserve_training.errors import OptionError
from keraserve_training.pretrained import bfloat16

SCRIPTS = Path(__file__).parent
SIZES = extractor_to_kill
pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture
def extract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    from keraserve_training.pretrained import features

    monkeypatch.setattr(features, "_SHARD_BYTES", SIZES.IN_SHARD * 7 * 7 * 8 * 4)

    def extract(model: Any = None, images: Any = None, **changed: Any) -> Any:
        model = model or SIZES.model()
        images = SIZES.images() if images is None else images
        given = {"store": tmp_path, "name": "little", "batch": SIZES.BATCH} | changed
        return features.extract(model, images, **given)

    return extract


def seen(features: Any, order: Any = None, batch: int = 7) -> tuple[Any, Any]:
    """Everything that `batches` gives, joined."""
    parts = list(features.batches(np.arange(len(features)) if order is None else order, batch))
    return tuple(np.concatenate([part[place].numpy() for part in parts]) for place in (0, 1))


def test_features_are_what_the_network_gives(extract: Callable[..., Any]) -> None:
    show, images = Progress(), SIZES.images()
    extracted = extract(show=show)
    rows, labels = seen(extracted.features)
    np.testing.assert_allclose(rows, SIZES.model()(images.images.astype(np.float32)), atol=1e-6)
    np.testing.assert_array_equal(labels, images.labels)
    assert rows.dtype == np.float32
    assert extracted.features.shape == (7, 7, 8)
    assert show.shards == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert extracted.record() == {
        "name": "little",
        "seconds": extracted.seconds,
        "images": 30,
        "bytes": 30 * 7 * 7 * 8 * 4,
        "from_cache": False,
        "dtype": "float32",
    }
    assert extracted.seconds > 0


def test_a_second_run_reads_them_and_says_so(
    extract: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, show = extract(), Progress()
    from keraserve_training.pretrained import features

    monkeypatch.delattr(features.Extraction, "make")
    second = extract(show=show)
    assert second.from_cache
    assert second.seconds == first.seconds
    assert "30 images' features are read" in show.sentences[0]
    np.testing.assert_array_equal(seen(second.features)[0], seen(first.features)[0])


def test_features_are_read_in_any_order_and_part(extract: Callable[..., Any]) -> None:
    features, order = extract().features, np.random.default_rng(0).permutation(30)
    assert features.batches(order, 4).options().autotune.enabled is False
    rows, labels = seen(features)
    shuffled, shuffled_labels = seen(features, order, batch=4)
    np.testing.assert_array_equal(shuffled, rows[order])
    np.testing.assert_array_equal(shuffled_labels, labels[order])
    part = features.after(3).select(order[:20] % 27)
    np.testing.assert_array_equal(seen(part)[0], rows[3:][order[:20] % 27])
    two = features.without([0])
    assert set(two.labels) == {0, 1}
    np.testing.assert_array_equal(seen(two)[0], rows[labels != 0])
    rest, aside = examples.split(features, 0.2, 1)
    assert (len(rest), len(aside)) == (24, 6)
    assert len({part.digest() for part in (features, two, rest, aside, features.relabelled(labels + 1))}) == 5
    assert features.digest() == extract().features.digest()


def test_copies_among_the_images_stay_together_among_their_features(extract: Callable[..., Any]) -> None:
    groups = np.arange(30) // 3
    features = extract(images=replace(SIZES.images(), groups=groups)).features
    np.testing.assert_array_equal(features.groups, groups)
    assert not {*features.first(15).groups.tolist()} & {*features.after(15).groups.tolist()}
    rest, aside = examples.split(features, 0.2, 1)
    assert not {*rest.groups.tolist()} & {*aside.groups.tolist()}


def test_every_dependency_is_part_of_the_key(extract: Callable[..., Any]) -> None:
    import keras

    def scaled_otherwise(model: Any) -> Any:
        config = model.get_config()
        config["layers"][1]["config"]["scale"] *= 2
        other = keras.Model.from_config(config)
        other.set_weights(model.get_weights())
        return other

    def other_weights(model: Any) -> Any:
        model.weights[0].assign(model.weights[0] * 1.01)
        return model

    pixels = SIZES.images().images.copy()
    pixels[-1, 0, 0, 0] ^= 1
    images = SIZES.images()
    variants = [
        {},
        {"model": scaled_otherwise(SIZES.model())},
        {"model": other_weights(SIZES.model())},
        {"images": type(images)(pixels, images.labels)},
        {"images": images.relabelled(images.labels + 1)},
        {"images": images.first(29)},
        {"batch": 2},
        {"key": {"layer": "block4_pool"}},
    ]
    folders = {extract(**variant).features.shards[0].parent for variant in variants}
    assert len(folders) == len(variants)
    assert extract().from_cache


def test_a_damaged_shard_is_made_again_and_gives_the_same(extract: Callable[..., Any]) -> None:
    first, show = extract(), Progress()
    rows = seen(first.features)[0]
    before = first.features.shards[2].read_bytes()
    damaged = bytearray(before)
    damaged[300] ^= 16
    first.features.shards[2].write_bytes(damaged)
    again = extract(show=show)
    assert again.features.shards == first.features.shards
    assert first.features.shards[2].read_bytes() == before
    assert not again.from_cache
    np.testing.assert_array_equal(seen(again.features)[0], rows)
    assert again.seconds == first.seconds
    assert show.shards == [(3, 4), (4, 4)]
    assert "shard-00002 is damaged" in show.sentences[0]


def run(store: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPTS / "extractor_to_kill.py", store, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_extraction_goes_on_with_the_next_shard(extract: Callable[..., Any], tmp_path: Path) -> None:
    killed = run(tmp_path / "killed", "2")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    show = Progress()
    extracted = extract(store=tmp_path / "killed", show=show)
    assert show.shards == [(2, 4), (3, 4), (4, 4)]
    undisturbed = extract(store=tmp_path / "undisturbed")
    assert [path.name for path in extracted.features.shards] == [
        path.name for path in undisturbed.features.shards
    ]


def test_of_two_processes_one_computes_the_features(tmp_path: Path) -> None:
    both = [run(tmp_path), run(tmp_path)]
    made = sorted(int(process.communicate()[0]) for process in both)
    assert made == [0, 4]


def test_training_on_them_needs_less_memory_than_they_take(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "features_in_little_memory.py", tmp_path, "300"],
        capture_output=True,
        text=True,
        check=True,
    )
    stored, grown = (int(figure) for figure in done.stdout.split())
    assert stored > 300e6
    assert grown < 150e6
    assert done.stderr == ""


def test_bfloat16_halves_the_bytes_and_is_close(extract: Callable[..., Any]) -> None:
    try:
        bfloat16.check()
    except OptionError:
        pytest.skip("this processor has no bfloat16")
    exact, rounded = extract(), extract(mixed_precision=True)
    assert rounded.record()["bytes"] * 2 == exact.record()["bytes"]
    assert rounded.record()["dtype"] == "bfloat16"
    rows, labels = seen(rounded.features)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, seen(exact.features)[0], atol=0.02)
    np.testing.assert_array_equal(labels, exact.features.labels)
    model = bfloat16.converted(SIZES.model())
    images = SIZES.images().images.astype(np.float32)
    np.testing.assert_array_equal(rows[:4], np.asarray(model(images[:4])).astype(np.float32))
    assert extract().features.layout.dtype == "float32"


def test_without_bfloat16_one_sentence_says_so(
    extract: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bfloat16, "_supported", lambda: False)
    with pytest.raises(OptionError, match="--mixed-precision"):
        extract(mixed_precision=True)


def test_no_thread_is_left_when_writing_fails(extract: Callable[..., Any]) -> None:
    class Failing(Progress):
        def batch(self, share: float) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as caught:
        extract(show=Failing())
    assert threading.active_count() <= before
    assert caught.tb  # it would hold what was not closed


def test_an_error_of_the_network_is_not_swallowed(extract: Callable[..., Any]) -> None:
    import tensorflow as tf

    small = procedural.images(9, classes=3, size=(12, 12), channels=3, seed=1)
    with pytest.raises((ValueError, tf.errors.OpError)):
        extract(images=small)
