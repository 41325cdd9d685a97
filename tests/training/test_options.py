"""What a user may change of an experiment, and the names that follow from it."""

import re
from pathlib import Path

import pytest

from keraserve_training import experiments, open_run, profiles
from keraserve_training.errors import OptionError
from keraserve_training.experiment import Servable
from keraserve_training.exporting import export
from keraserve_training.options import Options
from keraserve_training.records import run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.run import RunSpec

MOBILENET = Options(backbone="mobilenet", alpha=0.25, image_size=160, data="/somewhere/My flowers")


@pytest.mark.parametrize(
    ("options", "slug"),
    [
        (Options(), ""),
        (MOBILENET, "my-flowers-mobilenet-0-25-160px"),
        (Options(weights="/a/b/My_Weights.h5", fine_tune=True), "my-weights-fine-tuned"),
        (Options(weights="imagenet", mixed_precision=True, strategy="mirrored"), "bfloat16-mirrored"),
        (Options(weights="random"), "random"),
    ],
)
def test_options_name_the_folder(options: Options, slug: str) -> None:
    assert options.slug() == slug


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "Mine"}, "lower-case letters"),
        ({"alpha": 0.5}, "--backbone mobilenet"),
        ({"alpha": 0.5, "backbone": "vgg16"}, "--backbone mobilenet"),
        ({"strategy": "x"}, "take mirrored"),
    ],
)
def test_values_that_no_experiment_takes_are_rejected(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Options(**arguments)  # pyright: ignore[reportArgumentType]


def test_an_experiment_says_what_it_takes(tmp_path: Path) -> None:
    reuse = experiments.find("fashion-mnist-reuse")
    with pytest.raises(OptionError, match=r"does not take --image-size; it takes "):
        open_run.execute(reuse, tmp_path / "run", RunSpec(profiles.SAMPLE, 1, Options(image_size=32)))
    assert not (tmp_path / "run").exists()


def test_every_model_can_be_named() -> None:
    Options(name="pets").check("fashion-mnist-reuse", ())
    with pytest.raises(OptionError, match="--data"):
        Options(name="pets", data="/x").check("fashion-mnist-reuse", ())


def test_restricted_keeps_what_is_taken() -> None:
    assert MOBILENET.restricted(("data", "image_size")) == Options(data=MOBILENET.data, image_size=160)


@pytest.mark.parametrize(
    ("options", "profile", "weights", "name"),
    [
        ({}, "full", "none", "fashion-mnist-reuse-a"),
        ({"name": "flowers"}, "full", "imagenet", "flowers-a"),
        ({"name": "flowers"}, "quick", "imagenet", "flowers-a-quick"),
        ({"name": "flowers"}, "sample", "random", "flowers-a-sample"),
        ({"name": "flowers", "weights": "random"}, "full", "random", "flowers-a-random"),
        ({"name": "flowers", "weights": "random"}, "quick", "random", "flowers-a-quick-random"),
        ({"weights": "random"}, "full", "random", "fashion-mnist-reuse-a-random"),
        ({"backbone": "mobilenet", "alpha": 0.25}, "full", "file", "fashion-mnist-reuse-a-mobilenet-0-25"),
        ({"data": f"/x/{'long-' * 20}"}, "full", "imagenet", None),
        ({"data": f"/x/{'long-' * 20}"}, "sample", "random", None),
    ],
)
def test_a_servable_is_named_after_the_runs_options_and_origin(
    options: dict[str, object], profile: str, weights: str, name: str | None
) -> None:
    reuse = experiments.find("fashion-mnist-reuse")
    config = {"options": options, "profile": {"name": profile}, "data": {"kind": "folder"}}
    run = FinishedRun(Path(), {**config, "weights": {"kind": weights}}, {})
    named = export.named(reuse.servables[0], reuse, run)
    assert isinstance(named, Servable)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", named.name)
    assert name in (None, named.name)
    assert named.name.endswith("-sample") == (profile == "sample")
    assert named.model == reuse.servables[0].model


def test_runs_with_other_options_have_folders_of_their_own() -> None:
    plain = run_folder.path(Path("runs"), "e", "full", 1)
    other = run_folder.path(Path("runs"), "e", "full", 1, MOBILENET.slug())
    assert plain == Path("runs/e/full-seed1")
    assert other == Path("runs/e/full-seed1+my-flowers-mobilenet-0-25-160px")
