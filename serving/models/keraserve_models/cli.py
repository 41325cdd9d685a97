"""The commands `keraserve import`, `serve`, and `models list|show|remove|label` of a repository.

TensorFlow is imported when a model has to be read.
"""

from typing import Annotated, Any, Literal

import typer

from keraserve_models.commands import repository, serving
from keraserve_models.commands.console import out, reported_errors
from keraserve_models.commands.import_options import request_of, with_import_options
from keraserve_models.commands.imported import import_
from keraserve_models.commands.repository import DEFAULT_MODELS, Models
from keraserve_models.repository import management

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(repository.app, name="models")


@app.command("import")
@with_import_options
def import_command(
    model: Annotated[
        str,
        typer.Argument(
            help="A .keras or .h5 file, a SavedModel, a KerasHub preset, Teachable Machine's zip, or"
            " hf://USER/REPOSITORY.",
            show_default=False,
        ),
    ],
    options: dict[str, Any],
    models: Models = DEFAULT_MODELS,
) -> None:
    """Add a Keras model to a repository, in the form that TensorFlow Serving loads."""
    with reported_errors():
        done = import_(request_of(model, models, options))
        held = next(each for each in management.held(models) if each.name == done.name)
    elsewhere = "" if models == DEFAULT_MODELS else f" --models {models}"
    for label, version in sorted(held.labels.items()):
        if version != done.version:
            move = f"keraserve models label {done.name} {label} {done.version}{elsewhere}"
            out.print(f"label {label} stays at version {version}; to move it: {move}")
    out.print(f"\nnext: keraserve serve {models}")


@app.command()
@with_import_options
def serve(
    options: dict[str, Any],
    model: Annotated[
        str, typer.Argument(help="A model, as `keraserve import` takes it, or a repository of models.")
    ] = str(DEFAULT_MODELS),
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, envvar="KERASERVE_PORT", help="Port of HTTP and the page.")
    ] = 8000,
    grpc_port: Annotated[
        int, typer.Option(min=0, envvar="KERASERVE_GRPC_PORT", help="Port of gRPC; 0: none.")
    ] = 8500,
    runtime: Annotated[
        Literal["tensorflow", "openvino", "auto"],
        typer.Option(help="What runs the networks; auto: the faster one, measured at the start."),
    ] = "tensorflow",
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Of OpenVINO's networks; bfloat16 only where a model's card allows it."),
    ] = "float32",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="Least serious line of the log, which is JSON on standard error."),
    ] = "warning",
) -> None:
    """Serve a Keras model, or a repository of models: page, HTTP and gRPC in one process, until Ctrl-C."""
    with reported_errors():
        address = serving.Address(host, port, grpc_port)
        chosen = {"runtime": runtime, "precision": precision}
        status = serving.serve(model, address, options, chosen, log_level)
    raise typer.Exit(status)
