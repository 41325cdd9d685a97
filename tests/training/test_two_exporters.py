"""Two real processes export the same runs at the same moment: each run becomes one version."""

import subprocess
from pathlib import Path

from programs import BIN

from keraserve_models.repository import folders

NAMES = ["fashion-mnist-reuse-a-sample", "fashion-mnist-reuse-b-sample"]


def test_two_exporters_export_each_run_once(tmp_path: Path, runs: Path) -> None:
    command = [BIN / "keraserve-train", "export", "--profile", "sample"]
    command += ["--runs", runs, "--models", tmp_path]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "ab"
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert folders.names(tmp_path) == NAMES
    assert [folders.versions(tmp_path / name) for name in NAMES] == [[1], [1]]
    for name in NAMES:
        verbs = sorted(
            line
            for text in said
            for line in text.splitlines()
            if line.startswith(name) and "exported as" in line
        )
        assert verbs == [f"{name}: already exported as version 1", f"{name}: exported as version 1"]
