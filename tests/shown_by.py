"""Pages of `docs/` whose tables name, line by line, the test that shows it."""

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


class Page:
    """A page.

    Args:
        name: its file in `docs/`.
        folder: of `tests/`, where a test is that the page names without one.

    Attributes:
        text: the whole of it.
        rows: the lines of its tables that name a test, each as its cells.
    """

    def __init__(self, name: str, folder: str) -> None:
        self.text = (TESTS.parent / "docs" / name).read_text()
        self._folder = folder
        tables = [line for line in self.text.splitlines() if line.startswith("| ") and _NAMED.search(line)]
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

    def _path(self, file: str) -> Path:
        return TESTS / (file if "/" in file else f"{self._folder}/{file}")
