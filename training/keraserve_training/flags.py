"""The options of a run as flags of the command line, defined once for all commands that take them."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_training.options import Options

_FLAGS: dict[str, Any] = {
    "data": Annotated[
        Path | None,
        typer.Option(
            help="Your own images: a folder with a folder for each class, or train/ and test/ of those."
        ),
    ],
    "layout": Annotated[
        str | None,
        typer.Option(
            help="How --data is read: classes (each folder is one), parts (train/, validation/ and test/ hold"
            " them), or merged (the folders in all folders). (default: what fits)"
        ),
    ],
    "backbone": Annotated[
        str | None,
        typer.Option(
            help="Pre-trained network: xception, vgg16, vgg19, resnet50, inceptionv3, inceptionresnetv2,"
            " mobilenet, densenet121 or nasnetmobile. (default: the source document's)"
        ),
    ],
    "alpha": Annotated[float | None, typer.Option(help="MobileNet's width: 0.25, 0.5, 0.75 or 1.")],
    "weights": Annotated[
        str | None,
        typer.Option(help="The network's weights: imagenet, random, or a file. (default: imagenet)"),
    ],
    "image_size": Annotated[
        int | None,
        typer.Option(min=16, help="Pixels a side that a network gets. (default: the source document's)"),
    ],
    "fine_tune": Annotated[
        bool, typer.Option("--fine-tune", help="Then go on with the whole network, at a low rate.")
    ],
    "mixed_precision": Annotated[
        bool, typer.Option("--mixed-precision", help="Run the frozen network in bfloat16.")
    ],
    "strategy": Annotated[
        str | None, typer.Option(help="mirrored: train on all GPUs of this machine at once.")
    ],
}
_NAME = Annotated[str | None, typer.Option(help="What the exported model is called.")]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags; it gets them as its argument `options`."""
    return _with(_FLAGS, command)


def with_options_and_name(command: Callable[..., None]) -> Callable[..., None]:
    """The same with `--name`, for a command that makes one run."""
    return _with(_FLAGS | {"name": _NAME}, command)


def _with(flags: dict[str, Any], command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in flags}
        if given["data"] is not None:
            given["data"] = str(given["data"].resolve())
        command(options=Options(**given), **arguments)

    own = [each for each in inspect.signature(command).parameters.values() if each.name != "options"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=False if annotation.__origin__ is bool else None,
        )
        for name, annotation in flags.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + added
    wrapped.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    del wrapped.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped
