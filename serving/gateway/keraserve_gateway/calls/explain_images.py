"""Maps of the places of images that speak for a class; the model computes them. No HTTP in here."""

import math
from asyncio import Lock
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from keraserve_gateway import errors
from keraserve_gateway.calls import model_card
from keraserve_gateway.calls.image_call import ImageCall, RejectedImage, check_count, version_of
from keraserve_gateway.calls.image_check import Image, Limits
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import elements, image_files, rest, services
from keraserve_protocol import messages as m
from keraserve_protocol.signatures import EXPLAIN, IMAGE_BYTES, LABEL, MAP, PROBABILITY


@dataclass(frozen=True)
class ImageMap:
    """Where something in an image speaks for a class.

    Attributes:
        filename: of the image.
        label: the class.
        probability: of it, 0 to 1.
        map: rows of values, 0 to 1, which cover the upright image.
    """

    filename: str | None
    label: str
    probability: float
    map: list[list[float]]


@dataclass(frozen=True)
class Explanation:
    """An entry for every image, in the order of the request, and the version that decided."""

    model: str
    version: int
    explanations: tuple[ImageMap | RejectedImage, ...]


class Explainer(ImageCall[ImageMap]):
    """Explains images by a model server.

    Args:
        ask, limits, repeating: see `ImageCall`.
        label: of the class that is asked about; empty: the most probable one of each image.
    """

    signature = EXPLAIN
    without = "has no maps"
    done = "explained"

    def __init__(self, ask: Ask, limits: Limits, repeating: Lock, label: str) -> None:
        super().__init__(ask, limits, repeating)
        self._label = label

    async def explain(
        self, target: Target, images: Sequence[Image], *, strict: bool, context: RequestContext
    ) -> Explanation:
        """Explain images; see `ImageCall.results`. BadRequest: the model has no such class."""
        version, found = await self.results(target, images, strict=strict, context=context)
        return Explanation(target.name, version, tuple(found))

    async def _call(
        self, spec: m.ModelSpec, images: Sequence[Image], context: RequestContext
    ) -> tuple[int, Sequence[ImageMap]]:
        request = m.PredictRequest(model_spec=spec)
        for name, values in (
            (IMAGE_BYTES, [image_files.decodable(image.data) for image in images]),
            (LABEL, [self._label.encode()] * len(images)),
        ):
            tensor = request.inputs[name]
            tensor.dtype = m.DataType.DT_STRING
            tensor.tensor_shape.dim.add(size=len(images))
            tensor.string_val.extend(values)
        response = await self._ask(services.PREDICT, request, context)
        return version_of(response), _maps(response, images)

    async def _check_model(self, target: Target, context: RequestContext) -> None:
        await super()._check_model(target, context)
        labels = await model_card.labels(self._ask, target, context)
        if self._label and labels and self._label not in labels:
            raise errors.BadRequest(
                f"model {target.name!r} has no class {self._label!r}; it has {rest.some(sorted(labels))}"
            )


def _maps(response: m.PredictResponse, images: Sequence[Image]) -> list[ImageMap]:
    """Read the maps, one for each image.

    Raises:
        InvalidResponse: the outputs are no such maps, or have a number that is none.
    """
    try:
        count, height, width = elements.shape_of(response.outputs[MAP])
        values, labels, probabilities = (
            elements.unpack(response.outputs[name]) for name in (MAP, LABEL, PROBABILITY)
        )
        numbers = [rest.shortest(float(value)) for value in values]
        found = [
            (cast(bytes, label).decode(), rest.shortest(float(probability)))
            for label, probability in zip(labels, probabilities, strict=True)
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.InvalidResponse("the model server's response has no maps") from error
    if not math.isfinite(sum(numbers) + sum(probability for _, probability in found)):
        raise errors.InvalidResponse("the model gave a map a number that is none: NaN, or infinite")
    check_count(count, images)
    check_count(len(found), images)
    rows = [numbers[start : start + width] for start in range(0, len(numbers), width)]
    return [
        ImageMap(image.filename, label, probability, rows[place * height : (place + 1) * height])
        for place, (image, (label, probability)) in enumerate(zip(images, found, strict=True))
    ]
