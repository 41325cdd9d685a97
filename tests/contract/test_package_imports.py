"""Which package may import which other package and library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "keraserve_training": ROOT / "training/keraserve_training",
    "keraserve_models": ROOT / "serving/models/keraserve_models",
    "keraserve_protocol": ROOT / "serving/protocol/keraserve_protocol",
    "keraserve_embedded": ROOT / "serving/embedded/keraserve_embedded",
    "keraserve_gateway": ROOT / "serving/gateway/keraserve_gateway",
    "keraserve_client": ROOT / "clients/python/keraserve_client",
    "keraserve": ROOT / "clients/python/keraserve",
}
MAY_IMPORT = {
    "keraserve_training": {"keraserve_models", "keraserve_protocol", "tensorflow", "keras", "numpy", "PIL"},
    "keraserve_models": {"keraserve_protocol", "tensorflow", "keras", "numpy"},
    "keraserve_protocol": {"numpy"},
    "keraserve_embedded": {"keraserve_protocol", "tensorflow", "numpy"},
    "keraserve_gateway": {"keraserve_protocol", "fastapi"},
    "keraserve_client": {"keraserve_protocol", "numpy"},
    "keraserve": set(),
}
WATCHED = set(PACKAGES) | {"tensorflow", "keras", "PIL", "fastapi", "numpy", "tensorflow_serving"}
# These modules run other packages in their own process, or draw with an extra's, and import them only then.
TOGETHER = {
    ROOT / "clients/python/keraserve_client/_evaluation_page.py": {"PIL"},
    ROOT / "clients/python/keraserve_client/_overlay.py": {"PIL"},
    ROOT / "serving/gateway/keraserve_gateway/upstream/in_process.py": {"keraserve_embedded", "numpy"},
    ROOT / "serving/models/keraserve_models/commands/serving.py": {"keraserve_embedded", "keraserve_gateway"},
}
# The gateway doesn't import these modules: it runs without numpy.
NEED_NUMPY = {PACKAGES["keraserve_protocol"] / name for name in ("differences.py", "tensors.py")}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    files = [file for file in PACKAGES[package].rglob("*.py") if "proto/" not in file.as_posix()]
    assert files
    for file in files:
        allowed = MAY_IMPORT[package] | TOGETHER.get(file, set())
        others = imported(file) & WATCHED - allowed - {package}
        assert not others, f"{file.relative_to(ROOT)} imports {others}"


def test_numpy_is_imported_by_two_modules_of_the_protocol() -> None:
    files = PACKAGES["keraserve_protocol"].rglob("*.py")
    assert {file for file in files if "numpy" in imported(file)} == NEED_NUMPY


@pytest.mark.parametrize("part", ["calls", "upstream", "telemetry"])
def test_these_packages_of_the_gateway_import_no_http(part: str) -> None:
    files = list((PACKAGES["keraserve_gateway"] / part).rglob("*.py"))
    assert files
    for file in files:
        assert not imported(file) & {"fastapi", "starlette", "uvicorn"}, file
        assert "keraserve_gateway.http" not in file.read_text(), file


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("keraserve_gateway.http.app", "tensorflow keras numpy PIL keraserve_embedded"),
        ("keraserve_gateway.serve", "tensorflow keras numpy PIL keraserve_embedded"),
        ("keraserve_client", "tensorflow keras fastapi PIL"),
        ("keraserve.__main__", "tensorflow keras fastapi PIL numpy grpc keraserve_client keraserve_training"),
        ("keraserve_training.cli", "tensorflow keras"),
        ("keraserve_models.repository.release", "tensorflow keras numpy"),
        ("keraserve_models.cli", "tensorflow keras numpy fastapi"),
        ("keraserve_embedded.process.cli", "tensorflow keras"),
    ],
)
def test_an_import_loads_no_large_library(module: str, absent: str) -> None:
    program = f"import sys, {module}; print(*sorted(set({absent.split()}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
