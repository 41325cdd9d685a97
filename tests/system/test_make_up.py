"""`make up` without exported models names the targets that make some, and starts no container."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_without_models_other_targets_are_named_and_docker_is_not_called(tmp_path: Path) -> None:
    called = tmp_path / "called"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho \"$@\" >> '{called}'\n")
    docker.chmod(0o755)
    models = tmp_path / "models"

    def up() -> subprocess.CompletedProcess[str]:
        path = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
        command = ["make", "up", f"MODELS={models}"]
        env = {**os.environ, "PATH": path}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)

    done = up()
    assert done.returncode != 0
    sentence = f"make: {models} is empty: make demo does it in minutes, make model DATA=folder with your own"
    assert sentence in done.stderr
    assert "train-all" not in done.stderr
    assert not called.exists()
    models.mkdir()
    (models / "models.config").write_text("")
    assert up().returncode == 0
    assert "up --detach" in called.read_text()
