"""What all distributions have in common: version, licence, description, and the pins of what they need."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(
    path.parent
    for part in ("clients", "distributions", "serving", "training")
    for path in (ROOT / part).rglob("pyproject.toml")
)
PROJECTS: dict[str, dict[str, Any]] = {
    str(folder.relative_to(ROOT)): tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    for folder in FOLDERS
}
MAKEFILE = (ROOT / "Makefile").read_text().replace("\\\n", " ")


def words(variable: str) -> list[str]:
    """The value of a variable of the Makefile."""
    [value] = re.findall(rf"^{variable} := (.*)$", MAKEFILE, re.MULTILINE)
    return value.split()


def test_make_knows_all_of_them() -> None:
    assert sorted(words("PACKAGES")) == sorted(PROJECTS)
    names = {project["name"] for project in PROJECTS.values()} - {"keraserve"}
    assert {f"keraserve-{part}" for part in words("OWN")} == names


def test_every_extra_is_pinned_and_ray_apart() -> None:
    extras = {name for project in PROJECTS.values() for name in project.get("optional-dependencies", {})}
    assert sorted(words("EXTRAS")) == sorted(extras - {"ray"})
    assert not re.search("^ray==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_rays_pins_are_those_of_all_others() -> None:
    pins = {
        name: dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("constraints.txt", "ray.txt")
    }
    assert "ray" in pins["ray.txt"]
    both = pins["ray.txt"].keys() & pins["constraints.txt"].keys()
    assert len(both) > 10
    assert {name: pins["ray.txt"][name] for name in both} == {
        name: pins["constraints.txt"][name] for name in both
    }


@pytest.mark.parametrize("folder", PROJECTS)
def test_a_distribution_that_needs_tensorflow_says_for_which_pythons_there_is_one(folder: str) -> None:
    project = PROJECTS[folder]
    needs = any(one.startswith("tensorflow") for one in project["dependencies"])
    assert project["requires-python"] == (">=3.11,<3.14" if needs else ">=3.11")
