"""The commands `keraserve import`, and `keraserve models list|show|remove|label` of a repository.

TensorFlow is imported when a model has to be read.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_models.commands import repository
from keraserve_models.commands.console import out, reported_errors
from keraserve_models.commands.import_options import request_of, with_import_options
from keraserve_models.commands.imported import import_
from keraserve_models.commands.repository import DEFAULT_MODELS, Models

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(repository.app, name="models")


@app.callback()
def _program() -> None: ...


@app.command("import")
@with_import_options
def import_command(
    model: Annotated[
        Path,
        typer.Argument(
            help="A .keras or .h5 file, a SavedModel, or Teachable Machine's zip.", show_default=False
        ),
    ],
    options: dict[str, Any],
    models: Models = DEFAULT_MODELS,
) -> None:
    """Add somebody's Keras model to a repository, as TensorFlow Serving takes it."""
    with reported_errors():
        import_(request_of(model, models, options))
    out.print(f"\nnext: make serve MODELS={models}")
