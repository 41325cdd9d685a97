"""`keraserve evaluate`: accuracy, classes, confusions and the paired test, of what is served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client.conftest import serving
from client.test_cli import run
from conftest import save_colours

from keraserve_protocol import messages, model_config


@pytest.fixture
def folder(tmp_path: Path, red: bytes, green: bytes) -> Path:
    """Four images, of which the third is not what its folder says."""
    for name, content in (("red/a", red), ("red/b", red), ("red/more/c", green), ("green/d", green)):
        file = tmp_path / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "images"


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_served_model_is_evaluated(pair: Any, folder: Path, transport: str) -> None:
    where = ["--url", pair.url] if transport == "http" else ["--grpc", pair.model_server]
    result = run("evaluate", "colours", folder, "--at-least", 0.75, *where)
    assert result.exit_code == 0, result.output
    printed = result.stdout.splitlines()
    assert printed[0] == ("accuracy 75.0% (3 of 4; 95 % interval 30.1% to 95.4%), colours version 1")
    lines = [line.split() for line in printed]
    assert printed[1].startswith("balanced accuracy 83.3%, mean F1 73.3%, expected calibration error ")
    assert ["red", "3", "2", "66.7%", "100.0%", "80.0%"] in lines
    assert ["green", "1", "1", "100.0%", "50.0%", "66.7%"] in lines
    assert ["red", "green", "1"] in lines
    below = run("evaluate", "colours", folder, "--at-least", 0.76, "--label", "stable", *where)
    assert below.exit_code == 1
    assert below.stderr == "keraserve: the accuracy is 0.75, below 0.76\n"
    page = folder.parent / "page.html"
    result = run("evaluate", "colours", folder, "--json", "--html", page, *where)
    text = page.read_text()
    assert "75.0 %" in text
    assert "red, taken for <b>green</b>" in text
    assert text.count('<img src="data:image/jpeg;base64,') == 1
    assert "http://" not in text
    assert "https://" not in text
    document = json.loads(result.stdout)
    assert (document["right"], document["images"], document["versions"]) == (3, 4, [1])
    assert document["confusions"] == [{"truth": "red", "found": "green", "images": 1}]
    assert document["failed"] == []


def test_an_image_that_fails_is_named_and_left_out(pair: Any, folder: Path, red: bytes) -> None:
    (folder / "red/cut.png").write_bytes(red[:50])
    result = run("evaluate", "colours", folder, "--url", pair.url)
    assert result.exit_code == 1
    assert "3 of 4" in result.stdout
    assert result.stderr.startswith(f"keraserve: {folder / 'red/cut.png'}: ")
    assert result.stderr.count("\n") == 1


def test_folders_that_can_not_be_compared_are_rejected(
    pair: Any, folder: Path, tmp_path: Path, red: bytes
) -> None:
    def fails(path: Path, *options: str) -> str:
        result = run("evaluate", "colours", path, "--url", pair.url, *options)
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr

    assert "stable is version 1, too: there is nothing to compare" in fails(folder, "--against", "stable")
    (folder / "mauve").mkdir()
    (folder / "mauve/e.png").write_bytes(red)
    said = fails(folder)
    assert "colours version 1 has no class for these folders: mauve; its classes are " in said
    assert "red" in said
    (folder / "alone.png").write_bytes(red)
    assert "alone.png is in no class folder" in fails(folder)
    (tmp_path / "empty").mkdir()
    assert "no images in" in fails(tmp_path / "empty")
    (tmp_path / "broken/red").mkdir(parents=True)
    (tmp_path / "broken/red/a.png").write_bytes(b"x")
    assert "colours can classify none of the 1 images" in fails(tmp_path / "broken")


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Version 2 of `colours` takes red for green and green for red; version 1 is stable."""
    folder = tmp_path_factory.mktemp("versions")
    save_colours(folder / "colours")
    save_colours(folder / "colours", 2, "green", "red", "blue")
    config = messages.ModelServerConfig()
    model = config.model_config_list.config.add(name="colours", base_path=str(folder / "colours"))
    model.model_platform = "tensorflow"
    model.model_version_policy.all.SetInParent()
    model.version_labels["stable"] = 1
    (folder / "models.config").write_text(model_config.render(config))
    with serving(folder / "models.config", "colours", folder) as pair:
        yield pair


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_two_versions_are_compared_on_the_same_images(
    two_versions: Any, folder: Path, red: bytes, transport: str
) -> None:
    where = ["--url", two_versions.url] if transport == "http" else ["--grpc", two_versions.model_server]
    result = run("evaluate", "colours", folder, "--against", "stable", *where)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("accuracy 25.0% (1 of 4; ")
    assert "accuracy 75.0% (3 of 4; 95 % interval 30.1% to 95.4%), stable, version 1" in result.stdout
    assert "right by the first only: 1, by this one only: 3; p = 0.62 (McNemar's exact test)" in " ".join(
        result.stdout.split()
    )
    document = json.loads(run("evaluate", "colours", folder, "--against", "stable", "--json", *where).stdout)
    other = document["against"]
    assert (document["versions"], other["versions"]) == ([2], [1])
    assert (other["only_first"], other["only_second"], other["p_value"]) == (1, 3, 0.625)
    (folder / "red/cut.png").write_bytes(red[:50])
    failed = run("evaluate", "colours", folder, "--against", "stable", *where)
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
