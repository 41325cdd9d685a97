"""The program `keraserve`. A command is loaded when it is called, so that `--help` imports no large library.

A package adds commands by entry points of the group `keraserve.commands`: the name of the command, and the
`typer.Typer` that has it, or a function that is called in the same way.
"""

import os
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated

import typer

PROGRAM, GROUP = "keraserve", "keraserve.commands"
_CLIENT, _SERVE, _TRAIN = "keraserve", "keraserve[serve]", "keraserve[train]"


@dataclass(frozen=True)
class Command:
    """A command of Keraserve's own packages.

    Attributes:
        about: its line in the help.
        distribution: what has to be installed for it.
    """

    about: str
    distribution: str


COMMANDS = {
    "serve": Command("Serve a Keras model, or a repository of models: page, HTTP, gRPC.", _SERVE),
    "import": Command(
        "Add a Keras model to a repository, in the form that TensorFlow Serving loads.", _SERVE
    ),
    "models": Command("List the models of a gateway; list|show|remove|label: of a repository.", _CLIENT),
    "classify": Command("Classify images.", _CLIENT),
    "predict": Command("Call a model with tensors.", _CLIENT),
    "evaluate": Command("Measure how right a model is on a folder of class folders.", _CLIENT),
    "status": Command("Show the versions of a model.", _CLIENT),
    "check": Command("Look for faults in a folder of images before training.", _TRAIN),
    "train": Command("Train experiments, or a model of your images, and export them.", _TRAIN),
}
# `keraserve models` asks a gateway; with one of these it works on the repository's folder.
REPOSITORY_COMMANDS = ("list", "show", "remove", "label")
_REPOSITORY = "models-repository"

app = typer.Typer(
    help="Train and serve Keras models, and use the models of a server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keraserve {version('keraserve-client')}")
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _add(name: str, about: str) -> None:
    # The command reads its own options, --help too.
    @app.command(
        name,
        help=about,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def _(context: typer.Context) -> None:
        _run(name, context.args)


def _run(name: str, arguments: list[str]) -> None:
    found = installed().get(_point(name, arguments))
    if found is None:
        missing = _SERVE if _point(name, arguments) == _REPOSITORY else COMMANDS[name].distribution
        typer.echo(f'{PROGRAM}: {name} is not installed: pip install "{missing}"', err=True)
        raise typer.Exit(1)
    found.load()(args=[name, *arguments], prog_name=PROGRAM)


def _point(name: str, arguments: list[str]) -> str:
    """The entry point of a command."""
    return _REPOSITORY if name == "models" and arguments[:1] and arguments[0] in REPOSITORY_COMMANDS else name


def _complete_options() -> None:
    """Let a command complete its own options, where a shell asks for these, and end."""
    if f"_{PROGRAM.upper()}_COMPLETE" not in os.environ:
        return
    # What typer's lines in zsh, fish and PowerShell, and those in bash, pass on of the command line.
    words = (os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")).split()[1:]
    found = installed().get(_point(words[0], words[1:])) if words else None
    command = found.load() if found else None
    if isinstance(command, typer.Typer):
        typer.main.get_command(app)  # makes typer know the shells
        typer.main.get_command(command)(prog_name=PROGRAM)


def installed() -> dict[str, EntryPoint]:
    """Every command that is installed, by its name."""
    own = [name for name, command in COMMANDS.items() if command.distribution == _CLIENT]
    return {
        **{name: EntryPoint(name, "keraserve_client.cli:app", GROUP) for name in own},
        **{point.name: point for point in entry_points(group=GROUP)},
    }


def main() -> None:
    """Run the program."""
    _complete_options()
    for name, command in COMMANDS.items():
        _add(name, command.about)
    for name, point in installed().items():
        if name not in COMMANDS and name != _REPOSITORY:
            _add(name, f"From {point.dist.name if point.dist else point.module}.")
    app(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
