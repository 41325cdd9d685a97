"""Canary, promote, rollback: what they write, and in which state they leave off."""

import json
import subprocess
from pathlib import Path

import pytest
from programs import BIN, train

from keraserve_models.errors import RepositoryError
from keraserve_models.repository import release, server_config
from keraserve_protocol import messages, model_config
from keraserve_protocol.canary import FILE


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository: model `a` with version 1, which is stable, and a newer version 2."""
    add(tmp_path, 1)
    server_config.write(tmp_path)
    add(tmp_path, 2)
    return tmp_path


def add(models: Path, version: int) -> None:
    (models / "a" / str(version)).mkdir(parents=True)


def entry(models: Path) -> messages.ModelConfig:
    return model_config.read(models / server_config.FILE).model_config_list.config[0]


def labels(models: Path) -> dict[str, int]:
    return dict(entry(models).version_labels)


def listed(models: Path) -> list[int]:
    return list(entry(models).model_version_policy.specific.versions)


def shares(models: Path) -> dict[str, float]:
    return json.loads((models / FILE).read_text())


def test_a_model_without_labels_has_a_canary_beside_its_next_newest(models: Path) -> None:
    with server_config.edited(models) as config:
        config.model_config_list.config[0].version_labels.clear()
    said = release.canary(models, "a", 0.1)
    assert said == "a: version 2 gets 10% of what names no version, version 1 the rest"
    assert labels(models) == {"stable": 1, "canary": 2}


def test_version_0_is_promoted_and_rolled_back_as_any_other(tmp_path: Path) -> None:
    add(tmp_path, 0)
    server_config.write(tmp_path)
    with pytest.raises(RepositoryError, match="Version 0 of a is `stable` already"):
        release.canary(tmp_path, "a", 0.1)
    add(tmp_path, 1)
    assert release.canary(tmp_path, "a", 0.1, 1).endswith("version 0 the rest")
    assert release.promote(tmp_path, "a").endswith("goes back to version 0")
    assert release.rollback(tmp_path, "a") == "a: version 0 serves"
    release.canary(tmp_path, "a", 0.5)
    assert (labels(tmp_path)["stable"], labels(tmp_path)["canary"]) == (0, 1)


def test_errors_tell_a_model_that_is_not_listed_from_an_unknown_one(models: Path) -> None:
    (models / "risk" / "1").mkdir(parents=True)
    with pytest.raises(RepositoryError, match=r"models\.config does not list 'risk', though .* has it"):
        release.canary(models, "risk", 0.1)
    with pytest.raises(RepositoryError, match=r"There is no model 'b' in .*: it has a, risk"):
        release.canary(models, "b", 0.1)
    server_config.write(models)
    with pytest.raises(RepositoryError, match="Version 1 of risk is `stable` already"):
        release.canary(models, "risk", 0.1)
    with server_config.edited(models) as config:
        config.model_config_list.config[1].version_labels.clear()
    with pytest.raises(RepositoryError, match="Version 1 of risk is its only one: export another one first"):
        release.canary(models, "risk", 0.1)


def test_a_canary_is_promoted(models: Path) -> None:
    said = release.canary(models, "a", 0.1)
    assert said == "a: version 2 gets 10% of what names no version, version 1 the rest"
    assert (labels(models), shares(models)) == ({"stable": 1, "canary": 2}, {"a": 0.1})
    assert listed(models) == [1, 2]
    add(models, 3)
    assert server_config.write(models) == []  # an export drops neither of the two
    release.canary(models, "a", 0.5)  # a larger share for the same canary
    assert (labels(models), shares(models)) == ({"stable": 1, "canary": 2}, {"a": 0.5})
    release.promote(models, "a")
    assert (labels(models), shares(models)) == ({"stable": 2, "canary": 2, "previous": 1}, {"a": 0})
    assert listed(models) == [1, 2]
    release.canary(models, "a", 0.1)
    assert labels(models) == {"stable": 2, "canary": 3, "previous": 1}
    assert listed(models) == [1, 2, 3]
    release.promote(models, "a")
    assert labels(models) == {"stable": 3, "canary": 3, "previous": 2}
    assert listed(models) == [2, 3]


def test_a_canary_is_given_up(models: Path) -> None:
    release.canary(models, "a", 1)
    release.rollback(models, "a")
    assert (labels(models), shares(models)) == ({"stable": 1, "canary": 1}, {"a": 0})
    assert listed(models) == [1]
    add(models, 3)
    release.canary(models, "a", 0.2, version=2)
    assert labels(models) == {"stable": 1, "canary": 2}


def test_a_promotion_is_undone(models: Path) -> None:
    release.canary(models, "a", 0.1)
    release.promote(models, "a")
    assert release.rollback(models, "a") == "a: version 1 serves"
    assert (labels(models), shares(models)) == ({"stable": 1, "canary": 1}, {"a": 0})
    with pytest.raises(RepositoryError, match="nothing to go back to"):
        release.rollback(models, "a")


def test_ending_a_canary_restores_the_policy_of_a_new_model(models: Path) -> None:
    before = entry(models)
    release.canary(models, "a", 0.1)
    release.promote(models, "a")
    release.end(models, "a")
    after = entry(models)
    assert after.model_version_policy == before.model_version_policy
    assert (dict(after.version_labels), shares(models)) == ({"stable": 2}, {})


def test_an_operators_policy_all_stays(models: Path) -> None:
    with server_config.edited(models) as config:
        config.model_config_list.config[0].model_version_policy.all.SetInParent()
    release.canary(models, "a", 0.1)
    assert entry(models).model_version_policy.HasField("all")


def test_what_is_impossible_is_an_error_and_changes_nothing(models: Path) -> None:
    before = (models / server_config.FILE).read_text()
    with pytest.raises(RepositoryError, match="no canary"):
        release.promote(models, "a")
    with pytest.raises(RepositoryError, match="nothing to go back to"):
        release.rollback(models, "a")
    with pytest.raises(RepositoryError, match="no version 7: it has 1, 2"):
        release.canary(models, "a", 0.1, version=7)
    with pytest.raises(RepositoryError, match="`stable` already"):
        release.canary(models, "a", 0.1, version=1)
    assert (models / server_config.FILE).read_text() == before
    assert not (models / FILE).exists()
    (models / FILE).write_text("{broken")
    with pytest.raises(RepositoryError, match=r"canary\.json"):
        release.canary(models, "a", 0.1)


def test_the_commands(models: Path) -> None:
    assert "version 2 gets 25%" in train("canary", "a", "--share", "0.25", "--models", models)
    assert "version 2 serves" in train("promote", "a", "--models", models)
    assert "version 1 serves" in train("rollback", "a", "--models", models)
    assert "the newest version serves, now 2" in train("canary", "a", "--off", "--models", models)
    command = [str(BIN / "keraserve-train"), "promote", "a", "--models", str(models)]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
