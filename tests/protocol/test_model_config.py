"""`models.config` is read and written; errors name the place."""

from pathlib import Path

import pytest

from keraserve_protocol import model_config
from keraserve_protocol.messages import ModelServerConfig
from keraserve_protocol.model_config import ModelConfigError

WRITTEN_BY_HAND = """
# A comment, as people write them.
model_config_list {
  config {
    name: "digits"
    base_path: "/models/digits"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 4 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: 'canary', value: 4 }
  }
  config: { name: "fashion", base_path: "/models/fashion" }
}
"""


def test_a_hand_written_file_is_read() -> None:
    digits, fashion = model_config.parse(WRITTEN_BY_HAND).model_config_list.config
    assert (digits.name, digits.base_path) == ("digits", "/models/digits")
    assert list(digits.model_version_policy.specific.versions) == [1, 4]
    assert dict(digits.version_labels) == {"stable": 1, "canary": 4}
    assert fashion.model_version_policy.WhichOneof("policy_choice") is None


def test_rendered_text_reads_back() -> None:
    config = model_config.parse(WRITTEN_BY_HAND)
    assert model_config.parse(model_config.render(config)) == config
    assert model_config.parse(model_config.render(ModelServerConfig())) == ModelServerConfig()


def test_no_models_is_a_valid_config() -> None:
    assert not model_config.parse("model_config_list {}").model_config_list.config
    assert not model_config.parse("").model_config_list.config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model_config_list {", "not a ModelServerConfig: 1:"),
        ("models { }", "models"),
        ('model_config_list { config { name: "a" nmae: "b" } }', "nmae"),
        ('model_config_list { config { base_path: "/m" } }', "no name"),
        ('model_config_list { config { name: "a" } config { name: "b" } config { name: "a" } }', "once: a"),
        ('model_config_list { config { name: "a" version_labels { key: "x" value: "y" } } }', "1:"),
    ],
)
def test_a_mistake_is_named(text: str, says: str) -> None:
    with pytest.raises(ModelConfigError, match=says):
        model_config.parse(text)


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    with pytest.raises(ModelConfigError, match=r"can't read .*models\.config"):
        model_config.read(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(ModelConfigError, match=r"can't read .*models\.config: it is no UTF-8 text"):
        model_config.read(path)
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text(WRITTEN_BY_HAND, encoding=encoding)
        with pytest.raises(
            ModelConfigError, match=r"models\.config begins with a byte-order mark: save it as"
        ):
            model_config.read(path)
    path.write_text(WRITTEN_BY_HAND[: WRITTEN_BY_HAND.rindex("}")])
    with pytest.raises(ModelConfigError, match=r"models\.config: not a ModelServerConfig"):
        model_config.read(path)
    path.write_text("nonsense")
    with pytest.raises(ModelConfigError, match=r"models\.config: not a ModelServerConfig"):
        model_config.read(path)
    path.write_text(WRITTEN_BY_HAND)
    assert len(model_config.read(path).model_config_list.config) == 2


def test_request_logging_of_tensorflow_serving_is_kept() -> None:
    text = """model_config_list { config {
      name: "logged" base_path: "/m/logged" model_platform: "tensorflow"
      logging_config {
        log_collector_config { type: "x" filename_prefix: "/y" }
        sampling_config { sampling_rate: 0.5 }
      }
    } }"""
    config = model_config.parse(text)
    assert config.model_config_list.config[0].logging_config.sampling_config.sampling_rate == 0.5
    assert model_config.parse(model_config.render(config)) == config
