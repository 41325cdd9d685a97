"""`make notebooks`: write the notebooks into a folder as .ipynb; `--execute` also runs those in English.

    python notebooks/make_notebooks.py build/notebooks [--execute]

What was executed lies in its folder `executed`.
"""

import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
_CELL_SECONDS = 3600
_START_SECONDS = 300  # of a kernel, on a machine with other work
_AT_ONCE = 2


def read(file: Path) -> Any:
    """A notebook from its text; its links lead from `build/notebooks` to the same documents."""
    return jupytext.reads(file.read_text(encoding="utf-8").replace("](../", "](../../"), fmt="md")


def write(out: Path) -> list[Path]:
    """Write all notebooks, and the module that they import, into `out`; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "lesson.py", out)
    written: list[Path] = []
    for file in sorted(HERE.glob("*.e[ns].md")):
        written.append(out / f"{file.stem}.ipynb")
        nbformat.write(read(file), written[-1])
    return written


def execute(file: Path) -> str:
    """Run a notebook and write it with its outputs; returns how long it took.

    Raises:
        CellExecutionError: a cell failed; with its trace.
    """
    began = time.monotonic()
    notebook = nbformat.read(file, as_version=4)
    place = {"metadata": {"path": str(file.parent)}}
    NotebookClient(
        notebook,
        kernel_name="python3",
        startup_timeout=_START_SECONDS,
        timeout=_CELL_SECONDS,
        resources=place,
    ).execute()
    (file.parent / "executed").mkdir(exist_ok=True)
    nbformat.write(notebook, file.parent / "executed" / file.name)
    return f"{file.name}: {time.monotonic() - began:.0f} s"


def main(out: Path, *, executed: bool) -> None:
    """Write, and perhaps run."""
    written = write(out)
    print(f"{out}: {len(written)} notebooks")
    if executed:
        english = [file for file in written if file.stem.endswith(".en")]
        with ProcessPoolExecutor(_AT_ONCE) as pool:
            for line in pool.map(execute, english):
                print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), executed="--execute" in sys.argv)
