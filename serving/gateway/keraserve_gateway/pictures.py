"""Pictures in, classes out. No HTTP in here, and no decoding: the model does that."""

from collections.abc import Sequence
from dataclasses import dataclass

from keraserve_gateway import errors, image_header
from keraserve_gateway.deadline import Trip
from keraserve_gateway.model_server import ModelServer
from keraserve_gateway.predict import CLASSIFY, Target, has_signature
from keraserve_protocol import messages as m
from keraserve_protocol import rest

FEATURE = "image/encoded"


@dataclass(frozen=True)
class Picture:
    """An encoded picture, and the name of its file where it had one."""

    data: bytes
    filename: str | None = None


@dataclass(frozen=True)
class Limits:
    """At most so many pictures in a request, and so many pixels in a picture."""

    images: int
    pixels: int


@dataclass(frozen=True)
class PictureClasses:
    """What a picture shows: labels with probabilities, best first."""

    filename: str | None
    classes: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Classification:
    """The classes of every picture, in the order of the request, and the version that found them."""

    model: str
    version: int
    pictures: tuple[PictureClasses, ...]


def check(pictures: Sequence[Picture], limits: Limits) -> None:
    """Look at the pictures' headers before anything is sent.

    Raises:
        BadRequest: no picture at all.
        TooLarge: too many pictures, or one with too many pixels.
        BadPicture: one is empty, or broken or cut off before it says its size.
        UnsupportedMedia: one is no JPEG, PNG, GIF or BMP.
    """
    if not pictures:
        raise errors.BadRequest("the request has no picture")
    if len(pictures) > limits.images:
        raise errors.TooLarge(f"{len(pictures)} pictures in a request, {limits.images} are allowed")
    for index, picture in enumerate(pictures):
        place = errors.PictureRef(index, picture.filename)
        try:
            header = image_header.read(picture.data)
        except image_header.UnknownFormat as error:
            raise errors.UnsupportedMedia(f"{place}: {error}", picture=place) from error
        except image_header.BadHeader as error:
            raise errors.BadPicture(f"{place}: {error}", picture=place) from error
        if header.pixels > limits.pixels:
            size = f"{header.width}x{header.height} = {header.pixels} pixels"
            raise errors.TooLarge(f"{place}: {size}, {limits.pixels} are allowed", picture=place)


async def classify(
    server: ModelServer,
    target: Target,
    pictures: Sequence[Picture],
    *,
    top_k: int,
    limits: Limits,
    trip: Trip,
) -> Classification:
    """Classify pictures in one call of the model server.

    Raises:
        GatewayError: as `check`; BadPicture for one that the model can't decode, by name; or what the
            model server answered.
    """
    check(pictures, limits)
    spec = target.spec(CLASSIFY)
    try:
        response = await _ask(server, spec, pictures, trip)
        found = list(response.result.classifications)
    except errors.BadRequest as refused:
        await _check_model(server, target, trip)
        response, found = await _one_by_one(server, spec, pictures, refused, trip)
    if len(found) != len(pictures):
        raise errors.BadAnswer(f"the model server answered {len(found)} of {len(pictures)} pictures")
    results = [
        PictureClasses(picture.filename, _best(one, top_k))
        for picture, one in zip(pictures, found, strict=True)
    ]
    return Classification(target.name, response.model_spec.version.value, tuple(results))


async def _check_model(server: ModelServer, target: Target, trip: Trip) -> None:
    """Find out whether a refusal is the model's rather than a picture's."""
    try:
        known = await has_signature(server, target, CLASSIFY, trip)
    except errors.BadRequest as error:  # TensorFlow Serving says so of a label that it doesn't know
        raise errors.NotFound(error.detail, origin=error.origin) from error
    if not known:
        raise errors.BadRequest(f"model {target.name!r} has no signature {CLASSIFY!r}")


async def _one_by_one(
    server: ModelServer,
    spec: m.ModelSpec,
    pictures: Sequence[Picture],
    refused: errors.BadRequest,
    trip: Trip,
) -> tuple[m.ClassificationResponse, list[m.Classifications]]:
    """Find the picture that the model refuses; if none is refused alone, their answers are the answer.

    The model server may merge requests into one batch, where somebody else's picture fails them all.
    """
    if len(pictures) == 1:
        raise _bad(0, pictures[0], refused) from refused
    found: list[m.Classifications] = []
    response = m.ClassificationResponse()
    for index, picture in enumerate(pictures):
        try:
            response = await _ask(server, spec, [picture], trip)
        except errors.BadRequest as error:
            raise _bad(index, picture, error) from error
        found.extend(response.result.classifications)
        # A new version may appear between two calls; one answer comes from one version.
        spec.version.value = response.model_spec.version.value
    return response, found


async def _ask(
    server: ModelServer, spec: m.ModelSpec, pictures: Sequence[Picture], trip: Trip
) -> m.ClassificationResponse:
    examples = m.ExampleList(examples=[_example(picture.data) for picture in pictures])
    request = m.ClassificationRequest(model_spec=spec, input=m.Input(example_list=examples))
    return await server.classify(request, trip.timeout, trip.metadata)


def _example(data: bytes) -> bytes:
    feature = m.Feature(bytes_list=m.BytesList(value=[data]))
    return m.Example(features=m.Features(feature={FEATURE: feature})).SerializeToString()


def _best(one: m.Classifications, top_k: int) -> tuple[tuple[str, float], ...]:
    ranked = sorted(one.classes, key=lambda item: item.score, reverse=True)[:top_k]
    return tuple((item.label, rest.shortest(item.score)) for item in ranked)


def _bad(index: int, picture: Picture, error: errors.BadRequest) -> errors.BadPicture:
    place = errors.PictureRef(index, picture.filename)
    detail = f"{place}: the model can't read it: {error.detail}"
    return errors.BadPicture(detail, picture=place, origin=error.origin)
