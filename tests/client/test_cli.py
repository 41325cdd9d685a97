"""The command line, run by typer's runner and as the installed program."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from keraserve_client.cli import app

PROGRAM = Path(sys.executable).with_name("keraserve")


def run(*arguments: Any, **environment: str) -> Result:
    plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "KERASERVE_URL": ""}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={**plain, **environment})


@pytest.fixture
def folder(tmp_path: Path, red: bytes, green: bytes) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "b.png").write_bytes(red)
    (tmp_path / "more" / "a.PNG").write_bytes(green)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_classify_prints_a_table(pair: Any, folder: Path) -> None:
    result = run("classify", "colours", folder, "--url", pair.url, "--top-k", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "class", "probability"]
    assert re.fullmatch(r"2 images in [\d.]+ m?s, colours version 1", lines[-1])
    words = result.stdout.split()
    assert words.index("red") < words.index("green")
    assert "100.0%" in words
    assert "blue" not in words
    assert result.stderr == ""


def test_one_class_of_each_image_is_a_line_each(pair: Any, folder: Path) -> None:
    result = run("classify", "colours", folder, "--url", pair.url, "--top-k", 1)
    assert result.exit_code == 0, result.output
    assert all(line.strip() for line in result.stdout.splitlines())


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_classify_prints_json(pair: Any, folder: Path, transport: str) -> None:
    where = ["--url", pair.url] if transport == "http" else ["--grpc", pair.model_server]
    result = run("classify", "colours", folder, "--json", "--label", "stable", *where)
    assert result.exit_code == 0, result.output
    first, second = map(json.loads, result.stdout.splitlines())
    assert [Path(entry["file"]).name for entry in (first, second)] == ["b.png", "a.PNG"]
    assert first["model"] == "colours"
    assert first["version"] == 1
    assert [entry["label"] for entry in first["classes"]][0] == "red"  # noqa: RUF015
    assert second["classes"][0] == {"label": "green", "probability": pytest.approx(1, abs=1e-6)}


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_why_writes_the_image_with_its_map_and_a_scale(pair: Any, tmp_path: Path, transport: str) -> None:
    image = pytest.importorskip("PIL.Image")
    where = ["--url", pair.url] if transport == "http" else ["--grpc", pair.model_server]
    both, out = tmp_path / "both.png", tmp_path / "why.png"
    drawn = image.new("RGB", (600, 400), (250, 0, 0))
    drawn.paste((0, 0, 240), (300, 0, 600, 400))
    drawn.save(both)
    for chosen, yellow, violet in (("red", 50, 550), ("blue", 550, 50)):
        result = run("classify", "colours", both, "--why", out, "--class", chosen, *where)
        assert result.exit_code == 0, result.output
        assert "red" in result.stdout
        with image.open(out) as found:
            assert found.width == 600
            assert found.height > 400
            high, low = found.getpixel((yellow, 200)), found.getpixel((violet, 200))
        assert high[1] > high[2] + 50
        assert low[2] > low[1] + 30
    for arguments, code, sentence in (
        ([both, both, "--why", out], 1, "--why is for one image, not 2"),
        ([both, "--why", out.with_suffix(".jpg")], 1, "--why writes a PNG"),
        ([both, "--why", both], 1, "--why would write over the image"),
        ([both, "--why", out, "--class", "pink"], 1, "no such class"),
        ([both, "--class", "red"], 2, "--class is for --why"),
    ):
        result = run("classify", "colours", *arguments, *where)
        assert result.exit_code == code
        assert sentence in result.stderr


def test_the_address_may_come_from_the_environment(pair: Any, folder: Path) -> None:
    result = run("classify", "colours", folder / "b.png", "--json", KERASERVE_URL=pair.url)
    assert result.exit_code == 0, result.output


def test_a_bad_file_does_not_fail_the_others(pair: Any, folder: Path, red: bytes) -> None:
    (folder / "cut.png").write_bytes(red[:50])
    result = run("classify", "colours", folder, folder / "missing.png", "--url", pair.url)
    assert result.exit_code == 1
    assert "red" in result.stdout
    assert "green" in result.stdout
    complaints = result.stderr.splitlines()
    assert len(complaints) == 2
    assert complaints[0].startswith(f"keraserve: {folder / 'cut.png'}: ")
    assert complaints[1] == f"keraserve: {folder / 'missing.png'}: no such file or directory"
    listed = json.loads(run("classify", "colours", folder / "cut.png", "--url", pair.url, "--json").stdout)
    assert set(listed) == {"file", "error"}


def test_the_images_of_a_folder_are_those_that_training_would_take(
    pair: Any, folder: Path, red: bytes
) -> None:
    inside = folder / "inside"
    for name in ("up.PNG", "of-windows.jfif", "no-suffix", ".hidden.png", "__MACOSX/a.png", "@eaDir/b.png"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(red)
    for name in (
        "$RECYCLE.BIN/S-1-5/c.png",
        "System Volume Information/d.png",
        "lost+found/e.png",
        "#recycle/f.png",
    ):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(red)
    (inside / "notes.txt").write_text("no image")
    (inside / "a-folder.png").mkdir()
    result = run("classify", "colours", inside, "--url", pair.url, "--json")
    assert result.exit_code == 0, result.output
    found = [Path(json.loads(line)["file"]).name for line in result.stdout.splitlines()]
    assert found == ["no-suffix", "of-windows.jfif", "up.PNG"]


def test_a_folder_without_images_is_an_error(pair: Any, tmp_path: Path) -> None:
    result = run("classify", "colours", tmp_path, "--url", pair.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"keraserve: no images in {tmp_path}\n"


def test_models_and_status_print_tables_and_json(pair: Any) -> None:
    listed = run("models", "--url", pair.url)
    assert listed.exit_code == 0
    assert listed.stdout.split() == [
        "model", "version", "state", "labels", "error", "colours", "1", "AVAILABLE", "stable",
    ]  # fmt: skip
    assert json.loads(run("models", "--url", pair.url, "--json").stdout)[0]["labels"] == {"stable": 1}
    for where in (["--url", pair.url], ["--grpc", pair.gateway_grpc]):
        shown = run("status", "colours", *where)
        assert shown.exit_code == 0
        assert shown.stdout.split() == ["version", "state", "error", "1", "AVAILABLE"]
        assert json.loads(run("status", "colours", "--json", *where).stdout)["versions"][0]["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["classify", "nowhere", "{png}", "--url", "{url}"], 1, "nowhere"),
        (["status", "nowhere", "--url", "{url}"], 1, "nowhere"),
        (["classify", "colours", "{png}", "--version", "9", "--url", "{url}"], 1, "9"),
        (["classify", "colours", "{png}", "--version", "1", "--label", "x"], 1, "a version or a label"),
        (["models", "--grpc", "{server}"], 1, "can't list models"),
        (
            ["models", "--url", "http://{free_address}"],
            1,
            "no server responds at http://{free_address}: connection refused",
        ),
        (
            ["status", "m", "--grpc", "{free_address}"],
            1,
            "no server responds at {free_address}: connection refused",
        ),
        (["models", "--url", "http://{silent}", "--timeout", "0.2"], 1, "no response within 0.2 s"),
        (["models", "--url", "nonsense"], 1, "'nonsense' is no address"),
    ],
)
def test_an_error_is_one_sentence(
    pair: Any, folder: Path, free_address: str, silent: str, arguments: list[str], code: int, says: str
) -> None:
    places = {
        "png": folder / "b.png", "url": pair.url, "server": pair.model_server, "free_address": free_address,
        "silent": silent,
    }  # fmt: skip
    result = run(*(argument.format(**places) for argument in arguments))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("keraserve: ")
    assert len(result.stderr.splitlines()) == 1
    assert says.format(**places) in result.stderr


@pytest.mark.parametrize(
    "arguments", [["classify"], ["classify", "m"], ["classify", "m", "x", "--top-k", "0"], ["nonsense"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_installed_program_classifies(pair: Any, folder: Path, free_address: str) -> None:
    environment = {**os.environ, "KERASERVE_URL": pair.url, "PYTHONWARNINGS": "error"}
    command = [str(PROGRAM), "classify", "colours", str(folder / "b.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "red" in done.stdout
    failed = subprocess.run(
        [*command, "--url", f"http://{free_address}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    refused = f"no server responds at http://{free_address}: connection refused"
    assert failed.stderr == f"keraserve: {refused} (for another address: --url or --grpc)\n"


def read_to_end(screen: int) -> str:
    shown = b""
    with os.fdopen(screen, "rb", buffering=0) as stream, contextlib.suppress(OSError):  # EIO is its end
        while part := stream.read(4096):
            shown += part
    return shown.decode()


def test_a_terminal_shows_the_progress(pair: Any, tmp_path: Path, red: bytes) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.png").write_bytes(red)
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    command = [str(PROGRAM), "classify", "colours", str(tmp_path), "--url", pair.url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=environment) as program:
        os.close(terminal)
        shown = read_to_end(screen)
        printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert "40/40" in shown
    files = [json.loads(line)["file"] for line in printed.decode().splitlines()]
    assert files == [str(tmp_path / f"{number:02}.png") for number in range(40)]


def test_a_file_without_certificates_is_an_error(pair: Any, folder: Path) -> None:
    notes, image = folder / "notes.txt", folder / "b.png"
    result = run("classify", "colours", image, "--ca-file", notes, "--url", pair.url.replace("http", "https"))
    assert result.exit_code == 1
    assert result.stderr == f"keraserve: {notes} holds no certificate in PEM form\n"
    over_grpc = run("status", "colours", "--tls", "--grpc", pair.model_server, "--timeout", "3")
    assert over_grpc.exit_code == 1
    assert "no server responds" in over_grpc.stderr
