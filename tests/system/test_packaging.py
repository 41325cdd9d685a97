"""Each distribution is built as a wheel, installed alone into an environment, and started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from free_ports import free_ports
from stack import Stack
from waiting import until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MODEL = "fashion-mnist-reuse-a-sample"
FORBIDDEN = {"tensorflow", "keras", "fastapi", "pillow"}
# What the distribution without code brings.
PACKAGES = {
    "keraserve": "keraserve_client",
    "keraserve[serve]": "keraserve_models",
    "keraserve[all]": "keraserve_training",
}
OF_EXTRAS = {
    "keraserve_embedded.models.quiet_openvino",
    "keraserve_gateway.upstream.in_process",
    "keraserve_protocol.http_parser",
}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheels")
    for project in (
        "serving/protocol",
        "serving/models",
        "serving/embedded",
        "serving/gateway",
        "clients/python",
        "training",
        "distributions/keraserve",
    ):
        command = (BIN / "uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", out)
        run(*command, "--python", sys.executable, ROOT / project)
    return out


def test_every_wheel_carries_its_package(wheels: Path) -> None:
    names = sorted(wheel.name.split("-")[0] for wheel in wheels.glob("*.whl"))
    parts = ("client", "embedded", "gateway", "models", "protocol", "training")
    assert names == ["keraserve", *(f"keraserve_{part}" for part in parts)]
    for wheel in wheels.glob("keraserve_*.whl"):
        package = wheel.name.split("-")[0]
        assert f"{package}/py.typed" in zipfile.ZipFile(wheel).namelist()
    [client] = wheels.glob("keraserve_client-*.whl")
    assert "keraserve/py.typed" in zipfile.ZipFile(client).namelist()
    [name_alone] = wheels.glob("keraserve-*.whl")
    assert {Path(file).parts[0] for file in zipfile.ZipFile(name_alone).namelist()} == {
        "keraserve-0.1.0.dist-info"
    }


def test_every_wheel_carries_licence_and_description(wheels: Path) -> None:
    built = sorted(wheels.glob("*.whl"))
    for wheel in built:
        with zipfile.ZipFile(wheel) as archive:
            [licence] = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
            [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
            assert b"License-Expression: Apache-2.0\n" in archive.read(metadata)
    assert run(BIN / "twine", "check", "--strict", *built).count("PASSED") == len(built)


@pytest.mark.parametrize(
    ("name", "program", "allowed"),
    [
        ("keraserve-protocol[numpy]", None, set()),
        ("keraserve-client", "keraserve", set()),
        ("keraserve-gateway", "keraserve-gateway", {"fastapi"}),
        ("keraserve-embedded", "keraserve-embedded", {"tensorflow", "keras"}),
        ("keraserve-models", None, {"tensorflow", "keras"}),
        ("keraserve-models[serve]", "keraserve", {"tensorflow", "keras", "fastapi"}),
        ("keraserve-training", "keraserve-train", {"tensorflow", "keras", "pillow"}),
        ("keraserve", "keraserve", set()),
        ("keraserve[serve]", "keraserve", {"tensorflow", "keras", "fastapi"}),
        ("keraserve[all]", "keraserve", {"tensorflow", "keras", "fastapi", "pillow"}),
    ],
)
def test_a_distribution_works_alone_in_an_environment(
    name: str, program: str | None, allowed: set[str], wheels: Path, tmp_path: Path
) -> None:
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, tmp_path)
    python = tmp_path / "bin/python"
    install = (BIN / "uv", "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    run(*install, "--constraint", ROOT / "constraints.txt", name)
    listed = run(BIN / "uv", "pip", "list", "--python", python, "--format", "freeze")
    installed = {line.split("==")[0] for line in listed.splitlines()}
    distribution = name.partition("[")[0]
    package = PACKAGES.get(name, distribution.replace("-", "_"))
    assert distribution in installed
    assert installed & FORBIDDEN == allowed
    # Import every module, which fails if a dependency is not declared.
    found = f"{{one.name for one in pkgutil.walk_packages({package}.__path__, '{package}.')}}"
    load = f"print(*[importlib.import_module(name).__name__ for name in sorted({found} - {OF_EXTRAS})])"
    assert len(run(python, "-c", f"import importlib, pkgutil, {package}; {load}").split()) > 5
    if program:
        assert "--help" in run(tmp_path / "bin" / program, "--help")
    if program == "keraserve":
        check_commands(tmp_path / "bin/keraserve", installed)


def check_commands(keraserve: Path, installed: set[str]) -> None:
    """A command works where its distribution is installed, and else says what installs it."""
    for command, needs, named in (
        ("serve", "keraserve-models", "keraserve[serve]"),
        ("import", "keraserve-models", "keraserve[serve]"),
        ("train", "keraserve-training", "keraserve[train]"),
        ("classify", "keraserve-client", "keraserve"),
    ):
        done = subprocess.run([keraserve, command, "--help"], capture_output=True, text=True, timeout=60)
        if needs in installed:
            assert f"Usage: keraserve {command}" in done.stdout
        else:
            assert done.stderr == f'keraserve: {command} is not installed: pip install "{named}"\n'


CLASSIFY = """
import asyncio, sys
from keraserve_client import AsyncGrpcClient, Client

