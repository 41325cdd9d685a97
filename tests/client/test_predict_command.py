"""`keraserve predict`: inputs as JSON and files, outputs as a table and JSON, over HTTP and gRPC."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client.test_cli import run

from keraserve_client._errors import InvalidInput
from keraserve_client._predict_command import read


@pytest.fixture(params=["http", "grpc"])
def where(request: pytest.FixtureRequest, echoing: Any) -> list[str]:
    return ["--url", echoing.url] if request.param == "http" else ["--grpc", echoing.model_server]


def test_inputs_are_json_or_files(where: list[str], tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", np.array([[1.5, 2, 3, 4]], np.float32))
    (tmp_path / "text.json").write_text('["a fox", {"b64": "/w=="}]')
    result = run(
        *("predict", "echo", "--signature", "two", "--json", *where),
        *("--input", f"table=@{tmp_path / 'table.npy'}", "--input", f"text=@{tmp_path / 'text.json'}"),
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"table": [[1.5, 2, 3, 4]], "text": ["a fox", {"b64": "/w=="}]}


def test_outputs_with_the_same_rows_are_a_table_of_rows(where: list[str]) -> None:
    given = ("--input", "table=[[1,2,3,4],[5,6,7,8.25]]", "--input", 'text=["fox","dog=cat"]')
    result = run("predict", "echo", "--signature", "two", *where, *given)
    assert result.exit_code == 0, result.output
    titles, kinds, *rows = [line.split("  ") for line in result.stdout.splitlines()]
    assert [title.strip() for title in titles if title.strip()] == ["table", "text"]
    assert [kind.strip() for kind in kinds if kind.strip()] == ["float32 [2, 4]", "string [2]"]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["[1.0,2.0,3.0,4.0]", "fox"],
        ["[5.0,6.0,7.0,8.25]", "dog=cat"],
    ]


def test_other_outputs_are_a_line_each_and_long_ones_are_cut(where: list[str]) -> None:
    result = run("predict", "echo", "--signature", "about", *where)
    assert result.exit_code == 0, result.output
    assert "string []" in result.stdout
    assert '{"a": 1}' in result.stdout
    many = json.dumps([list(range(200)), *([0] * 200 for _ in range(59))])
    result = run("predict", "echo", "--signature", "int32", "--input", f"v={many}", *where)
    assert result.exit_code == 0, result.output
    assert "10 more rows: --json has all" in result.stdout
    assert " …" in result.stdout


def test_a_call_without_inputs_says_which_there_are(where: list[str]) -> None:
    result = run("predict", "echo", "--signature", "two", *where)
    assert result.exit_code == 1
    assert "the signature's inputs are table, text: none is given" in result.stderr


@pytest.mark.parametrize("version", [("--version", "1"), ("--version", "9")])
def test_a_version_may_be_chosen(where: list[str], version: tuple[str, str]) -> None:
    result = run("predict", "echo", "--signature", "float32", "--input", "v=[0.1]", *where, *version)
    assert result.exit_code == (0 if version[1] == "1" else 1)
    assert ("0.1" if version[1] == "1" else "keraserve: ") in result.output


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["x"], "--input x is not NAME=VALUE"),
        (["=1"], "--input =1 is not NAME=VALUE"),
        (["x=1", "x=2"], "--input x is there twice"),
        (["x=hello"], '--input x: hello is no JSON; text is written as "text"'),
        (["x=" + "[" * 100_000], "[ … is no JSON"),
        (['x={"b64": "!"}'], "--input x: not base64"),
        (["x=@{folder}/nowhere.npy"], "nowhere.npy: no such file or directory"),
        (["x=@{folder}/cut.npy"], "cut.npy can't be read: "),
        (["x=@{folder}/objects.npy"], "objects.npy can't be read: "),
        (["x=@{folder}/image.png"], "image.png is neither .json nor .npy"),
    ],
)
def test_an_input_that_can_not_be_read_is_named(tmp_path: Path, given: list[str], says: str) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "cut.npy", np.zeros(9))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:100])
    with pytest.raises(InvalidInput) as error:
        read([text.replace("{folder}", str(tmp_path)) for text in given])
    assert says in str(error.value)


def test_what_the_model_does_not_take_is_one_sentence(echoing: Any) -> None:
    for arguments, says in (
        (("--signature", "two", "--input", "table=[[1,2,3,4]]"), "inputs are table, text, not table"),
        (("--signature", "int32", "--input", "v=[0.5]"), "cast them yourself"),
        (("--signature", "nowhere"), "nowhere"),
    ):
        result = run("predict", "echo", "--url", echoing.url, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("keraserve: ")
        assert says in result.stderr
    complex_numbers = ("--signature", "complex64", "--input", "v=[1.5]", "--grpc", echoing.model_server)
    result = run("predict", "echo", *complex_numbers)
    assert result.exit_code == 1
    assert "JSON can't carry it" in result.stderr
