"""`models.config`: what an export adds, and what it leaves to the operator."""

from pathlib import Path

import pytest

from keraserve_models.errors import RepositoryError
from keraserve_models.repository import server_config
from keraserve_protocol import messages, model_config


def versions(models: Path, name: str, *numbers: int) -> None:
    for number in numbers:
        (models / name / str(number)).mkdir(parents=True, exist_ok=True)


def entries(models: Path) -> dict[str, messages.ModelConfig]:
    config = model_config.read(models / server_config.FILE)
    return {entry.name: entry for entry in config.model_config_list.config}


def edit(models: Path, text: str) -> None:
    (models / server_config.FILE).write_text(f"model_config_list {{ {text} }}")


def test_a_new_model_gets_path_policy_and_the_label_stable(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1)
    assert server_config.write(tmp_path) == []
    entry = entries(tmp_path)["a"]
    assert (entry.base_path, entry.model_platform) == ("/models/a", "tensorflow")
    assert entry.model_version_policy.latest.num_versions == 2
    assert dict(entry.version_labels) == {"stable": 1}


def test_the_label_stays_while_its_version_is_loaded_and_then_moves_as_little_as_possible(
    tmp_path: Path,
) -> None:
    versions(tmp_path, "a", 1)
    server_config.write(tmp_path)
    versions(tmp_path, "a", 2)
    assert server_config.write(tmp_path) == []
    assert dict(entries(tmp_path)["a"].version_labels) == {"stable": 1}
    versions(tmp_path, "a", 3)
    (notice,) = server_config.write(tmp_path)
    assert "'stable' now means version 2" in notice
    assert dict(entries(tmp_path)["a"].version_labels) == {"stable": 2}


def test_labels_leave_a_version_before_the_next_one_drops_it(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1, 2)
    edit(
        tmp_path,
        'config { name: "a" base_path: "/models/a" model_platform: "tensorflow"'
        ' model_version_policy { latest { num_versions: 2 } } version_labels { key: "stable" value: 1 } }',
    )
    server_config.write(tmp_path, coming="a")
    assert dict(entries(tmp_path)["a"].version_labels) == {"stable": 2}


def test_an_operators_edits_and_other_models_are_kept(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1, 2, 3)
    edit(
        tmp_path,
        'config { name: "a" base_path: "/elsewhere/a" model_platform: "tensorflow"'
        " model_version_policy { specific { versions: 1 versions: 3 } }"
        ' version_labels { key: "canary" value: 3 } version_labels { key: "old" value: 1 } }'
        ' config { name: "theirs" base_path: "/x/theirs" model_platform: "tensorflow" }',
    )
    before = model_config.read(tmp_path / server_config.FILE)
    text = (tmp_path / server_config.FILE).read_text()
    assert server_config.write(tmp_path) == []
    assert model_config.read(tmp_path / server_config.FILE) == before
    assert (tmp_path / server_config.FILE).read_text() == text  # not even touched: nothing changed
    versions(tmp_path, "b", 1)
    server_config.write(tmp_path)
    found = entries(tmp_path)
    assert set(found) == {"a", "b", "theirs"}
    assert found["a"].SerializeToString(deterministic=True) == before.model_config_list.config[
        0
    ].SerializeToString(deterministic=True)


def test_no_label_points_to_a_version_that_is_not_loaded(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1, 2)
    edit(
        tmp_path,
        'config { name: "a" base_path: "/models/a" model_version_policy { specific { versions: 7 } }'
        ' version_labels { key: "stable" value: 7 } }',
    )
    (notice,) = server_config.write(tmp_path)
    assert "removed" in notice
    assert not entries(tmp_path)["a"].version_labels


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [3]),
        ("latest {}", [3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("all {}", [1, 2, 3]),
        ("specific { versions: 1 versions: 9 }", [1]),
    ],
)
def test_which_versions_a_policy_loads(policy: str, expected: list[int]) -> None:
    text = f'model_config_list {{ config {{ name: "a" model_version_policy {{ {policy} }} }} }}'
    config = model_config.parse(text)
    assert (
        server_config.loaded(config.model_config_list.config[0].model_version_policy, [1, 2, 3]) == expected
    )


def test_served_from_sets_the_paths(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1)
    server_config.write(tmp_path)
    server_config.write(tmp_path, "/srv/repository")
    assert entries(tmp_path)["a"].base_path == "/srv/repository/a"
    server_config.write(tmp_path)
    assert entries(tmp_path)["a"].base_path == "/srv/repository/a"


def test_a_model_that_is_gone_is_named(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1)
    server_config.write(tmp_path)
    (tmp_path / "a" / "1").rmdir()
    (notice,) = server_config.write(tmp_path)
    assert "no version" in notice


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    versions(tmp_path, "a", 1)
    edit(tmp_path, "nonsense {")
    with pytest.raises(RepositoryError, match="Correct the file"):
        server_config.write(tmp_path)
    assert "nonsense" in (tmp_path / server_config.FILE).read_text()
