"""A model of somebody else becomes a version in the repository: found out, written, compared, published."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraserve_models.errors import ImportRejected, NotEqual, RepositoryError
from keraserve_models.exporting import card
from keraserve_models.importing import findings, loading
from keraserve_models.importing.comparison import Compared
from keraserve_models.importing.findings import ImageFindings, Known, ScaleUnknown
from keraserve_models.importing.request import ImportRequest
from keraserve_models.importing.source import Form, Source, opened
from keraserve_models.repository import folders, server_config
from keraserve_protocol.differences import TOLERANCE

if TYPE_CHECKING:
    from keraserve_models.importing.written import Written

_SAVED_MODEL = ("saved_model.pb", folders.MODEL_CARD)


@dataclass(frozen=True)
class Imported:
    """What is in the repository now.

    Attributes:
        name: of the model.
        version: its number.
        card: its model card.
        compared: how the written version differs from the model.
    """

    name: str
    version: int
    card: dict[str, Any]
    compared: Compared


def import_model(request: ImportRequest, tell: Callable[[str], None] = lambda _: None) -> Imported:
    """Import a model; nothing is left in the repository where it fails.

    Args:
        request: what and how.
        tell: is told what was found out, a sentence at a time.

    Raises:
        ImportRejected: and those below it, see `keraserve_models.errors`.
        RepositoryError: the name is none, or the repository can't be written.
    """
    folders.check_name(request.name)
    if request.code and not request.trusted:
        raise ImportRejected("--code has an effect with --trust only: its program would not be run")
    with opened(request.path) as source:
        written_by = f" of Keras {source.keras_version}" if source.keras_version else ""
        tell(f"{request.address or request.path}: {source.form.value}{written_by}")
        written: list[tuple[dict[str, Any], Compared]] = []

        def write(place: Path) -> None:
            written.append(_write(place, source, request, tell))

        as_it_is = source.form is Form.SAVED_MODEL and request.overrides.task != "images"
        required = _SAVED_MODEL if as_it_is else (*_SAVED_MODEL, folders.CARD_ASSET)
        with folders.exporting(request.models, request.name):
            _check_origin(request)
            version = folders.publish(request.models, request.name, write, required)
            for notice in server_config.write(request.models, request.served_from):
                tell(notice)
    content, compared = written[0]
    return Imported(request.name, version, content, compared)


def _check_origin(request: ImportRequest) -> None:
    base = request.models / request.name
    for version in reversed(folders.versions(base)):
        if "run" in card.read(base / str(version)):
            raise ImportRejected(
                f"{base / str(version)} was trained here, and versions of one model have one origin: choose"
                " another --name."
            )
        return


def _write(
    place: Path, source: Source, request: ImportRequest, tell: Callable[[str], None]
) -> tuple[dict[str, Any], Compared]:
    import tensorflow as tf

    try:
        version = _version(place, source, request, tell)
    except tf.errors.ResourceExhaustedError as error:  # of the disk, or of memory
        raise RepositoryError(f"the version can't be written: {error.message.splitlines()[0]}") from error
    if not version.compared.equal and not request.any_difference:
        raise NotEqual(
            "the version that was written gives other results than the model: they differ by"
            f" {version.compared.largest:.2g} on {version.compared.what}, where {TOLERANCE:g} is allowed."
            " Nothing was published; --any-difference does it."
        )
    content = {
        "model": request.name,
        "description": f"Imported from {request.said}.",
        "warnings": version.warnings,
        **version.card,
        "imported_from": {
            "file": request.said,
            "form": source.form.value,
            "sha256": source.sha256,
            "keras_version": source.keras_version or None,
        },
        "largest_difference": version.compared.largest,
        "compared_on": version.compared.what,
        "imported": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    card.write(place, content, in_graph=version.in_graph)
    return content, version.compared


def _version(place: Path, source: Source, request: ImportRequest, tell: Callable[[str], None]) -> "Written":
    """Write what the model becomes: an image classifier, tensors, or a SavedModel as it is."""
    from keraserve_models.importing import kerashub, saved_models, written

    known = findings.NOTHING
    if source.form is Form.SAVED_MODEL:
        loaded = saved_models.load(source.path)
        if request.overrides.task != "images":
            _check_no_image_options(request)
            return written.of_saved_model(place, loaded, source, request, tell)
        model: Any = saved_models.Signature(loaded)
    else:
        model = loading.load(source, trusted=request.trusted, code=request.code)
    if source.form is Form.TEACHABLE_MACHINE:
        known = findings.TEACHABLE_MACHINE
    elif kerashub.is_classifier(model) and request.overrides.task != "tensors":
        model, known = kerashub.with_converter(model, request.overrides)
    found = _found(model, known, source, request)
    if found is None:
        _check_no_image_options(request)
        if kerashub.is_task(model):
            tell("what KerasHub does before its network is not part of it: send tokens, or prepared images")
        tell("served as tensors: its own inputs and outputs, under their names")
        return written.of_tensors(place, model, request)
    for reason in found.reasons:
        tell(reason)
    return written.of_classifier(place, model, found, _labels(request, source, found.classes), request)


def _check_no_image_options(request: ImportRequest) -> None:
    """Reject what would have no effect on a model that is served as tensors."""
    said = request.overrides
    options = {
        "--scale": said.scale,
        "--scores": said.scores,
        "--size": said.size,
        "--labels": request.labels,
        "--try": request.images,
    }
    given = [name for name, value in options.items() if value]
    if given:
        raise ImportRejected(
            f"it would be served as tensors, for which {', '.join(given)} has no effect: leave it out, or say"
            " --task images"
        )


def _found(model: Any, known: Known, source: Source, request: ImportRequest) -> ImageFindings | None:
    """As `findings.of`; where the scaling is not known, the refusal has the answers under each."""
    try:
        return findings.of(model, request.overrides, known)
    except ScaleUnknown as unknown:
        from keraserve_models.importing import trial

        labels = _labels(request, source, unknown.unscaled.classes)
        trials = trial.run(model, unknown.unscaled, labels, request.images)
        raise ScaleUnknown(unknown.reason, unknown.unscaled, trials) from None


def _labels(request: ImportRequest, source: Source, classes: int) -> tuple[str, ...]:
    """The names of the classes; numbers where nobody says them."""
    if request.labels is None:
        labels = source.labels or tuple(str(number) for number in range(classes))
        where = f"{request.path} names"
    else:
        try:
            lines = request.labels.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise ImportRejected(f"{request.labels} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ImportRejected(f"{request.labels} can't be read as text in UTF-8: {error}") from error
        labels = tuple(line.strip() for line in lines if line.strip())
        where = f"{request.labels} has"
    if len(labels) != classes:
        raise ImportRejected(f"{where} {len(labels)} classes, and the model gives {classes}")
    if len(set(labels)) != classes:
        raise ImportRejected(f"{where} the class {max(labels, key=labels.count)!r} twice")
    return labels
