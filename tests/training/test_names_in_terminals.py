"""Names that users chose, in what is printed, in labels and in errors."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from keraserve_training import console, progress
from keraserve_training.data import class_folders, layout
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import FULL, QUICK, SAMPLE

NAMES = ("pets [v2]", "[/bold]", "[red]dogs", "a:cat:b", "x] [/]", "[link=http://a.b]")


def draw(folder: Path, count: int = 1) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (80, 80), (number % 256, 40, 90)).save(folder / f"{number}.png")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [True, False])
def test_brackets_and_colons_are_printed_as_they_are(name: str, terminal: bool) -> None:
    written = io.StringIO()
    ours = console.out
    plain = Console(file=written, width=200, force_terminal=terminal, color_system=None, **console.PLAIN)
    assert (ours._markup, ours._emoji) == (plain._markup, plain._emoji) == (False, False)
    if terminal:
        with progress.Bars(plain) as bars:
            bars.tell(f"{name}: 1 is left out")
            bars.start(name, 3, 0)
    else:
        progress.Lines(plain).tell(f"{name}: 1 is left out")
    assert f"{name}: 1 is left out" in written.getvalue()


@pytest.mark.parametrize(
    "name", [os.fsdecode(b"k\xe4se"), "two\nlines", "a\rb", "tab\there", "line\u2028break"]
)
def test_a_class_that_can_not_be_a_line_of_labels_is_rejected_with_its_folder(
    name: str, tmp_path: Path
) -> None:
    draw(tmp_path / "dogs")
    draw(tmp_path / name)
    with pytest.raises(DataUnavailableError) as caught:
        layout.read(tmp_path)
    sentence = str(caught.value)
    sentence.encode()
    assert str(tmp_path) in sentence
    assert "\n" not in sentence
    assert sentence.endswith("rename it.")


def test_a_data_folder_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"k\xe4se")
    draw(root / "cats")
    draw(root / "dogs")
    with pytest.raises(DataUnavailableError, match=r"k\\xe4se is not UTF-8"):
        layout.read(root)


def test_what_can_not_be_encoded_is_printed_as_an_escape() -> None:
    program = (
        "import os; from keraserve_training.console import out, printable; printable();"
        "out.print(os.fsdecode(b'gr\\xfcn.jpg') + ' \\u00e4')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert (done.returncode, done.stdout) == (0, b"gr\\udcfcn.jpg \xc3\xa4\n")


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize("profile", [FULL, QUICK, SAMPLE], ids=lambda profile: profile.name)
def test_small_profiles_leave_no_class_without_images(tmp_path: Path, profile: object) -> None:
    for number in range(60):
        draw(tmp_path / f"class {number:02}", 60 if number == 0 else 3)
    data = class_folders.load(tmp_path, profile, lambda _: None)  # pyright: ignore
    assert set(data.train.labels) == set(data.test.labels) == set(range(60))
