"""Classifies encoded images; the model decodes them. No HTTP in here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from keraserve_gateway import errors
from keraserve_gateway.calls.image_call import ImageCall, RejectedImage, check_count, version_of
from keraserve_gateway.calls.image_check import Image
from keraserve_gateway.calls.offloading import LARGE, offload_image
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
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
class Classification:
    """An entry for every image, in the order of the request, and the version that found the classes."""

    model: str
    version: int
    predictions: tuple[ImageClasses | RejectedImage, ...]


class Classifier(ImageCall[m.Classifications]):
    """Classifies images by a model server, which may merge what several callers send into one batch."""

    signature = CLASSIFY
    without = "is no image classifier"
    done = "classified"

    async def classify(
        self, target: Target, images: Sequence[Image], *, top_k: int, strict: bool, context: RequestContext
    ) -> Classification:
        """Classify images; `top_k` classes of each. For the rest, see `ImageCall.results`."""
        version, found = await self.results(target, images, strict=strict, context=context)
        entries = [
            one if isinstance(one, RejectedImage) else ImageClasses(image.filename, _best(one, top_k))
            for image, one in zip(images, found, strict=True)
        ]
        return Classification(target.name, version, tuple(entries))

    async def _call(
        self, spec: m.ModelSpec, images: Sequence[Image], context: RequestContext
    ) -> tuple[int, Sequence[m.Classifications]]:
        # Messages are filled in place: a constructor copies the messages that it is given, images and all.
        request = m.ClassificationRequest(model_spec=spec)
        for image in images:
            if len(image.data) > LARGE:  # an example copies the image more than once
                example = await offload_image(context, _example, image.data)
            else:
                example = _example(image.data)
            request.input.example_list.examples.append(example)
        response = await self._ask(services.CLASSIFY, request, context)
        found = response.result.classifications
        check_count(len(found), images)
        return version_of(response), found


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
