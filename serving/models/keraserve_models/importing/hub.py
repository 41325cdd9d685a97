"""Models of the Hugging Face Hub, by their address: `hf://USER/REPOSITORY[@REVISION][/FILE]`."""

import glob
import re
from pathlib import Path

from keraserve_models.errors import ImportRejected, ModelsError, first_line

PREFIX = "hf://"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@(refs/pr/\d+|[^/]+))?(?:/(.+))?")
# What a Keras model is made of, and not the same weights for other libraries.
_FILES = ["*.json", "*.h5", "*.keras", "*.pb", "variables/*", "assets/*", "*.txt", "*.model"]


def is_address(model: str) -> bool:
    """Whether it is an address of the Hub, and not a path."""
    return model.startswith(PREFIX)


def repository(address: str) -> str:
    """`USER/REPOSITORY` of an address.

    Raises:
        ImportRejected: it is none.
    """
    return _parts(address)[0]


def download(address: str) -> Path:
    """Download a repository, or find it in the Hub's own cache; gives the model's file or folder.

    Raises:
        ImportRejected: it is no address, or there is no such repository or file, or no model in it.
        ModelsError: huggingface-hub is not installed, or the Hub can't be reached.
    """
    name, revision, file = _parts(address)
    wanted = [glob.escape(file), f"{glob.escape(file)}/*"] if file else _FILES
    try:
        from huggingface_hub import errors, snapshot_download  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModelsError('models of the Hub need huggingface-hub: pip install "keraserve[hub]"') from error
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ImportRejected(f"{address} can't be downloaded: {first_line(error)}") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise ModelsError(f"{address} can't be downloaded: {first_line(error)}") from error
    return folder / file if file else _model_in(folder, address)


def _parts(address: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and file."""
    found = _ADDRESS.fullmatch(address)
    if found is None or (found[3] and not {"", ".", ".."}.isdisjoint(found[3].split("/"))):
        raise ImportRejected(f"{address} is no address: write hf://USER/REPOSITORY, or hf://…@REVISION/FILE")
    return found[1], found[2], found[3]


def _model_in(folder: Path, address: str) -> Path:
    """The only model file of a folder; the folder where it is a model itself."""
    if any((folder / name).exists() for name in ("config.json", "saved_model.pb")):
        return folder
    files = sorted(
        each
        for each in folder.glob("*.*")
        if each.suffix in (".keras", ".h5") and ".weights" not in each.name
    )
    if len(files) > 1:
        names = ", ".join(each.name for each in files)
        raise ImportRejected(f"{address} holds {names}: name one, as in {address}/{files[0].name}")
    return files[0] if files else folder
