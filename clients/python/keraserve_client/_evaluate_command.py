"""The command `keraserve evaluate`: how right a served model is on a folder of class folders."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_client import _evaluation_page
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
from keraserve_client._grpc import GrpcClient
from keraserve_client._table import print_comparison, print_evaluation
from keraserve_client._types import Class, Failure, Prediction
from keraserve_protocol.evaluation import Comparison, Evaluation
from keraserve_protocol.image_folders import images_below

_ALL_CLASSES = 1000  # the most that a gateway gives
_TOP = 5  # classes of each image, where a model has more
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
            help="Compare with the version of a label, on the same images; exit with 1 if that is better.",
            show_default=False,
        ),
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with 1 if the accuracy is lower.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="Write a page, with the surest mistakes as pictures.", show_default=False
        ),
    ] = None,
    concurrency: Concurrency = 32,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Measure how right what is served is. The exit code is 1 if an image fails, below --at-least, or if the
    version of --against is better by more than chance: a guard before a version gets a label."""
    if html is not None:
        with reported_errors():
            _evaluation_page.check()
    with reported_errors(), connect(url, grpc, tls, ca_file, timeout, retries=None) as client:
        samples = _samples(folder)
        check_reached(model, url, grpc, tls, ca_file, timeout)
        targets: list[tuple[int | None, str | None]] = [(version, label)]
        if against is not None:
            targets.append((None, against))
        classes = _check_classes(client, model, samples, targets)
        top = _TOP if classes > _TOP else 1
        runs: list[list[Prediction | Failure]] = []
        failed: list[tuple[Path, Failure]] = []
        paths = [path for path, _ in samples]
        for number, name in targets:
            outcomes = client.classify_many(model, paths, top, number, name, concurrency=concurrency)
            tracked = watched(zip(paths, outcomes, strict=True), len(paths), failed, False)
            runs.append([outcome for _, outcome in tracked])
        failed = list(dict(failed).items())  # an image may fail in both runs
        evaluations, versions = _evaluations(samples, runs, top)
    comparison = Comparison.of(*evaluations) if against is not None else None
    titles = [
        f"{name} {_named(numbers)}" for name, numbers in zip((model, f"{against},"), versions, strict=False)
    ]
    if as_json:
        print_json(_as_json(model, evaluations, versions, comparison, failed))
    else:
        print_evaluation(evaluations[0], titles[0], console())
        if comparison is not None:
            print_comparison(evaluations[1], comparison, titles[1], console())
    if html is not None:
        with reported_errors():
            pages = list(zip(titles, evaluations, strict=True))
            _evaluation_page.write(html, folder, pages, comparison, _mistakes(samples, runs[0]))
    reasons = [f"{path}: {sentence(failure.error)}" for path, failure in failed]
    reasons += _not_good_enough(evaluations[0], at_least, comparison, against)
    for reason in reasons:
        print_error(reason)
    if reasons:
        raise typer.Exit(1)


def _not_good_enough(
    evaluation: Evaluation, at_least: float | None, comparison: Comparison | None, against: str | None
) -> list[str]:
    reasons: list[str] = []
    if at_least is not None and evaluation.accuracy < at_least:
        reasons.append(f"the accuracy is {evaluation.accuracy:.4g}, below {at_least:g}")
    if comparison is not None and comparison.worse:
        reasons.append(f"{against} is better, by more than the choice of the images makes")
    return reasons


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
) -> int:
    """The number of the model's classes, up to 1,000.

    Raises:
        InvalidInput: folders that are none of the model's classes, or a comparison of a version with itself.
    """
    versions: list[int] = []
    known: list[str] = []
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
    return len(known)


def _mistakes(
    samples: Sequence[Sample], run: Sequence[Prediction | Failure]
) -> list[tuple[Path, str, Class]]:
    """Each image that was taken for another class, with its class and the one found; the surest first."""
    wrong = [
        (path, truth, one.best)
        for (path, truth), one in zip(samples, run, strict=True)
        if isinstance(one, Prediction) and one.best.label != truth
    ]
    return sorted(wrong, key=lambda mistake: -mistake[2].probability)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _evaluations(
    samples: Sequence[Sample], runs: Sequence[Sequence[Prediction | Failure]], top: int
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
        [_evaluation(truths, run, top) for run in predictions],
        [sorted({each.version for each in run}) for run in predictions],
    )


def _evaluation(truths: Sequence[str], run: Sequence[Prediction], top: int) -> Evaluation:
    among = sum(truth in {each.label for each in one.classes} for truth, one in zip(truths, run, strict=True))
    best = [one.best for one in run]
    return Evaluation(
        truths,
        [one.label for one in best],
        [one.probability for one in best],
        among if top == _TOP else None,
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
            "balanced_accuracy": one.balanced_accuracy,
            "macro_f1": one.macro_f1,
            "top5_accuracy": one.top5_accuracy,
            "calibration_error": one.calibration_error,
            "reliability": [dataclasses.asdict(each) for each in one.reliability],
            "classes": [
                {
                    **dataclasses.asdict(each),
                    "recall": each.recall,
                    "precision": each.precision,
                    "f1": each.f1,
                }
                for each in one.classes
            ],
            "confusions": [dataclasses.asdict(each) for each in one.confusions],
        }

    return {
        "model": model,
        **figures(0),
        "failed": [{"file": str(path), "error": sentence(failure.error)} for path, failure in failed],
        **(
            {
                "against": {
                    **figures(1),
                    **dataclasses.asdict(comparison),
                    "p_value": comparison.p_value,
                    "better": comparison.worse,
                }
            }
            if comparison
            else {}
        ),
    }
