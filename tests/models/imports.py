"""What tests of imports share: one model in a repository, and its version run as a server runs it."""

from pathlib import Path
from typing import Any

from keraserve_models.exporting.served import served
from keraserve_models.importing.importer import Imported, import_model
from keraserve_models.importing.request import ImportRequest

NAME = "flowers"


def imported(path: Path, models: Path, **how: Any) -> Imported:
    """Import a model under `NAME`."""
    return import_model(ImportRequest(path, NAME, models, **how))


def run(models: Path, signature: str, **inputs: Any) -> dict[str, Any]:
    """Call a signature of its version 1."""
    with served(models / NAME / "1") as version:
        return version.run(signature, inputs)
