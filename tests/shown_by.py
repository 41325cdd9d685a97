"""Pages of `docs/` whose tables are shown line by line by tests.

In most of them a line names its tests. Of `gateway.md`, the tests name their lines: `@pytest.mark.shows("…")`
has the first words of a line, as many as no other line begins with, or its whole first cell.
"""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
_NAMED = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")


@cache
def _defined_in(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def marked() -> dict[str, list[str]]:
    """Give what the markers of all tests say, and of each the tests that say it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for text in _texts(node):
                    found.setdefault(text, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def _texts(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    calls = [one for one in test.decorator_list if isinstance(one, ast.Call)]
    markers = [one for one in calls if ast.unparse(one.func) == "pytest.mark.shows"]
    return [ast.literal_eval(argument) for one in markers for argument in one.args]


class Page:
    """A page.

    Args:
        name: its file in `docs/`.
        folder: of `tests/`, where a test is that the page names without one.
        marked: whether tests name its lines, and not its lines their tests.

    Attributes:
        text: the whole of it.
        rows: the lines of its tables that are shown by a test, each as its cells.
    """

    def __init__(self, name: str, folder: str, *, marked: bool = False) -> None:
        self.text = (TESTS.parent / "docs" / name).read_text()
        self._folder = folder
        if marked:
            tables = re.findall(r"^\| .*(?=\n)(?!\n\|-)", self.text, re.MULTILINE)
        else:
            tables = [one for one in self.text.splitlines() if one.startswith("| ") and _NAMED.search(one)]
        self.rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]

    def named(self) -> list[tuple[str, str]]:
        """Give every test that it names: file and function."""
        return _NAMED.findall(self.text)

    def missing(self) -> list[str]:
        """Give those of them that do not exist."""
        return [f"{file}::{test}" for file, test in self.named() if test not in _defined_in(self._path(file))]

    def lines(self, cells: int | None = None) -> dict[str, list[str]]:
        """Give the rows, or those with so many cells, by the code in their first cell."""
        rows = [row for row in self.rows if cells in (None, len(row))]
        return {code: row for row in rows for code in re.findall(r"`([^`]+)`", row[0])}

    def line(self, text: str) -> str:
        """Give the first cell of the line that a marker names.

        Raises:
            ValueError: there is no such line, or more than one.
        """
        first = [row[0].replace("`", "") for row in self.rows]
        found = [one for one in first if one == text] or [one for one in first if one.startswith(text)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} lines begin with {text!r}")
        return found[0]

    def unmarked(self) -> set[str]:
        """Give the first cells of the lines that no marker names."""
        return {row[0].replace("`", "") for row in self.rows} - {self.line(text) for text in marked()}

    def _path(self, file: str) -> Path:
        return TESTS / (file if "/" in file else f"{self._folder}/{file}")
