"""A lock is held by one process at a time and released when it dies; no module needs what Windows lacks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from keraserve_models import locks
from keraserve_models.locks import is_locked, locked

NOT_ON_WINDOWS = {"fcntl", "grp", "pwd", "resource", "termios"}
HOLD = """
import sys
from pathlib import Path
from keraserve_models.locks import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_held_by_one_process_and_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    assert not is_locked(file)
    assert not file.exists()
    command = [sys.executable, "-c", HOLD, file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(file)
        with pytest.raises(BlockingIOError), locked(file, wait=False):
            pass
        holder.kill()
        holder.wait()
    assert not is_locked(file)
    with locked(file):
        assert is_locked(file)


def test_nothing_is_imported_that_windows_lacks() -> None:
    for file in Path(locks.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not NOT_ON_WINDOWS & {name.partition(".")[0] for name in names}, file
