"""Pieces of work in processes here, and on a real Ray cluster of two machines, one of which is lost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keraserve_training import experiment
from keraserve_training.errors import RunBusyError, StudyError, WorkerError
from keraserve_training.experiments import find
from keraserve_training.records import run_folder
from keraserve_training.studies import seeds, study
from keraserve_training.workers import ray_cluster, ray_worker
from keraserve_training.workers.local import Processes
from keraserve_training.workers.work import Done, Work, attempt, packed

STUDY = ["study", "fashion-mnist-reuse", "--pairs", "5-6,2-4", "--seeds", "1", "--profile", "sample"]
NO_RAY = "Ray is not installed: make setup RAY=1"
LONGEST = 240.0  # seconds, of which a machine with nothing else to do needs a few


def nothing(_: Done) -> None:
    """Do nothing with an outcome."""


def test_pieces_come_back_in_order_and_failures_stay_with_their_piece() -> None:
    told: list[str] = []
    work = [
        Work("known", find, {"name": "no-such-experiment"}),
        Work("unforeseen", run_folder.path, {"runs": None}),
        Work("fine", run_folder.confusion_image, {"network": "a"}),
    ]
    known, unforeseen, fine = Processes(2).do(work, lambda done: told.append(done.name))
    assert sorted(told) == ["fine", "known", "unforeseen"]
    assert fine == Done("fine", result="confusion-a.png")
    assert known.error
    assert "no-such-experiment" in known.error
    assert known.trace is None
    assert unforeseen.error
    assert unforeseen.error.startswith("TypeError: ")
    assert unforeseen.trace
    with pytest.raises(StudyError, match=r"2 of 3 pieces failed\. known: .* unforeseen: TypeError: "):
        seeds.gathered([known, unforeseen, fine])


def test_a_killed_process_is_one_sentence() -> None:
    with pytest.raises(WorkerError, match="run the same command"):
        Processes(1).do([Work("exits", os._exit, {"status": 1})], nothing)


def test_a_piece_that_is_repeated_waits_for_its_folder() -> None:
    work = packed(Work("busy", _busy_once, {"folder": "x"}))
    _tries.clear()
    assert attempt(work).error == "busy"
    assert attempt(work, busy_for=5.0).result == "free"


_tries: list[int] = []


def _busy_once(folder: str) -> str:
    _tries.append(1)
    if len(_tries) < 3:
        raise RunBusyError("busy")
    return "free"


def machine(tmp_path: Path, **changes: Any) -> ray_worker.Machine:
    (tmp_path / ".seen-1").write_text("1")
    right = {"cpus": 1, "there": str(tmp_path), "versions": ray_worker.versions()}
    return ray_worker.Machine(**{**right, "probe": (str(tmp_path / ".seen-1"), "1"), **changes})


def test_a_machine_is_checked_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_worker, "_SEEN_WITHIN", 0.0)
    machine(tmp_path).check()
    with pytest.raises(WorkerError, match=r"keras 3\.\S+ instead of 2\.0: results would differ"):
        machine(tmp_path, versions={**ray_worker.versions(), "keras": "2.0"}).check()
    with pytest.raises(WorkerError, match=r"does not see .* --runs"):
        machine(tmp_path, probe=(str(tmp_path / "elsewhere"), "1")).check()
    with pytest.raises(WorkerError, match=r"does not see .* --runs"):
        machine(tmp_path, probe=(str(tmp_path / ".seen-1"), "another folder of that name")).check()
    unfit = machine(tmp_path, versions={"keras": "2.0"})
    assert isinstance(ray_worker.do(b"", unfit, 0), str)


def test_the_probe_goes_away(tmp_path: Path) -> None:
    with ray_worker.probe(tmp_path / "new") as (file, content):
        assert Path(file).read_text() == content
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / ".seen-old").touch()
    os.utime(tmp_path / ".seen-old", (0, 0))
    with ray_worker.probe(tmp_path):
        assert not (tmp_path / ".seen-old").exists()


ONE = [Work("one", run_folder.confusion_image, {"network": "a"})]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_without_a_cluster_one_sentence_says_what_to_do(address: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    with pytest.raises(WorkerError, match="Nothing responds"):
        ray_cluster.RayCluster(address, tmp_path).do(ONE, nothing)


def test_without_ray_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r"pip install 'keraserve-training\[ray\]'"):
        ray_cluster.RayCluster("auto", tmp_path).do(ONE, nothing)
    assert ray_cluster.RayCluster("auto", tmp_path).do([], nothing) == []


class Cluster:
    """A process that holds the cluster."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("cluster_to_break.py"))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.address = self._line()

    def lose(self) -> None:
        """Kill the second machine."""
        assert self._process.stdin
        self._process.stdin.write("lose\n")
        self._process.stdin.flush()
        while self._line() != "lost":
            pass

    def close(self) -> None:
        """End it, and kill what it should have ended."""
        assert self._process.stdout
        try:
            self._process.communicate(timeout=30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the cluster did not start"
        return line.strip()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("ray", reason=NO_RAY)
    there = Cluster()
    try:
        yield there
    finally:
        there.close()


def start(*words: str, runs: Path) -> subprocess.Popen[str]:
    """The command line, as a user has it."""
    command = [sys.executable, "-m", "keraserve_training.cli", *words, "--runs", str(runs)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def end(process: subprocess.Popen[str]) -> str:
    """What it printed; it has to end well."""
    with process:
        printed, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, printed
    return printed


def figures(runs: Path) -> dict[str, Any]:
    """Every number that the pieces of a study gave, to the last digit, but times and the machine's load."""
    there = study.folder(runs, "fashion-mnist-reuse", "sample")
    pieces = {path.parent.name: json.loads(path.read_text()) for path in there.glob("*/metrics.json")}
    return {
        name: {key: _timeless(piece[key]) for key in ("metrics", "networks")}
        for name, piece in pieces.items()
    }


def _timeless(content: Any) -> Any:
    if isinstance(content, dict):
        left_out = {key for key in content if "seconds" in key or key == "others_share"}
        return {key: _timeless(value) for key, value in content.items() if key not in left_out}
    return content


def wait_until_both_learn(there: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + LONGEST
    while len({path.parent.parent for path in there.glob("*/*/history.csv")}) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_cluster_that_loses_a_machine_gets_the_results_of_a_local_study(
    cluster: Cluster, reuse: experiment.Experiment, runs: Path, tmp_path: Path
) -> None:
    """Bit for bit: the same versions, the same processor and as many threads to each piece, here one."""
    spread_out = start(*STUDY, "--ray", cluster.address, runs=tmp_path / "cluster")
    there = study.folder(tmp_path / "cluster", reuse.name, "sample")
    wait_until_both_learn(there, spread_out)
    begun = {path: json.loads(path.read_text())["run_id"] for path in there.glob("*/config.json")}
    cluster.lose()
    printed = end(spread_out)
    assert printed.count("was lost; it goes on elsewhere") == 1
    assert begun == {path: json.loads(path.read_text())["run_id"] for path in begun}
    assert not list((tmp_path / "cluster").glob(".seen-*"))

    end(start(*STUDY, "--jobs", "2", runs=tmp_path / "local"))
    assert figures(tmp_path / "cluster") == figures(tmp_path / "local")

    # The rest of the cluster rejects what needs more processors than it has, and skips what is finished.
    work = ["train-all", reuse.name, "--profile", "sample", "--ray", cluster.address]
    rejected = start(*work, "--cpus", "2", runs=runs)
    with rejected:
        assert "has 2 processors" in rejected.communicate(timeout=LONGEST)[0]
    assert rejected.returncode == 1
    assert f"{reuse.name}: finished." in end(start(*work, runs=runs))
