"""docs/reliability.md and docs/security.md: each promise names tests, and each fault test has a promise."""

import ast
from pathlib import Path

import pytest
from shown_by import Page

FAULTS = Path(__file__).parents[1] / "system/faults"
PAGES = [Page("reliability.md", "system"), Page("security.md", "system")]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: Page) -> None:
    assert len(page.named()) > 20
    assert page.missing() == []


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_a_test(page: Page) -> None:
    lines = [line for line in page.text.splitlines() if line.startswith("| ") and "promise |" not in line]
    assert len(lines) == len(page.rows)


def test_every_scenario_holds_a_promise() -> None:
    named = {name for page in PAGES for name in page.named()}
    for file in FAULTS.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert (f"system/faults/{file.name}", node.name) in named
