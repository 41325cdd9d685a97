"""docs/model-server.md: every flag, call and error has a line, and every line a test that exists."""

import ast
import re
from pathlib import Path

import pytest

from keraserve_embedded.cli import parse
from keraserve_embedded.errors import CODES
from keraserve_protocol.services import CALLS

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/model-server.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
NAMED = re.compile(r"`((?:\w+/)?test_\w+\.py)::(test_\w+)`")


def defined_in(file: str) -> set[str]:
    path = TESTS / (file if "/" in file else f"embedded/{file}")
    nodes = ast.walk(ast.parse(path.read_text()))
    return {one.name for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 60
    missing = [f"{file}::{name}" for file, name in named if name not in defined_in(file)]
    assert missing == []


def test_every_flag_has_a_line_with_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    flags = set(re.findall(r"^  (?:-h, )?(--\w+)", capsys.readouterr().out, re.MULTILINE))
    described = {
        match[1] for row in ROWS if NAMED.search(row) and (match := re.match(r"\| `(--\w+)` \|", row))
    }
    assert sorted(flags) == sorted(described)


def test_every_call_and_error_has_a_line_with_its_test() -> None:
    shown = "\n".join(row for row in ROWS if NAMED.search(row))
    for name in [call.name for call in CALLS] + [error.__name__ for error in CODES]:
        assert f"`{name}`" in shown, name
