"""`models/models.config`: which models a server loads, by which policy, under which labels.

The file belongs to the operator: an export adds what is new and changes nothing else, unless a label would
point to a version that the policy no longer loads, which a server rejects.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keraserve_models import atomic
from keraserve_models.errors import RepositoryError
from keraserve_models.locks import locked
from keraserve_models.repository import folders
from keraserve_protocol import messages, model_config
from keraserve_protocol.canary import STABLE

FILE = "models.config"
SERVED_FROM = "/models"  # where compose.yaml mounts the repository
KEPT_VERSIONS = 2  # the new one and the one to go back to
_HEADER = (
    "# Which models are served. Exports and imports add new models; they keep your changes of paths,\n"
    "# policies and labels, but no comments.\n"
)


def write(models: Path, served_from: str | None = None, *, coming: str | None = None) -> list[str]:
    """Add new models of the repository to the file, which is replaced as a whole, if anything changes.

    Args:
        models: the repository.
        served_from: the repository's folder as the server sees it; None: what the file says, and
            `/models` for a new model.
        coming: a model that is about to get its next version. Its labels leave the version that the policy
            will drop for it, before a server sees the new one and drops it.

    Returns:
        Sentences for the operator: labels that moved, models that are gone.

    Raises:
        RepositoryError: the file can't be read.
    """
    with edited(models) as config:
        return complete(config, models, served_from, coming)


def complete(
    config: messages.ModelServerConfig,
    models: Path,
    served_from: str | None = None,
    coming: str | None = None,
) -> list[str]:
    """Add new models of the repository to the file's content; as `write`, and writes nothing."""
    served_from = served_from and served_from.rstrip("/")
    entries = {entry.name: entry for entry in config.model_config_list.config}
    notices = [
        f"{FILE} lists {name}, of which there is no version: nothing was changed there."
        for name, entry in entries.items()
        if name not in folders.names(models) and entry.base_path == f"{served_from or SERVED_FROM}/{name}"
    ]
    for name in folders.names(models):
        known = folders.versions(models / name)
        if name == coming:
            known = [*known, known[-1] + 1]
        entry = entries.get(name)
        if entry is None:
            entry = _add(config, name, folders.versions(models / name))
        elif served_from is not None:
            entry.base_path = f"{served_from}/{name}"
        if not entry.base_path:
            entry.base_path = f"{served_from or SERVED_FROM}/{name}"
        notices += move_labels(entry, known)
    return notices


@contextmanager
def edited(models: Path) -> Iterator[messages.ModelServerConfig]:
    """The file's content, to be changed; the file is replaced if it was. One writer at a time.

    Raises:
        RepositoryError: the file can't be read.
    """
    models.mkdir(parents=True, exist_ok=True)
    with locked(models / folders.LOCK):
        before = read(models)
        config = messages.ModelServerConfig()
        config.CopyFrom(before)
        yield config
        if config != before:
            atomic.write_text(models / FILE, _HEADER + model_config.render(config))


def loaded(policy: messages.ServableVersionPolicy, versions: Sequence[int]) -> list[int]:
    """Which of the versions (ascending) a server loads under a policy; without one, the newest."""
    if policy.HasField("all"):
        return list(versions)
    if policy.HasField("specific"):
        return [version for version in versions if version in policy.specific.versions]
    return list(versions)[-max(1, policy.latest.num_versions) :]


def read(models: Path) -> messages.ModelServerConfig:
    """The file's content; empty where there is no file.

    Raises:
        RepositoryError: the file can't be read.
    """
    file = models / FILE
    if not file.exists():
        return messages.ModelServerConfig()
    try:
        return model_config.read(file)
    except model_config.ModelConfigError as error:
        raise RepositoryError(f"{error}. Correct the file, or delete it to have it written anew.") from error


def _add(config: messages.ModelServerConfig, name: str, versions: Sequence[int]) -> messages.ModelConfig:
    entry = config.model_config_list.config.add(name=name, model_platform="tensorflow")
    entry.model_version_policy.latest.num_versions = KEPT_VERSIONS
    entry.version_labels[STABLE] = versions[-1]
    return entry


def move_labels(entry: messages.ModelConfig, versions: Sequence[int]) -> list[str]:
    """Move every label whose version is not loaded any more to the oldest version that is."""
    usable = loaded(entry.model_version_policy, versions)
    notices: list[str] = []
    for label, version in sorted(entry.version_labels.items()):
        if version in usable:
            continue
        if usable:
            entry.version_labels[label] = usable[0]
            where = f"now means version {usable[0]}, the oldest that it loads"
        else:
            del entry.version_labels[label]
            where = "was removed"
        notices.append(
            f"A server no longer loads version {version} of {entry.name}: label {label!r} {where}."
        )
    return notices
