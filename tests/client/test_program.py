"""The program `keraserve`, which has the commands of whatever is installed."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keraserve import __main__ as program

PROGRAM = Path(sys.executable).with_name("keraserve")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)


def test_its_help_names_every_command() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in program.COMMANDS:
        assert f"│ {name} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("classify", "--help"), "Usage: keraserve classify "),
        (("models", "--help"), "Usage: keraserve models "),
        (("train", "--help"), "Usage: keraserve train "),
        (("train", "run", "--help"), "Usage: keraserve train run "),
        (("--version",), "keraserve 0."),
    ],
)
def test_a_command_reads_its_own_options(arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("clasify",), 2, "No such command 'clasify'"),
        (("train", "nonsense"), 2, "No such command 'nonsense'. See keraserve train --help."),
        (("train", "run", "fashion"), 1, "Did you mean fashion-mnist-reuse or"),
        (("status", "--url", "http://127.0.0.1:9", "x", "--timeout", "0.1"), 1, "no server responds at"),
    ],
)
def test_a_failure_keeps_its_status(arguments: tuple[str, ...], status: int, says: str) -> None:
    done = run(*arguments)
    assert done.returncode == status, done.stderr
    assert says in " ".join(done.stderr.replace("│", " ").split())


def test_a_command_of_what_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "entry_points", lambda **_: ())
    monkeypatch.setattr(sys, "argv", ["keraserve", "train", "list"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == ('keraserve: train is not installed: pip install "keraserve[train]"\n')


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["cla"], ["classify"]),
        (["classify", "--top"], ["--top-k"]),
        (["serve", "--gr"], ["--grpc-port"]),
        (["models", "remove", "--y"], ["--yes"]),
        (["train", "roll"], ["rollback"]),
        (["train", "run", "--fine"], ["--fine-tune"]),
        (["nonsense", "--x"], []),
    ],
)
def test_a_shell_completes_commands_and_their_options(words: list[str], completed: list[str]) -> None:
    asked = {
        "_KERASERVE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["keraserve", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (completed, "")


@pytest.mark.parametrize("name", ["keraserve", "keraserve-train", "keraserve-gateway", "keraserve-embedded"])
def test_every_program_has_a_version_and_completion(name: str) -> None:
    program = PROGRAM.with_name(name)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", done.stdout)
    helped = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60).stdout
    assert "--version" in helped
    assert "--show-completion" in helped.replace("_", "-")


@pytest.mark.parametrize(
    ("name", "option"),
    [("keraserve-gateway", "--show-completion"), ("keraserve-embedded", "--show_completion")],
)
def test_lines_for_a_shell_complete_the_options(name: str, option: str) -> None:
    program = PROGRAM.with_name(name)
    lines = subprocess.run(
        [program, option, "bash"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    asked = (
        f"{lines}\nCOMP_WORDS=({name} --po); COMP_CWORD=1; words=$(complete -p {name})\n"
        f'${{words#*-F }} 2>/dev/null || true; echo "${{COMPREPLY[@]}}"'
    )
    completed = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60)
    assert "--port" in completed.stdout.split()
    for shell in ("zsh", "fish"):
        shown = subprocess.run(
            [program, option, shell], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert "port" in shown


def test_another_package_can_add_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Point:
        name, module, dist = "weigh", "scales.cli", None

        def load(self) -> Any:
            return lambda args, prog_name: print(prog_name, *args)

    monkeypatch.setattr(program, "entry_points", lambda **_: [Point()])
    monkeypatch.setattr(sys, "argv", ["keraserve", "weigh", "model.keras", "--exactly"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, "keraserve weigh model.keras --exactly\n")
