"""Make the list of served models from two flags, or from a models.config."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keraserve_embedded.errors import ConfigError
from keraserve_embedded.models.repository import VersionPolicy, scan
from keraserve_protocol.messages import ModelConfig, ModelServerConfig

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class ModelEntry:
    """One configured model.

    Attributes:
        name: in requests.
        base_paths: folders that may have its versions; the first that exists is used.
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
        """Find the versions on disk that should serve; none if the disk can't be read."""
        try:
            return self.policy.choose(set(scan(self.base_path)))
        except OSError:
            return set()


def single_model(name: str, base_path: str) -> list[ModelEntry]:
    """Make the list of `--model_name` and `--model_base_path`: the latest version.

    Raises:
        ConfigError: the base path is on another file system.
    """
    return [ModelEntry(name, (Path(_local(name, base_path)).absolute(),))]


def from_config(config: ModelServerConfig, folder: Path) -> list[ModelEntry] | None:
    """Make the list of a models.config in `folder`.

    A base path that does not exist is also looked for by its last component in `folder`, so that one file
    can be used in a container, where models are at /models, and in a checkout.

    Returns:
        None for an empty file, which means "no change" to TensorFlow Serving.

    Raises:
        ConfigError: a config of another kind, another platform, request logging, or a model without a base
            path on this machine.
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
    if model.HasField("logging_config"):
        raise ConfigError(
            f"Model {model.name} has a logging_config: this server logs no requests, leave it out"
        )
    base_path = _local(model.name, model.base_path)
    configured = folder / base_path  # or `base_path`, if that is absolute
    beside = folder / Path(os.path.normpath(base_path)).name
    return ModelEntry(
        name=model.name,
        base_paths=(configured,) if beside == configured else (configured, beside),
        policy=_policy(model),
        labels=dict(model.version_labels),
    )


def _local(name: str, base_path: str) -> str:
    """Return the path on this machine, without `file://`; a folder on another system would never appear."""
    found = _SCHEME.match(base_path)
    if found is None:
        return base_path
    if found[1].lower() == "file" and base_path[found.end() :].startswith("/"):
        return base_path[found.end() :]
    raise ConfigError(
        f"Model {name} has the base_path {base_path}: this server reads folders of this machine only; "
        "mount it or copy it here"
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
