"""The hosted workflows call what a developer calls, and the image that compose.yaml names."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
STEPS = {
    file.name: [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]
    for file in FILES
}


def commands(name: str) -> list[str]:
    return [step["run"] for step in STEPS[name] if "run" in step]


def test_every_change_is_checked_as_a_developer_checks_it() -> None:
    assert commands("ci.yml")[-1] == ".ci/run"


def test_the_container_tests_run_with_the_image_that_compose_starts() -> None:
    text = (ROOT / ".github/workflows/nightly.yml").read_text()
    [default] = re.findall(r"TF_SERVING_IMAGE:-([^}]+)", (ROOT / "compose.yaml").read_text())
    assert set(re.findall(r"tensorflow/serving:[\w.-]+", text)) == {default}
    assert commands("nightly.yml")[-1] == 'make test-containers TF_SERVING_IMAGE="$TF_SERVING_IMAGE"'


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_workflow_may_only_read_and_ends(file: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    # An input in a command's text would be a command: commands read it from the environment.
    assert not any("${{" in command for command in commands(file.name))
