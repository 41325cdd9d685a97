"""Sphinx's settings for `make docs`; `build.py` prepares the documents and calls it."""

import re
from importlib.metadata import version as installed
from itertools import pairwise
from typing import Any

project = "Keraserve"
copyright = "the authors of Keraserve"  # noqa: A001  Sphinx's name
version = release = installed("keraserve-client")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
smartquotes = False  # it would make a dash of the two before an option
html_theme = "furo"
html_favicon = "../../serving/gateway/keraserve_gateway/web/icon.svg"
html_title = f"Keraserve {release}"
html_copy_source = html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

myst_heading_anchors = 6  # the anchors that repositories' web views make
suppress_warnings = ["myst.header"]  # a generated part may begin below the first level

# Docstrings are Markdown: `name` is code.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": "__init__"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
napoleon_use_ivar = True  # `Attributes:` describes fields, which autodoc lists as well
napoleon_use_rtype = False

_CODE = re.compile(r"(`[^`]*`)")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _from_markdown, priority=100)  # before napoleon


def _from_markdown(*arguments: Any) -> None:
    """Write as reStructuredText what Markdown has otherwise: code, tables, trees, stars, plurals."""
    lines: list[str] = arguments[-1]
    written: list[str] = []
    literal = False
    for line, following in pairwise([*lines, ""]):
        if line.startswith("|"):
            written += _row(line, first=not written[-1:] or not written[-1].startswith("   "))
            continue
        drawn = line[:1] in tuple("├│└") or following[:1] == "├"
        code = line.startswith("    ") and (literal or written[-1:] == [""])
        if line and not (drawn or code):
            literal = False
        elif line and not literal:
            literal = True
            written += ["::", ""]
        written.append(f"    {line}" if literal else _text(line))
    lines[:] = written


def _row(line: str, *, first: bool) -> list[str]:
    if set(line) <= set("|- "):
        return []
    cells = [_text(cell.strip()) for cell in line.strip("|").split("|")]
    begin = [".. list-table::", "   :header-rows: 1", ""] if first else []
    return [*begin, *(f"   {'*' if number == 0 else ' '} - {cell}" for number, cell in enumerate(cells))]


def _text(line: str) -> str:
    parts = _CODE.split(line)
    stars = "".join(part if number % 2 else part.replace("*", r"\*") for number, part in enumerate(parts))
    return re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", stars)
