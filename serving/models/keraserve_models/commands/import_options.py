"""The options of an import, which `keraserve import` and `keraserve serve` have in common."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_models.command_options import with_options
from keraserve_models.errors import ModelsError
from keraserve_models.importing import hub
from keraserve_models.importing.request import ImportRequest, Overrides, Scale, Scores, Task
from keraserve_protocol.image_folders import images_below

_MOST_IMAGES = 64  # that a version is compared on
_MOST_LABELLED = 1000  # that its accuracy is measured on
_SUFFIXES = (".keras", ".h5", ".hdf5", ".zip")
_FOUND_OUT = "found out"  # in place of a default

_OPTIONS: dict[str, Any] = {
    "name": Annotated[str | None, typer.Option(help="The model's name.", show_default="its file's")],
    "labels": Annotated[
        Path | None,
        typer.Option(help="A file with the name of each class, a line each.", show_default="numbers"),
    ],
    "task": Annotated[
        Task | None,
        typer.Option(
            help="images: classify images; tensors: its own inputs and outputs.", show_default=_FOUND_OUT
        ),
    ],
    "scale": Annotated[
        Scale | None,
        typer.Option(help="What pixels of 0 to 255 have to become.", show_default=_FOUND_OUT),
    ],
    "scores": Annotated[
        Scores | None, typer.Option(help="What the last layer returns.", show_default=_FOUND_OUT)
    ],
    "size": Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH", help="Of its images, where the model takes any size.", show_default=False
        ),
    ],
    "try_": Annotated[
        Path | None,
        typer.Option(
            "--try", exists=True, help="Images on which version and model are compared.", show_default=False
        ),
    ],
    "trust": Annotated[
        bool, typer.Option("--trust", help="Run the programs in it: Lambda layers, custom classes.")
    ],
    "code": Annotated[
        Path | None,
        typer.Option(help="With --trust: a Python file with its custom classes.", show_default=False),
    ],
    "any_difference": Annotated[
        bool,
        typer.Option("--any-difference", help="Publish the version even where its results differ."),
    ],
}
with_import_options = with_options(_OPTIONS)
"""Give a command the options of an import; it gets them as its argument `options`."""


def request_of(model: str, models: Path, options: dict[str, Any]) -> ImportRequest:
    """What the options ask for; a model of the Hugging Face Hub is downloaded.

    Raises:
        ModelsError: one of them is no value, or the model can't be downloaded.
    """
    size = _size(options["size"])
    if hub.is_address(model):
        path, address, named = hub.download(model), model, Path(hub.repository(model))
    else:
        path, address, named = Path(model), None, Path(model)
    files = images_below(options["try_"]) if options["try_"] else []
    return ImportRequest(
        path=path,
        address=address,
        name=options["name"] or name_of(named),
        models=models,
        labels=options["labels"],
        overrides=Overrides(options["task"], options["scale"], options["scores"], size),
        images=_some(files, _MOST_IMAGES),
        labelled=_some(files, _MOST_LABELLED),
        trusted=options["trust"],
        code=options["code"],
        any_difference=options["any_difference"],
    )


def _some(files: Sequence[Path], most: int) -> tuple[Path, ...]:
    """At most so many, of every class."""
    return tuple(files[:: -(-len(files) // most)]) if files else ()


def name_of(model: Path) -> str:
    """A model's name made from that of its file: lower-case letters, digits and '-'."""
    path = model.resolve()
    name = path.stem if path.suffix.lower() in _SUFFIXES else path.name
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(words)[:63].rstrip("-") or "model"


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if found is None:
        raise ModelsError(f"--size is HEIGHTxWIDTH in pixels, such as 224x224, not {text!r}")
    return int(found[1]), int(found[2])
