"""docs/model-server.md: every flag, call and error has a line, and every line names a test that exists."""

import re

import pytest
from shown_by import Page

from keraserve_embedded.errors import CODES
from keraserve_embedded.process.cli import parse
from keraserve_protocol.services import CALLS

PAGE = Page("model-server.md", "embedded")


def test_every_test_that_is_named_exists() -> None:
    assert len(PAGE.named()) > 60
    assert PAGE.missing() == []


def test_every_flag_has_a_line_with_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    flags = set(re.findall(r"^  (?:-h, )?(--\w+)", capsys.readouterr().out, re.MULTILINE))
    assert sorted(flags) == sorted(name for name in PAGE.lines() if name.startswith("--"))


def test_every_call_and_error_has_a_line_with_its_test() -> None:
    for name in [call.name for call in CALLS] + [error.__name__ for error in CODES]:
        assert name in PAGE.lines(), name
