"""The README's commands and code blocks are run, in their order."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import ROOT, save_images
from waiting import until

# The models here are those of the profile `sample`, and so are their names.
README = re.sub(r"\b(fashion-mnist-reuse-[ab])\b", r"\1-sample", (ROOT / "README.md").read_text())
PORTS = {8000: "HTTP", 8500: "gRPC", 8510: "the model server"}

# Run elsewhere: the first two by .ci/run in a fresh clone, `make serve` by the fixture below.
BY_CI = {"make demo", "make test"}
BY_FIXTURE = {"make serve"}
# tests/system/test_serve_command.py and tests/models/test_commands.py type these.
BY_OTHER_TESTS = {
    "make setup",
    ".venv/bin/keraserve serve model.keras --labels labels.txt",
    ".venv/bin/keraserve import model.keras --name flowers --labels labels.txt",
    ".venv/bin/keraserve models list",
    ".venv/bin/keraserve serve models",
}
# These take minutes, with real images; `make demo` runs the same. The runs here have the profile `sample`.
LONG = {
    ".venv/bin/keraserve-train run fashion-mnist-reuse --seed 7",
    ".venv/bin/keraserve-train export",
    "make model DATA=flowers NAME=flowers",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line]


def of_containers(command: str) -> bool:
    """Whether test_containers.py runs a command."""
    return command.startswith(("docker", "make train-all", "mkdir"))


def test_ci_types_the_two_commands_of_the_readme() -> None:
    ci = (ROOT / ".ci/run").read_text()
    assert set(commands()) >= BY_CI
    assert all(f"as_newcomer {command}" in ci for command in BY_CI)


def test_every_make_target_of_the_readme_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text()
    assert named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


def test_every_folder_of_the_table_exists() -> None:
    folders = re.findall(r"^\| `([a-z/]+/)`", README, re.MULTILINE)
    assert len(folders) >= 8
    assert all((ROOT / folder).is_dir() for folder in folders)


@pytest.fixture(scope="module")
def checkout(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a checkout after `make demo`, in which `make serve` runs."""
    busy = [port for port in PORTS if not free(port)]
    if busy:
        pytest.skip(f"the README's own ports are in use: {busy}")
    folder = tmp_path_factory.mktemp("checkout")
    for name in (".venv", "Makefile", "demo", "pyproject.toml", "constraints.txt", "uv.txt"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("serving", "clients", "training", "distributions"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("models", "runs"):
        (folder / name).symlink_to(exported / name)
    save_images(folder / "runs/demo")
    # In a session of its own, so that the signal below reaches make and its processes, as Ctrl-C does.
    serve = subprocess.Popen(["make", "serve"], cwd=folder, start_new_session=True)
    try:
        until(lambda: serve.poll() is not None or (not free(8000) and ready(folder)), "not ready", 120)
        assert serve.poll() is None, "make serve ended"
        yield folder
    finally:
        os.killpg(serve.pid, signal.SIGINT)
        serve.wait(timeout=60)


def free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def ready(folder: Path) -> bool:
    return subprocess.run([".venv/bin/keraserve", "models"], cwd=folder, capture_output=True).returncode == 0


def test_the_commands_work_in_their_order(checkout: Path) -> None:
    elsewhere = BY_CI | BY_FIXTURE | BY_OTHER_TESTS | LONG
    assert elsewhere <= set(commands())
    typed = [line for line in commands() if line not in elsewhere and not of_containers(line)]
    assert len(typed) >= 5
    for command in typed:
        done = subprocess.run(
            ["bash", "-euc", command], cwd=checkout, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if command.startswith("curl"):
            assert '"predictions"' in done.stdout


@pytest.mark.parametrize("block", blocks("python"))
def test_the_python_blocks_work(block: str, checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
