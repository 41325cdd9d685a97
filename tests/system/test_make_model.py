"""`make model` passes on every variable, and names with spaces."""

import subprocess
from pathlib import Path

import pytest
from programs import ROOT


def commands(tmp_path: Path, *variables: str) -> list[list[str]]:
    """The arguments of each command that `make model` would run."""
    program = tmp_path / "record"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{tmp_path}/log"\necho -- >> "{tmp_path}/log"\n')
    program.chmod(0o755)
    make = ["make", "--silent", "--old-file=.venv/ready", "model", f"TRAIN={program}", *variables]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True)
    return [part.strip("\n").splitlines() for part in (tmp_path / "log").read_text().split("--\n") if part]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "My Flowers 2").mkdir()
    return tmp_path / "My Flowers 2"


def test_a_folder_is_enough(tmp_path: Path, images: Path) -> None:
    (own,) = commands(tmp_path, f"DATA={images}")
    assert own == ["own", str(images), "--runs", "runs", "--models", "models", "--profile", "full"]


def test_every_variable_counts(tmp_path: Path, images: Path) -> None:
    given = [
        "NAME=roses",
        "BACKBONE=xception",
        "ALPHA=0.25",
        "IMAGE_SIZE=96",
        "WEIGHTS=random",
        "LAYOUT=classes",
        "SEED=7",
    ]
    given.append("PROFILE=quick")
    (own,) = commands(tmp_path, f"DATA={images}/", *given, "FORCE=1")
    for name, value in (variable.split("=") for variable in given):
        flag = f"--{name.lower().replace('_', '-')}"
        assert own[own.index(flag) + 1] == value
    assert own[-1] == "--force"


@pytest.mark.parametrize(
    ("variables", "sentence"), [([], "name the images"), (["DATA=/no-such"], "DATA=/no-such is no folder")]
)
def test_a_folder_is_needed(variables: list[str], sentence: str) -> None:
    make = ["make", "--silent", "--old-file=.venv/ready", "model", *variables]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr
