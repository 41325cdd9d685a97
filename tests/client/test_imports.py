"""The modules that importing the client imports, and those that it must not."""

import json
import subprocess
import sys

FORBIDDEN = ("tensorflow", "keras", "fastapi", "starlette", "PIL", "keraserve_gateway", "keraserve_embedded")


def loaded(program: str) -> set[str]:
    program += "; import sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


def test_the_package_imports_no_large_library() -> None:
    imported = loaded("import keraserve_client")
    assert not imported & set(FORBIDDEN)
    assert not imported & {"typer", "rich"}, "only the command line needs these"


def test_the_command_line_and_arrays_import_no_large_library() -> None:
    imported = loaded(
        "import numpy, keraserve_client.cli as c, keraserve_client._images as i; "
        "i.load([numpy.zeros((2, 2), 'uint8'), b'bytes'])"
    )
    assert not imported & set(FORBIDDEN)
