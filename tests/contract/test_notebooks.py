"""The notebooks: the same code in both languages, and every experiment. `make test-notebooks` runs them."""

import re
from pathlib import Path
from typing import Any

import jupytext
import pytest

from keraserve_training.experiments import EXPERIMENTS

FOLDER = Path(__file__).parents[2] / "notebooks"
ENGLISH = sorted(FOLDER.glob("*.en.md"))


def cells(file: Path, kind: str) -> list[str]:
    notebook: Any = jupytext.read(file)
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.parametrize("english", ENGLISH, ids=lambda file: file.name)
def test_both_languages_have_the_same_code_headings_and_questions(english: Path) -> None:
    spanish = english.with_name(english.name.replace(".en.", ".es."))
    assert cells(english, "code") == cells(spanish, "code") != []
    for mark in (r"^#+ ", "<details><summary>", "</details>", r"\]\("):
        counts = [len(re.findall(mark, file.read_text(), re.MULTILINE)) for file in (english, spanish)]
        assert counts[0] == counts[1] > 0, mark


def test_every_experiment_is_in_one_notebook_and_every_notebook_in_the_list() -> None:
    code = [cell for file in ENGLISH for cell in cells(file, "code")]
    run = re.findall(r'\brun\("([\w-]+)"\)', "\n".join(code))
    assert sorted(run) == sorted(experiment.name for experiment in EXPERIMENTS)
    listed = re.findall(r"\((\S+\.e[ns]\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == sorted(file.name for file in FOLDER.glob("*.e[ns].md"))
    assert len(listed) == 2 * len({experiment.source for experiment in EXPERIMENTS})
