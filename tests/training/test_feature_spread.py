"""Features whose shards are made by other processes: the same files as if they were made here."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training.shard_progress import Progress

from keraserve_training.data import procedural
from keraserve_training.errors import FeaturesError
from keraserve_training.pretrained import feature_spread, features
from keraserve_training.workers.local import Processes
from keraserve_training.workers.work import Done, Work

pytestmark = pytest.mark.usefixtures("tensorflow")
IMAGES = procedural.images(44, classes=2, size=(8, 8), channels=3, seed=1)
BATCH = 4


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_SHARD_BYTES", 1)  # one batch each: eleven


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(5, 3, activation="relu")
    return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="network")


def extract(model: keras.Model, store: Path, **more: Any) -> features.Extracted:
    return features.extract(model, IMAGES, store=store, name="train", batch=BATCH, **more)


def rows(extracted: features.Extracted) -> np.ndarray[Any, Any]:
    return extracted.features.read(np.arange(len(IMAGES)))


def test_other_processes_fill_the_same_store(model: keras.Model, tmp_path: Path) -> None:
    here, show = extract(model, tmp_path / "here"), Progress()
    (folder,) = (tmp_path / "here").iterdir()
    begun = tmp_path / "there" / folder.name
    shutil.copytree(folder, begun)
    for path in (*begun.glob("index*"), *begun.glob("shard-0000[1-9]*")):  # as a killed extraction leaves it
        path.unlink()
    there = extract(model, tmp_path / "there", workers=Processes(2), show=show)
    assert there.features.layout.shards == 11
    assert (show.shards[0], show.shards[-1]) == ((2, 11), (11, 11))
    np.testing.assert_array_equal(rows(there), rows(here))  # though each process there has one thread
    np.testing.assert_array_equal(there.features.labels, IMAGES.labels)
    assert not (begun / ".job").exists()
    assert extract(model, tmp_path / "there").from_cache


def test_a_piece_that_fails_is_named_and_nothing_of_the_job_is_left(
    model: keras.Model, tmp_path: Path
) -> None:
    class Failing:
        def do(self, work: list[Work], _: Any) -> list[Done]:
            assert all((each.arguments["job"] / "model.keras").exists() for each in work)
            return [Done(each.name, error="no room") for each in work]

    with pytest.raises(FeaturesError, match=r"train, shards from 0: no room"):
        extract(model, tmp_path, workers=Failing())
    assert not list(tmp_path.glob("*/.job"))


def test_a_piece_done_again_makes_only_what_is_missing(
    model: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = features.Extraction.make

    def remember(self: features.Extraction, shards: list[int], *rest: Any) -> None:
        made.extend(shards)
        real(self, shards, *rest)

    monkeypatch.setattr(features.Extraction, "make", remember)

    class Twice:
        def do(self, work: list[Work], _: Any) -> list[Done]:
            for each in [*work, *work]:
                feature_spread.make_part(**each.arguments)
            return [Done(each.name) for each in work]

    extract(model, tmp_path, workers=Twice())
    assert made == list(range(11))
