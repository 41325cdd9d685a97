"""The options of a run as flags of the command line, defined once for all commands that take them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_models.command_options import with_options
from keraserve_training.errors import UnknownProfileError
from keraserve_training.options import Options
from keraserve_training.pretrained.networks import NETWORKS
from keraserve_training.profiles import PROFILES, Profile

Runs = Annotated[Path, typer.Option(help="Folder of all runs.")]
Models = Annotated[Path, typer.Option(help="The model repository.")]
ProfileName = Annotated[str, typer.Option("--profile", help=f"One of {', '.join(PROFILES)}.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides the initial weights and the order of the images.")]
Force = Annotated[bool, typer.Option("--force", help="Start anew: delete what is there.")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread the work over the machines of a Ray cluster: auto or HOST:6379 on one of them,"
        " ray://HOST:10001 from elsewhere. All have to share the folder --runs.",
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(min=1, help="With --ray: processors of each piece. [default: as many as there are here]"),
]
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="With --ray: GPUs of each piece.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting of the experiment, as often as you like; `settings` lists them.",
    ),
]
DEFAULT_RUNS, DEFAULT_MODELS, DEFAULT_SEED = Path("runs"), Path("models"), 42

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
            help=f"Pre-trained network: {', '.join(NETWORKS)}, or hub:PRESET of KerasHub. (default: the"
            " source document's)"
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


def _options(given: dict[str, Any]) -> Options:
    data = given["data"]
    return Options(**{**given, "data": data and str(data.resolve())})


_OF_OWN_IMAGES = ("layout", "backbone", "alpha", "weights", "image_size", "strategy")

with_run_options = with_options(_FLAGS, _options)
"""Give a command the options of a run; it gets them as its argument `options`."""
with_run_options_and_name = with_options(_FLAGS | {"name": _NAME}, _options)
"""The same with `--name`, for a command that makes one run."""
with_own_options = with_options({name: _FLAGS[name] for name in _OF_OWN_IMAGES} | {"name": _NAME})
"""Those of a run on the user's own images, as a dictionary."""


def profile_of(name: str) -> Profile:
    """The profile of that name; raises UnknownProfileError if there is none."""
    if name not in PROFILES:
        raise UnknownProfileError(f"There is no profile {name!r}: take one of {', '.join(PROFILES)}.")
    return PROFILES[name]
