"""What a person does with a repository: look at a version, remove one, and give one a label."""

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from keraserve_models import atomic
from keraserve_models.errors import RepositoryError
from keraserve_models.locks import locked
from keraserve_models.repository import folders, release, server_config

_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,63}")


@dataclass(frozen=True)
class Held:
    """A model of a repository.

    Attributes:
        name: under which it is served.
        versions: ascending.
        labels: each with its version.
    """

    name: str
    versions: list[int]
    labels: dict[str, int]


def held(models: Path) -> list[Held]:
    """All models of a repository.

    Raises:
        RepositoryError: there is no repository, or its `models.config` can't be read.
    """
    if not models.is_dir():
        raise RepositoryError(f"There is no folder {models}.")
    config = server_config.read(models)
    labels = {entry.name: dict(entry.version_labels) for entry in config.model_config_list.config}
    return [
        Held(name, folders.versions(models / name), labels.get(name, {})) for name in folders.names(models)
    ]


def place_of(models: Path, name: str, version: int | None = None) -> Path:
    """The folder of a version; None: the newest.

    Raises:
        RepositoryError: there is no such model or version; says which there are.
    """
    known = folders.versions(models / name) if name in folders.names(models) else []
    if not known:
        raise RepositoryError(
            f"There is no model {name!r} in {models}: it has {folders.listed(folders.names(models))}."
        )
    if version is not None and version not in known:
        raise RepositoryError(f"{name} has no version {version}: it has {folders.listed(known)}.")
    return models / name / str(known[-1] if version is None else version)


def remove(models: Path, name: str, version: int | None = None) -> str:
    """Delete a version (None: all, and the model) from the folder and from `models.config`.

    A running server unloads a version when its folder or its entry is gone.

    Raises:
        RepositoryError: there is no such model or version, or a canary is under way.
    """
    place = place_of(models, name, version)
    known = folders.versions(models / name)
    whole = version is None or known == [version]
    with server_config.edited(models) as config:
        _check_no_canary(models, name)
        entries = config.model_config_list.config
        notices: list[str] = []
        for entry in [each for each in entries if each.name == name]:
            if whole:
                entries.remove(entry)
            else:
                notices = server_config.move_labels(entry, [each for each in known if each != version])
    # Renamed first: a server never sees half of a version.
    gone = models / name / f".removed-{secrets.token_hex(4)}"
    with locked(models / folders.LOCK):
        gone.mkdir()
        for each in known if whole else [int(place.name)]:
            (models / name / str(each)).rename(gone / str(each))
        atomic.sync(models / name)
    shutil.rmtree(models / name if whole else gone)
    return " ".join([f"{name if whole else place} was removed.", *notices])


def label(models: Path, name: str, text: str, version: int) -> str:
    """Give a version a label, which callers may use in place of its number.

    Raises:
        RepositoryError: there is no such model or version, the policy does not load it, or a canary is under
            way, which sets the labels `stable` and `canary`.
    """
    if not _LABEL.fullmatch(text):
        raise RepositoryError(f"{text!r} can't be a label: letters, digits, '-', '_' and '.', at most 63.")
    place_of(models, name, version)
    with server_config.edited(models) as config:
        _check_no_canary(models, name)
        entry = release.entry_of(config, name, models)
        loaded = server_config.loaded(entry.model_version_policy, folders.versions(models / name))
        if version not in loaded and not entry.model_version_policy.HasField("specific"):
            raise RepositoryError(
                f"A server loads only {folders.listed(loaded)} of {name}, by its policy in"
                f" {models / server_config.FILE}."
            )
        release.move_label(entry, text, version)
    return f"{name}: label {text} is version {version}"


def _check_no_canary(models: Path, name: str) -> None:
    if name in release.shares(models):
        raise RepositoryError(f"A canary of {name} is under way: promote it or roll it back first.")