url, grpc, model, *images = sys.argv[1:]
with Client(url) as client:
    found = list(client.classify_many(model, images))
    assert client.classify(model, images) == found

async def main():
    async with AsyncGrpcClient(grpc) as client:
        return [outcome async for outcome in client.classify_many(model, images)]

assert [one.best.label for one in asyncio.run(main())] == [one.best.label for one in found]
print(*(one.best.label for one in found), sep="\\n")
"""


def interpreter(version: str) -> str:
    """Find a Python of that version, on the path or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    for candidate in (f"python{version}", *pyenv.glob(f"versions/{version}.*/bin/python")):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = [candidate, "-c", "import sys; print(sys.executable)"]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            return done.stdout.strip()
    pytest.skip(f"no Python {version} here")


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_client_alone_classifies(
    version: str, wheels: Path, tmp_path: Path, stack: Stack, images: list[Path]
) -> None:
    run(BIN / "uv", "venv", "--quiet", "--python", interpreter(version), tmp_path)
    python = tmp_path / "bin/python"
    install = (BIN / "uv", "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    run(*install, "--constraint", ROOT / "constraints.txt", "keraserve-client")
    labels = run(python, "-W", "error", "-c", CLASSIFY, stack.url, stack.grpc, MODEL, *images).splitlines()
    assert len(labels) == len(images)
    printed = run(tmp_path / "bin/keraserve", "classify", MODEL, *images, "--url", stack.url, "--json")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["classes"][0]["label"] for line in lines] == labels


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_all_of_it_works_with_a_later_python(
    version: str, wheels: Path, tmp_path: Path, images: list[Path]
) -> None:
    """Trained, exported, served and classified; 3.11 is what all other tests have."""
    run(BIN / "uv", "venv", "--quiet", "--python", interpreter(version), tmp_path)
    python, keraserve = tmp_path / "bin/python", tmp_path / "bin/keraserve"
    install = (BIN / "uv", "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    run(*install, "--constraint", ROOT / "constraints.txt", "keraserve[all]")
    runs, models = tmp_path / "runs", tmp_path / "models"
    run(keraserve, "train", "run", "fashion-mnist-reuse", "--profile", "sample", "--runs", runs)
    run(keraserve, "train", "export", "--profile", "sample", "--runs", runs, "--models", models)
    port, grpc_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    command = [keraserve, "serve", models, f"--port={port}", f"--grpc-port={grpc_port}"]
    served = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        list_models = [keraserve, "models", "--url", url]
        until(lambda: subprocess.run(list_models, capture_output=True).returncode == 0, "not ready", 120)
        printed = run(keraserve, "classify", MODEL, *images, "--url", url, "--json").splitlines()
        assert all(json.loads(line)["classes"] for line in printed)
        assert len(printed) == len(images)
    finally:
        served.send_signal(signal.SIGINT)
        assert served.wait(60) == 0
