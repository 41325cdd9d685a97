"""What all distributions have in common: version, licence, description, and the pins of what they need."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from keraserve_gateway.http.app import VERSION

ROOT = Path(__file__).parents[2]
KERASERVE = "distributions/keraserve"
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
    names = {project["name"] for folder, project in PROJECTS.items() if folder != KERASERVE}
    assert {f"keraserve-{part}" for part in words("OWN")} == names


LARGE = {"ray": "ray", "hub": "keras-hub"}


def test_every_extra_is_pinned_and_large_ones_apart() -> None:
    extras = {name for project in PROJECTS.values() for name in project.get("optional-dependencies", {})}
    assert sorted(words("EXTRAS")) == sorted(extras - LARGE.keys())
    for package in LARGE.values():
        assert not re.search(f"^{package}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize("extra", LARGE)
def test_pins_of_a_large_extra_are_those_of_all_others(extra: str) -> None:
    pins = {
        name: dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("constraints.txt", f"{extra}.txt")
    }
    own = pins[f"{extra}.txt"]
    assert LARGE[extra] in own
    both = own.keys() & pins["constraints.txt"].keys()
    assert both
    assert {name: own[name] for name in both} == {name: pins["constraints.txt"][name] for name in both}


@pytest.mark.parametrize("folder", PROJECTS)
def test_a_distribution_that_needs_tensorflow_says_for_which_pythons_there_is_one(folder: str) -> None:
    project = PROJECTS[folder]
    needs = any(one.startswith("tensorflow") for one in project["dependencies"])
    assert project["requires-python"] == (">=3.11,<3.14" if needs else ">=3.11")


def test_all_have_one_version() -> None:
    versions = {project["version"] for project in PROJECTS.values()}
    versions |= {VERSION, yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]}
    for project in PROJECTS.values():
        needed = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
        for own in (Requirement(one) for one in chain(*needed) if one.startswith("keraserve")):
            [pin] = own.specifier
            assert pin.operator == "==", own
            versions.add(pin.version)
    assert versions == {VERSION}


@pytest.mark.parametrize("folder", PROJECTS)
def test_a_distribution_has_licence_readme_and_classifiers(folder: str) -> None:
    project = PROJECTS[folder]
    assert project["license"] == "Apache-2.0"
    # Copies, since a wheel and an sdist are made of the distribution's own folder.
    assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (ROOT / folder / project["readme"]).read_text().startswith(f"# {project['name']}\n")
    assert set(project["classifiers"]) >= {
        f"Programming Language :: Python :: {number}" for number in ("3.11", "3.12", "3.13")
    }


@pytest.mark.parametrize("folder", PROJECTS)
def test_a_readme_names_every_extra(folder: str) -> None:
    readme = (ROOT / folder / "README.md").read_text()
    for extra in PROJECTS[folder].get("optional-dependencies", {}):
        assert re.search(rf"`{extra}`|\[{extra}\]", readme) or (folder, extra) == (KERASERVE, "client"), extra


def test_the_citation_has_what_the_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert citation["license"] == "Apache-2.0"
