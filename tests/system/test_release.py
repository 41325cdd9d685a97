"""`make release` as its user has it: what it builds, checks and prints. It pushes nothing."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from programs import ROOT

DISTRIBUTIONS = 7


def release(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "release", f"DIST={folder}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    done = release(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("release")


def test_it_has_a_wheel_and_a_source_of_each_distribution(folder: Path, printed: str) -> None:
    packages = {path.name for pattern in ("*.whl", "*.tar.gz") for path in folder.glob(pattern)}
    assert len(packages) == 2 * DISTRIBUTIONS
    assert printed.count("PASSED") == 2 * DISTRIBUTIONS
    [upload] = re.findall("^  twine upload (.*)$", printed, re.MULTILINE)
    assert {Path(path).name for path in upload.split()} == packages
    assert "SKIPPED images" in printed or "docker://YOUR-REGISTRY/keraserve-gateway:" in printed


def test_its_sbom_has_what_is_installed_at_the_pinned_versions(folder: Path, printed: str) -> None:
    sbom = json.loads((folder / "keraserve.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "keraserve"
    found = {
        re.sub("[-_.]+", "-", one["name"]).lower(): one["version"]
        for one in sbom["components"]
        if not one["name"].startswith("keraserve")
    }
    assert {"tensorflow", "keras", "fastapi", "grpcio", "httpx2"} <= found.keys()
    assert not found.keys() & {"pytest", "ruff", "twine"}
    pins = re.findall(r"^([a-z0-9-]+)==([^ \\]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found.items() <= set(pins)
    own = {one["name"] for one in sbom["components"] if one["name"].startswith("keraserve-")}
    assert len(own) == DISTRIBUTIONS - 1
    # No address or folder of the machine that made it.
    assert not re.search(r"file:|localhost", json.dumps(sbom))


def test_a_folder_with_something_in_it_is_rejected(folder: Path, printed: str) -> None:
    done = release(folder)
    assert done.returncode != 0
    assert "is not empty: remove it, or name a new folder" in done.stderr
