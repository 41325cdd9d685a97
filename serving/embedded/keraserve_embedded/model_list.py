"""Which models are served: from two flags, or from a models.config."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keraserve_embedded.errors import ConfigError
from keraserve_embedded.repository import VersionPolicy, scan
from keraserve_protocol.messages import ModelConfig, ModelServerConfig


@dataclass(frozen=True)
class ModelEntry:
    """One configured model.

    Attributes:
        name: as requests name it.
        base_paths: where its versions may lie; the first that exists is taken.
        policy: which versions to serve.
        labels: version by label.
    """

    name: str
    base_paths: tuple[Path, ...]
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def base_path(self) -> Path:
        """The first base path that exists, else the configured one."""
        return next((path for path in self.base_paths if path.exists()), self.base_paths[0])

    def aspired(self) -> set[int]:
        """The versions on disk that should serve; none where the disk can't be asked."""
        try:
            return self.policy.choose(set(scan(self.base_path)))
        except OSError:
            return set()


def single_model(name: str, base_path: str) -> list[ModelEntry]:
    """Make the list of `--model_name` and `--model_base_path`: the latest version."""
    return [ModelEntry(name, (Path(base_path).absolute(),))]


def from_config(config: ModelServerConfig, folder: Path) -> list[ModelEntry] | None:
    """Make the list of a models.config that lies in `folder`.

    A base path that does not exist on this machine is also looked for by its last component in `folder`,
    so that one file serves in a container, where models are at /models, and from a checkout.

    Returns:
        None for a file that says nothing at all: TensorFlow Serving takes that as "no change".

    Raises:
        ConfigError: a config of another kind, another platform, or a model without a base path.
    """
    match config.WhichOneof("config"):
        case "model_config_list":
            return [_entry(model, folder) for model in config.model_config_list.config]
        case None:
            return None
        case other:
            raise ConfigError(f"{other} is not supported, only model_config_list")


def _entry(model: ModelConfig, folder: Path) -> ModelEntry:
    if model.model_platform != "tensorflow":
        raise ConfigError(
            f"Model {model.name} requests unsupported platform {model.model_platform}"
            if model.model_platform
            else f'Model {model.name} has no model_platform: write model_platform: "tensorflow"'
        )
    if not model.base_path:
        raise ConfigError(f"Model {model.name} has no base_path")
    configured = folder / model.base_path  # an absolute path stands for itself
    beside = folder / Path(os.path.normpath(model.base_path)).name
    return ModelEntry(
        name=model.name,
        base_paths=(configured,) if beside == configured else (configured, beside),
        policy=_policy(model),
        labels=dict(model.version_labels),
    )


def _policy(model: ModelConfig) -> VersionPolicy:
    wanted = model.model_version_policy
    match wanted.WhichOneof("policy_choice"):
        case "all":
            return VersionPolicy(latest=None)
        case "specific":
            return VersionPolicy(specific=frozenset(wanted.specific.versions))
        case _:
            return VersionPolicy(latest=max(wanted.latest.num_versions, 1))
