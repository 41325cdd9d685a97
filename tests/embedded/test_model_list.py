import logging
from pathlib import Path

import pytest

from keraserve_embedded.errors import ConfigError
from keraserve_embedded.models.config_file import ConfigFile
from keraserve_embedded.models.model_list import ModelEntry, from_config, single_model
from keraserve_embedded.models.repository import VersionPolicy
from keraserve_protocol.model_config import parse

FOLDER = Path("/srv/models")


def one(text: str) -> ModelEntry:
    entries = from_config(parse(f"model_config_list {{ config {{ {text} }} }}"), FOLDER)
    assert entries is not None
    return entries[0]


PLAIN = 'name: "a" base_path: "/models/a" model_platform: "tensorflow"'


def test_two_flags_make_one_model() -> None:
    (entry,) = single_model("a", "/models/a")
    assert (entry.name, entry.base_path, entry.policy) == ("a", Path("/models/a"), VersionPolicy(latest=1))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy(latest=1)),
        ("model_version_policy { latest {} }", VersionPolicy(latest=1)),
        ("model_version_policy { latest { num_versions: 3 } }", VersionPolicy(latest=3)),
        ("model_version_policy { all {} }", VersionPolicy(latest=None)),
        (
            "model_version_policy { specific { versions: 2 versions: 5 } }",
            VersionPolicy(specific=frozenset({2, 5})),
        ),
    ],
)
def test_version_policies(text: str, policy: VersionPolicy) -> None:
    assert one(f"{PLAIN} {text}").policy == policy


def test_labels() -> None:
    assert one(f'{PLAIN} version_labels {{ key: "stable" value: 4 }}').labels == {"stable": 4}


def test_a_base_path_that_is_not_here_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    config = parse(f"model_config_list {{ config {{ {PLAIN} }} }}")
    (entry,) = from_config(config, tmp_path) or []
    assert entry.base_path == Path("/models/a")
    (tmp_path / "a").mkdir()
    assert entry.base_path == tmp_path / "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "a" base_path: "/a"', "no model_platform"),
        ('name: "a" base_path: "/a" model_platform: "onnx"', "requests unsupported platform onnx"),
        ('name: "a" model_platform: "tensorflow"', "no base_path"),
    ],
)
def test_wrong_entries_are_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        one(text)


def test_another_kind_of_config_is_rejected_and_none_says_nothing() -> None:
    with pytest.raises(ConfigError, match="custom_model_config"):
        from_config(parse("custom_model_config {}"), FOLDER)
    assert from_config(parse(""), FOLDER) is None


def test_a_config_file_is_applied_only_when_its_models_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ config {{ {PLAIN} }} }}")
    file, told = ConfigFile(path), list[list[str]]()

    def poll() -> None:
        file.poll(lambda entries: told.append([entry.name for entry in entries]))

    assert [entry.name for entry in file.read()] == ["a"]
    poll()
    assert told == []
    for wrong in ("model_config_list { config {", "", "# nothing yet"):
        path.write_text(wrong)
        poll()
        poll()
    path.unlink()
    poll()
    assert told == []
    path.write_text("model_config_list {}")
    poll()
    assert told == [[]]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all("the models stay as they are" in record.getMessage() for record in errors)


def test_a_config_file_that_is_wrong_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*models\.config"):
        ConfigFile(tmp_path / "models.config").read()
