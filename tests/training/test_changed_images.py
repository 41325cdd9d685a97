"""Runs and exports notice that a user's images have changed since a run learnt from them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from training.exporter_to_kill import write_plain

from keraserve_models.repository import folders
from keraserve_training import cli, experiments, open_run, options, profiles, run
from keraserve_training.data import datasets
from keraserve_training.errors import DataUnavailableError, OutdatedError, RunDiffersError
from keraserve_training.exporting import export, model_card
from keraserve_training.records import run_folder

pytestmark = pytest.mark.usefixtures("tensorflow")
NAME = "cats-dogs-xception"
EXPERIMENT = replace(experiments.find(NAME), weights="none")
ANEW = r"train again with --force \(make model FORCE=1\)"


def image(file: Path, colour: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (colour, 2 * colour % 256, 255 - colour)).save(file)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for number in range(4):
        image(tmp_path / "pets" / "cats" / f"{number}.png", number)
        image(tmp_path / "pets" / "dogs" / f"{number}.png", 100 + number)
    return tmp_path / "pets"


def spec(pets: Path) -> run.RunSpec:
    given = options.Options(data=str(pets), name="pets")
    return run.RunSpec(profiles.FULL, 1, given)


@pytest.fixture
def folder(tmp_path: Path, pets: Path) -> Path:
    """Of a run that has begun with those images."""
    given = spec(pets)
    folder = given.folder(tmp_path / "runs", NAME)
    with open_run.opened(EXPERIMENT, folder, given) as begun:
        begun.load(datasets.cats_dogs)
    return folder


def finish(folder: Path) -> None:
    """What a finished run says of itself, without the hours."""
    labels = run_folder.read_json(folder / "config.json")["data"]["class_names"]
    network = {
        "labels": labels,
        "input": [8, 8, 3],
        "test": None,
        "parameters": 1,
        "seconds": 1.0,
    }
    content = {"run_id": "r", "finished": "2026", "metrics": {}, "seconds": 1.0, "procedural": False}
    (folder / "metrics.json").write_text(json.dumps({**content, "networks": {"fine-tuned": network}}))


def reopened(pets: Path, folder: Path, *, force: bool = False) -> bool:
    with open_run.opened(EXPERIMENT, folder, spec(pets), force=force) as again:
        return again.finished


def more(pets: Path) -> None:
    for number in (7, 8):
        image(pets / "cats" / f"{number}.png", 30 + number)
    image(pets / "truck" / "1.png", 60)


def gone(pets: Path) -> None:
    shutil.rmtree(pets)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "more": (more, "3 images more, class truck new"),
    "fewer": (lambda pets: (pets / "dogs" / "0.png").unlink(), "1 image fewer"),
    "replaced": (lambda pets: image(pets / "dogs" / "0.png", 200), "1 image with another content"),
    "renamed": (lambda pets: (pets / "cats").rename(pets / "kittens"), "class cats is called kittens now"),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_changed_images_are_said(pets: Path, folder: Path, case: str, state: str) -> None:
    if state == "finished":
        finish(folder)
    assert reopened(pets, folder) == (state == "finished")
    change, said = CHANGES[case]
    change(pets)
    with pytest.raises(RunDiffersError, match=f"{said}: .*{ANEW}"):
        reopened(pets, folder)
    assert not reopened(pets, folder, force=True)


def test_other_names_of_the_same_files_stop_only_what_goes_on(pets: Path, folder: Path) -> None:
    (pets / "cats" / "0.png").rename(pets / "cats" / "9.png")
    with pytest.raises(RunDiffersError, match="1 image under another name: put back what was there"):
        reopened(pets, folder)
    finish(folder)
    assert reopened(pets, folder)


def test_a_run_is_kept_if_its_folder_of_images_is_gone(pets: Path, folder: Path) -> None:
    finish(folder)
    gone(pets)
    for force in (False, True):
        with pytest.raises(DataUnavailableError, match="There is no folder"):
            reopened(pets, folder, force=force)
    assert (folder / "metrics.json").exists()


def test_a_class_that_is_renamed_in_place_is_noticed_by_the_data_itself(pets: Path, folder: Path) -> None:
    (folder / "images.json").unlink()  # as an older version left it
    (pets / "cats").rename(pets / "cows")
    with (
        open_run.opened(EXPERIMENT, folder, spec(pets)) as again,
        pytest.raises(RunDiffersError, match="other images"),
    ):
        again.load(datasets.cats_dogs)


def test_a_finished_run_without_a_list_of_images_is_not_trusted(pets: Path, folder: Path) -> None:
    finish(folder)
    (folder / "images.json").unlink()
    with pytest.raises(RunDiffersError, match=f"an older version made this run.*{ANEW}"):
        reopened(pets, folder)


def test_the_command_says_it_without_loading_tensorflow_or_weights(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for arguments, said in (
        (["--data", "nope"], "There is no folder"),
        (["--data", str(pets), "--layout", "parts"], "no folder of training images"),
        (["--data", str(pets), "--layout", "odd"], "There is no layout 'odd': take classes, parts, merged."),
        (["--layout", "parts"], "--layout says how a folder is read: name it with --data."),
    ):
        monkeypatch.setattr("sys.argv", ["keraserve-train", "run", NAME, *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert done.value.code == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, int, bool]]]:
    """Export; the files' content is tested elsewhere."""

    def plain(place: Path, **what: Any) -> None:
        write_plain(place)
        (place / folders.MODEL_CARD).write_text(json.dumps(model_card.card(**what)))

    monkeypatch.setattr(export, "_write", plain)

    def go(**arguments: Any) -> list[tuple[str, int, bool]]:
        runs, models = tmp_path / "runs", tmp_path / "models"
        found, _ = export.export([EXPERIMENT], runs=runs, models=models, profile="full", **arguments)
        return [(each.name, each.version, each.new) for each in found]

    return go


@pytest.mark.parametrize("case", [*CHANGES, "gone"])
def test_export_rejects_what_no_longer_fits_unless_told(
    tmp_path: Path, pets: Path, folder: Path, go: Callable[..., list[tuple[str, int, bool]]], case: str
) -> None:
    finish(folder)
    assert go() == [("pets", 1, True)]
    change, said = {**CHANGES, "gone": (gone, f"the folder {pets} is gone")}[case]
    change(pets)
    with pytest.raises(OutdatedError, match=f"{said}: {ANEW}, or export it all the same with --outdated"):
        go()
    with pytest.raises(OutdatedError):
        go(force=True)
    assert folders.versions(tmp_path / "models" / "pets") == [1]
    assert go(force=True, outdated=True) == [("pets", 2, True)]
    card = json.loads((tmp_path / "models/pets/2" / folders.MODEL_CARD).read_text())
    assert card["warnings"] == [f"Its images have changed since it learnt from them: {said}."]


def test_one_that_is_outdated_does_not_stop_the_others(
    tmp_path: Path, pets: Path, folder: Path, go: Callable[..., list[tuple[str, int, bool]]]
) -> None:
    finish(folder)
    others = shutil.copytree(pets, tmp_path / "others")
    given = run.RunSpec(profiles.FULL, 1, options.Options(data=str(others)))
    second = folder.parent / f"full-seed1+{given.options.slug()}"
    with open_run.opened(EXPERIMENT, second, given) as begun:
        begun.load(datasets.cats_dogs)
    finish(second)
    (pets / "cats" / "0.png").unlink()
    with pytest.raises(OutdatedError):
        go()
    assert folders.names(tmp_path / "models") == ["cats-dogs-xception-others"]
    assert go(options=given.options) == [("cats-dogs-xception-others", 1, False)]
