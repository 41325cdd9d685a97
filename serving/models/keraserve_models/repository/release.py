"""Which version of a model serves: canary, promote, rollback. Each returns a sentence about that.

It follows from two files, each replaced as a whole: the labels in `models.config`, which model server and
gateway read, and the shares in `canary.json`, which the gateway reads.
"""

import json
from pathlib import Path

from keraserve_models import atomic
from keraserve_models.errors import RepositoryError
from keraserve_models.repository import folders, server_config
from keraserve_protocol import messages
from keraserve_protocol.canary import CANARY, FILE, STABLE

PREVIOUS = "previous"


def canary(models: Path, name: str, share: float, version: int | None = None) -> str:
    """Give a share of a model's requests to a version; the others go to the one labelled `stable`.

    Args:
        models: the repository.
        name: the model's.
        share: 0 to 1, of the requests that name neither version nor label.
        version: which; None: the canary that there is, or else the newest.

    Raises:
        RepositoryError: there is no such model or version, or no second one.
    """
    known = folders.versions(models / name)
    with server_config.edited(models) as config:
        entry = entry_of(config, name, models)
        labelled = entry.version_labels.get(STABLE)
        current = entry.version_labels.get(CANARY, labelled)
        chosen = known[-1] if version is None else version
        if version is None and current is not None and current != labelled:
            chosen = current
        if chosen not in known:
            raise RepositoryError(f"{name} has no version {chosen}: it has {folders.listed(known)}.")
        # Without a label the newest version serves; beside it, the newest of the others serves the rest.
        others = [one for one in known if one != chosen]
        stable = max(others, default=chosen) if labelled is None else labelled
        if chosen == stable:
            what = "its only one" if labelled is None else "`stable` already"
            raise RepositoryError(f"Version {chosen} of {name} is {what}: export another one first.")
        if entry.model_version_policy.WhichOneof("policy_choice") in (None, "latest"):
            # From now on what is loaded is what has a label; else the next export would drop `stable`.
            entry.model_version_policy.specific.versions[:] = sorted(set(entry.version_labels.values()))
        move_label(entry, STABLE, stable)
        move_label(entry, CANARY, chosen)
    _set_share(models, name, share)
    return f"{name}: version {chosen} gets {share:.0%} of what names no version, version {stable} the rest"


def promote(models: Path, name: str) -> str:
    """Give all requests to the canary's version: it becomes `stable`, and what that was, `previous`.

    Raises:
        RepositoryError: there is no such model, or it has no canary.
    """
    with server_config.edited(models) as config:
        entry = entry_of(config, name, models)
        stable, chosen = _under_way(entry)
        if stable == chosen:
            raise RepositoryError(f"{name} has no canary: begin with `keraserve-train canary {name}`.")
        _set_share(models, name, 0)
        move_label(entry, PREVIOUS, stable)
        move_label(entry, STABLE, chosen)
    return f"{name}: version {chosen} serves; `keraserve-train rollback {name}` goes back to version {stable}"


def rollback(models: Path, name: str) -> str:
    """Give up the canary; if there is none, undo the last `promote`.

    Raises:
        RepositoryError: there is no such model, or nothing to go back to.
    """
    with server_config.edited(models) as config:
        entry = entry_of(config, name, models)
        stable, chosen = _under_way(entry)
        if stable == chosen:
            if PREVIOUS not in entry.version_labels:
                raise RepositoryError(
                    f"{name} has no canary, and nothing that was promoted: nothing to go back to."
                )
            stable = entry.version_labels.pop(PREVIOUS)
        _set_share(models, name, 0)
        move_label(entry, STABLE, stable)
        move_label(entry, CANARY, stable)
    return f"{name}: version {stable} serves"


def end(models: Path, name: str) -> str:
    """Let the newest version serve again, with the policy and the labels of a new model.

    Raises:
        RepositoryError: there is no such model.
    """
    with server_config.edited(models) as config:
        entry = entry_of(config, name, models)
        _set_share(models, name, None)
        for label in (CANARY, PREVIOUS):
            entry.version_labels.pop(label, None)
        entry.model_version_policy.latest.num_versions = server_config.KEPT_VERSIONS
        known = folders.versions(models / name)
        server_config.move_labels(entry, known)
    return f"{name}: the newest version serves, now {known[-1]}"


def entry_of(config: messages.ModelServerConfig, name: str, models: Path) -> messages.ModelConfig:
    """The entry of a model that has a version.

    Raises:
        RepositoryError: there is none; says which models there are.
    """
    for entry in config.model_config_list.config:
        if entry.name == name and folders.versions(models / name):
            return entry
    if folders.versions(models / name):
        raise RepositoryError(
            f"{models / server_config.FILE} does not list {name!r}, though {models} has it:"
            " `keraserve-train export` adds what it lacks."
        )
    raise RepositoryError(
        f"There is no model {name!r} in {models}: it has {folders.listed(folders.names(models))}."
    )


def _under_way(entry: messages.ModelConfig) -> tuple[int, int]:
    """The stable version and the canary's; the same where there is no canary."""
    canary = entry.version_labels.get(CANARY, entry.version_labels.get(STABLE, 0))
    return entry.version_labels.get(STABLE, canary), canary


def move_label(entry: messages.ModelConfig, label: str, version: int) -> None:
    """Move a label. Where the policy lists versions: load its version, and unload the one it was on."""
    left = entry.version_labels.get(label)
    entry.version_labels[label] = version
    if entry.model_version_policy.HasField("specific"):
        listed = {*entry.model_version_policy.specific.versions, version}
        if left is not None and left not in entry.version_labels.values():
            listed.discard(left)
        entry.model_version_policy.specific.versions[:] = sorted(listed)


def _set_share(models: Path, name: str, share: float | None) -> None:
    """Write the share; None takes the model out of the file."""
    content = shares(models)
    content.pop(name, None)
    if share is not None:
        content[name] = share
    atomic.write_json(models / FILE, dict(sorted(content.items())))


def shares(models: Path) -> dict[str, float]:
    """The share of the canary of each model that has one.

    Raises:
        RepositoryError: the file can't be read.
    """
    file = models / FILE
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as error:
        raise RepositoryError(f"{file}: {error}. Correct the file, or delete it.") from error
