"""The command `keraserve evaluate`: how right a served model is on a folder of class folders."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_client._client import DEFAULT_URL, Client
from keraserve_client._command_line import (
    CaFile,
    Concurrency,
    Grpc,
    Json,
    Label,
    Model,
    Timeout,
    Tls,
    Url,
    Version,
    check_reached,
    connect,
    console,
    print_error,
    print_json,
    reported_errors,
    sentence,
    watched,
)
from keraserve_client._errors import InvalidInput
from keraserve_client._evaluation import Comparison, Evaluation
from keraserve_client._grpc import GrpcClient
from keraserve_client._table import print_comparison, print_evaluation
from keraserve_client._types import Failure, Prediction
from keraserve_protocol.image_folders import images_below

_ALL_CLASSES = 1000  # the most that a gateway gives
_NAMED = 10  # classes in a message

Sample = tuple[Path, str]
"""An image and its class."""


def evaluate(
    model: Model,
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="A folder of images for each class.", show_default=False
        ),
    ],
    version: Version = None,
    label: Label = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Compare with the version of a label, on the same images.",
            show_default=False,
        ),
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with 1 if the accuracy is lower.", show_default=False),
    ] = None,
    concurrency: Concurrency = 32,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Measure how right a model is: exit code 1 if an image fails, or below --at-least."""
    with reported_errors(), connect(url, grpc, tls, ca_file, timeout, retries=None) as client:
        samples = _samples(folder)
        check_reached(model, url, grpc, tls, ca_file, timeout)
        targets: list[tuple[int | None, str | None]] = [(version, label)]
        if against is not None:
            targets.append((None, against))
        _check_classes(client, model, samples, targets)
        runs: list[list[Prediction | Failure]] = []
        failed: list[tuple[Path, Failure]] = []
        paths = [path for path, _ in samples]
        for number, name in targets:
            outcomes = client.classify_many(model, paths, 1, number, name, concurrency=concurrency)
            tracked = watched(zip(paths, outcomes, strict=True), len(paths), failed, False)
            runs.append([outcome for _, outcome in tracked])
        failed = list(dict(failed).items())  # an image may fail in both runs
        evaluations, versions = _evaluations(samples, runs)
    comparison = Comparison.of(*evaluations) if against is not None else None
    if as_json:
        print_json(_as_json(model, evaluations, versions, comparison, failed))
    else:
        print_evaluation(evaluations[0], f"{model} {_named(versions[0])}", console())
        if comparison is not None:
            other = f"{against}, {_named(versions[1])}"
            print_comparison(evaluations[1], comparison, other, console())
    for path, failure in failed:
        print_error(f"{path}: {sentence(failure.error)}")
    accuracy = evaluations[0].accuracy
    if at_least is not None and accuracy < at_least:
        print_error(f"the accuracy is {accuracy:.4g}, below {at_least:g}")
    if failed or (at_least is not None and accuracy < at_least):
        raise typer.Exit(1)


def _samples(folder: Path) -> list[Sample]:
    """Every image of a folder, with the name of the class folder that it is in."""
    found: list[Sample] = []
    for path in images_below(folder):
        above = path.relative_to(folder).parts[:-1]
        if not above:
            raise InvalidInput(f"{path} is in no class folder: {folder} has to have a folder for each class")
        found.append((path, above[0]))
    return found


def _check_classes(
    client: Client | GrpcClient,
    model: str,
    samples: Sequence[Sample],
    targets: Sequence[tuple[int | None, str | None]],
) -> None:
    """Reject folders that are none of the model's classes, and a comparison of a version with itself."""
    versions: list[int] = []
    for version, label in targets:
        paths = (path for path, _ in samples)
        outcomes = client.classify_many(model, paths, _ALL_CLASSES, version, label, concurrency=1)
        first = next((outcome for outcome in outcomes if isinstance(outcome, Prediction)), None)
        outcomes.close()
        if first is None:
            raise InvalidInput(f"{model} can classify none of the {len(samples)} images")
        versions.append(first.version)
        known = sorted(each.label for each in first.classes)
        unknown = sorted({name for _, name in samples} - set(known))
        if unknown and len(known) < _ALL_CLASSES:
            raise InvalidInput(
                f"{model} version {first.version} has no class for these folders: {_listed(unknown)};"
                f" its classes are {_listed(known)}"
            )
    if len(versions) == 2 and versions[0] == versions[1]:
        raise InvalidInput(f"{targets[1][1]} is version {versions[1]}, too: there is nothing to compare")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _evaluations(
    samples: Sequence[Sample], runs: Sequence[Sequence[Prediction | Failure]]
) -> tuple[list[Evaluation], list[list[int]]]:
    """Those of the images that none failed for, and the versions that classified them.

    Raises:
        InvalidInput: there is no such image.
    """
    whole = [
        place for place, _ in enumerate(samples) if all(isinstance(run[place], Prediction) for run in runs)
    ]
    if not whole:
        raise InvalidInput("not one image was classified")
    predictions = [[one for place in whole if isinstance(one := run[place], Prediction)] for run in runs]
    truths = [samples[place][1] for place in whole]
    return (
        [Evaluation(truths, [each.best.label for each in run]) for run in predictions],
        [sorted({each.version for each in run}) for run in predictions],
    )


def _named(versions: Sequence[int]) -> str:
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"


def _as_json(
    model: str,
    evaluations: Sequence[Evaluation],
    versions: Sequence[Sequence[int]],
    comparison: Comparison | None,
    failed: Sequence[tuple[Path, Failure]],
) -> dict[str, Any]:
    def figures(place: int) -> dict[str, Any]:
        one = evaluations[place]
        return {
            "versions": list(versions[place]),
            "images": len(one.truths),
            "right": one.right,
            "accuracy": one.accuracy,
            "interval": list(one.interval),
            "classes": [
                {**dataclasses.asdict(each), "recall": each.recall, "precision": each.precision}
                for each in one.classes
            ],
            "confusions": [dataclasses.asdict(each) for each in one.confusions],
        }

    return {
        "model": model,
        **figures(0),
        "failed": [{"file": str(path), "error": sentence(failure.error)} for path, failure in failed],
        **(
            {"against": {**figures(1), **dataclasses.asdict(comparison), "p_value": comparison.p_value}}
            if comparison
            else {}
        ),
    }
