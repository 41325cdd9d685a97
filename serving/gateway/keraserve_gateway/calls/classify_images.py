"""Classifies encoded images; the model decodes them. No HTTP in here."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from keraserve_gateway import errors
from keraserve_gateway.calls import image_check
from keraserve_gateway.calls.image_check import Image, ImageError, ImageErrors, Limits
from keraserve_gateway.calls.offloading import LARGE, offload_image
from keraserve_gateway.calls.signatures import signatures
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import image_files, rest, services
from keraserve_protocol import messages as m
from keraserve_protocol.signatures import CLASSIFY

FEATURE = "image/encoded"


@dataclass(frozen=True)
class ClassProbability:
    """A class and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class ImageClasses:
    """The classes of an image, most probable first."""

    filename: str | None
    classes: tuple[ClassProbability, ...]


@dataclass(frozen=True)
class RejectedImage:
    """An image that can't be classified, and why."""

    filename: str | None
    error: str


@dataclass(frozen=True)
class Classification:
    """An entry for every image, in the order of the request, and the version that found the classes."""

    model: str
    version: int
    predictions: tuple[ImageClasses | RejectedImage, ...]


class Classifier:
    """Classifies images by a model server, which may merge what several callers send into one batch.

    Args:
        ask: makes a call of the model server.
        limits: on the images.
        repeating: the gateway's one lock for repeating; two requests that were rejected together and repeated
            together would meet in a batch again.
    """

    def __init__(self, ask: Ask, limits: Limits, repeating: asyncio.Lock) -> None:
        self._ask = ask
        self._limits = limits
        self._repeating = repeating

    async def classify(
        self, target: Target, images: Sequence[Image], *, top_k: int, strict: bool, context: RequestContext
    ) -> Classification:
        """Classify images, in one call of the model server if it takes them all.

        Args:
            target: the model.
            images: at least one.
            top_k: how many classes of each.
            strict: one image that can't be classified fails the request.
            context: of the request.

        Raises:
            GatewayError: no image or too many; a single image, or the first one if `strict`, can't be
                classified; BadImage: none of several can be; or as the call.
        """
        image_errors = await image_check.check(images, self._limits, context)
        _raise_if_failed(image_errors, images, strict=strict)
        sound = {index: image for index, image in enumerate(images) if index not in image_errors}
        version, found = await self._classify_all(target, sound, image_errors, context)
        _raise_if_failed(image_errors, images, strict=strict)
        entries = [
            RejectedImage(image.filename, image_errors[index].reason)
            if index in image_errors
            else ImageClasses(image.filename, _best(found[index], top_k))
            for index, image in enumerate(images)
        ]
        return Classification(target.name, version, tuple(entries))

    async def _classify_all(
        self, target: Target, images: Mapping[int, Image], image_errors: ImageErrors, context: RequestContext
    ) -> tuple[int, dict[int, m.Classifications]]:
        """Return version, and classes by index; what the model server rejects is added to `image_errors`."""
        spec = target.spec(CLASSIFY)
        try:
            response = await self._call(spec, list(images.values()), context)
        except errors.BadRequest:
            await self._check_model(target, context)
            return await self._classify_each(spec, images, image_errors, context)
        responses = zip(images, response.result.classifications, strict=True)
        return _version(response), dict(responses)

    async def _classify_each(
        self,
        spec: m.ModelSpec,
        images: Mapping[int, Image],
        image_errors: ImageErrors,
        context: RequestContext,
    ) -> tuple[int, dict[int, m.Classifications]]:
        """Repeat each image alone: it passed the check, so another caller's may have caused the rejection.

        One at a time in the whole gateway. It may still meet another caller's first attempt in a batch.
        """
        found: dict[int, m.Classifications] = {}
        for index, image in images.items():
            try:
                async with asyncio.timeout(context.timeout), self._repeating:
                    response = await self._call(spec, [image], context)
            except TimeoutError as error:
                raise errors.DeadlineExceeded("no time was left to send each image alone") from error
            except errors.BadRequest as error:
                image_errors[index] = ImageError(errors.BadImage, f"the model can't read it: {error.detail}")
                continue
            found[index] = response.result.classifications[0]
            # A new version may be loaded between two calls, but a response is of one version.
            spec.version.value = _version(response)
        return spec.version.value, found

    async def _call(
        self, spec: m.ModelSpec, images: Sequence[Image], context: RequestContext
    ) -> m.ClassificationResponse:
        # Messages are filled in place: a constructor copies the messages that it is given, images and all.
        request = m.ClassificationRequest(model_spec=spec)
        for image in images:
            if len(image.data) > LARGE:  # an example copies the image more than once
                example = await offload_image(context, _example, image.data)
            else:
                example = _example(image.data)
            request.input.example_list.examples.append(example)
        response = await self._ask(services.CLASSIFY, request, context)
        responses = len(response.result.classifications)
        if responses != len(images):
            raise errors.InvalidResponse(
                f"the model server returned {responses} results for {len(images)} images"
            )
        return response

    async def _check_model(self, target: Target, context: RequestContext) -> None:
        """Raise if the model, rather than an image, was the reason for a rejection."""
        try:
            known = await signatures(self._ask, target, context)
        except errors.BadRequest as error:  # TensorFlow Serving's status for a label that it doesn't know
            raise errors.NotFound(error.detail, origin=error.origin) from error
        if CLASSIFY not in known:
            raise errors.BadRequest(
                f"model {target.name!r} is no image classifier: it has no signature {CLASSIFY!r}"
            )


def _version(response: m.ClassificationResponse) -> int:
    version = m.version_of(response.model_spec)
    if version is None:
        raise errors.InvalidResponse("the model server's response does not say which version it is from")
    return version


def _raise_if_failed(image_errors: ImageErrors, images: Sequence[Image], *, strict: bool) -> None:
    """Raise if every image has an error, or if one has and `strict`."""
    if not image_errors or (len(image_errors) < len(images) and not strict):
        return
    index = min(image_errors)
    first = image_errors[index].error(index, images[index].filename)
    if strict or len(images) == 1:
        raise first
    raise errors.BadImage(f"none of the {len(images)} images can be classified; {first.detail}")


def _example(data: bytes) -> bytes:
    example = m.Example()
    example.features.feature[FEATURE].bytes_list.value.append(image_files.decodable(data))
    return example.SerializeToString()


def _best(one: m.Classifications, top_k: int) -> tuple[ClassProbability, ...]:
    if not one.classes:
        raise errors.InvalidResponse("the model gave an image no classes")
    if not math.isfinite(sum(map(attrgetter("score"), one.classes))):
        raise errors.InvalidResponse(
            "the model gave an image a probability that is no number: NaN, or infinite"
        )
    ranked = sorted(one.classes, key=attrgetter("score"), reverse=True)[:top_k]
    return tuple(ClassProbability(item.label, rest.shortest(item.score)) for item in ranked)
