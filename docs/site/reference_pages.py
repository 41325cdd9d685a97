"""The reference: classes by their docstrings, commands by their help, paths by their description."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from keraserve import __main__ as program

FOLDER = Path("docs/reference")
_CLIENT = ["keraserve_client"]
# The names that it takes from its own modules and that are no classes: Sphinx finds their text only there.
_ALIASES = ("_images.Image", "_images.Images", "_tensors.Inputs", "_types.Arrays")
_TRAINING = [
    "keraserve_training.experiment",
    "keraserve_training.run",
    "keraserve_training.learning.fit",
    "keraserve_training.learning.rules",
    "keraserve_training.profiles",
    "keraserve_training.options",
    "keraserve_training.errors",
]


def write(folder: Path) -> None:
    """Write all pages below `folder`."""
    (folder / FOLDER).mkdir(parents=True)
    pages = {
        "client": _modules("The client's classes", "Usage is in [the client's guide](../client.md).", _CLIENT)
        + "\n\n## Types of arguments and results\n\n```{eval-rst}\n"
        + "".join(f".. autodata:: keraserve_client.{alias}\n" for alias in _ALIASES)
        + "```\n",
        "training": _modules(
            "What experiments are made of",
            "An experiment is a function that returns an `Experiment`, and one that gets a `Run`."
            " [The experiments](../experiments/index.md) show how they are used.",
            _TRAINING,
        ),
        "http": _http(folder),
        "command-line": _command_line(),
    }
    for name, text in pages.items():
        (folder / FOLDER / f"{name}.md").write_text(text)


def _modules(title: str, about: str, modules: list[str]) -> str:
    """The page of some modules; of a package, what it names in `__all__`."""
    blocks = [f"```{{eval-rst}}\n.. automodule:: {module}\n```" for module in modules]
    if len(modules) > 1:
        blocks = [f"## {module}\n\n{block}" for module, block in zip(modules, blocks, strict=True)]
    return "\n\n".join([f"# {title}", about, *blocks])


def _http(folder: Path) -> str:
    from keraserve_gateway.http.app import create_app
    from keraserve_gateway.settings import Settings

    described = create_app(Settings(), None).openapi()  # type: ignore[arg-type]  # without a model server
    (folder / "extra/openapi.json").write_text(json.dumps(described, indent=1))
    lines = [
        f"- `{method.upper()} {path}` {operation.get('summary', '')}"
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    about = (
        "All paths of the gateway. [The gateway's interface](../gateway.md) says what each does, its headers,"
        " limits and errors; a running gateway has a page at `/docs` where each can be tried out. The same"
        ' description for programs, in OpenAPI\'s form: <a href="../../openapi.json">openapi.json</a>.'
    )
    return "\n\n".join(["# The HTTP API", about, "\n".join(lines)]) + "\n"


def _command_line() -> str:
    order = list(program.COMMANDS)
    apps = {id(app): app for app in (point.load() for point in program.installed().values())}
    groups: list[Any] = [typer.main.get_command(app) for app in apps.values()]
    commands = [each for group in groups for each in group.commands.items()]
    commands.sort(key=lambda each: order.index(each[0]))
    about = (
        "Every command with its arguments and options, as `--help` has them. `keraserve-train` is the same"
        " program as `keraserve train`. The servers' flags are in [the gateway's settings](../settings.md)"
        " and [the embedded model server](../model-server.md)."
    )
    text = ["# The command line", "", about]
    for name, command in commands:
        text += ["", f"## keraserve {name}", *_command(f"keraserve {name}", command)]
    return "\n".join(text) + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    yield from ["", command.help or "", ""]
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            yield f"- `{_written(parameter)}` {getattr(parameter, 'help', None) or ''}"
    for inner, each in getattr(command, "commands", {}).items():
        yield from ["", f"### {name} {inner}", *_command(f"{name} {inner}", each)]


def _written(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper()
    return ", ".join(parameter.opts)
