"""What all calls with images have in common: each is checked first, and a bad one does no harm to others."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from keraserve_gateway import errors
from keraserve_gateway.calls import image_check
from keraserve_gateway.calls.image_check import Image, ImageError, ImageErrors, Limits
from keraserve_gateway.calls.signatures import signatures
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import messages as m

Result = TypeVar("Result")


@dataclass(frozen=True)
class RejectedImage:
    """An image that has no result, and why."""

    filename: str | None
    error: str


class ImageCall(ABC, Generic[Result]):
    """One call of a model server with the images of a request, which may be merged with other callers'.

    Args:
        ask: makes a call of the model server.
        limits: on the images.
        repeating: the gateway's one lock for repeating; two requests that were rejected together and repeated
            together would meet in a batch again.
    """

    signature: ClassVar[str]
    without: ClassVar[str]
    """What a model without that signature is not, or has not."""
    done: ClassVar[str]
    """What is done to an image."""

    def __init__(self, ask: Ask, limits: Limits, repeating: asyncio.Lock) -> None:
        self._ask = ask
        self._limits = limits
        self._repeating = repeating

    async def results(
        self, target: Target, images: Sequence[Image], *, strict: bool, context: RequestContext
    ) -> tuple[int, list[Result | RejectedImage]]:
        """Get the version and the result of each image, in one call if the model server takes them all.

        Args:
            target: the model.
            images: at least one.
            strict: one image without a result fails the request.
            context: of the request.

        Raises:
            GatewayError: no image or too many; a single image, or the first one if `strict`, has no result;
                BadImage: none of several has; or as the call.
        """
        image_errors = await image_check.check(images, self._limits, context)
        self._raise_if_failed(image_errors, images, strict=strict)
        sound = {index: image for index, image in enumerate(images) if index not in image_errors}
        version, found = await self._all(target, sound, image_errors, context)
        self._raise_if_failed(image_errors, images, strict=strict)
        return version, [
            RejectedImage(image.filename, image_errors[index].reason)
            if index in image_errors
            else found[index]
            for index, image in enumerate(images)
        ]

    @abstractmethod
    async def _call(
        self, spec: m.ModelSpec, images: Sequence[Image], context: RequestContext
    ) -> tuple[int, Sequence[Result]]:
        """Call the model server; gives the version and as many results as images.

        Raises:
            GatewayError: as the call, or InvalidResponse.
        """

    async def _check_model(self, target: Target, context: RequestContext) -> None:
        """Raise if the model, rather than an image, was the reason for a rejection."""
        try:
            known = await signatures(self._ask, target, context)
        except errors.BadRequest as error:  # TensorFlow Serving's status for a label that it doesn't know
            raise errors.NotFound(error.detail, origin=error.origin) from error
        if self.signature not in known:
            raise errors.BadRequest(
                f"model {target.name!r} {self.without}: it has no signature {self.signature!r}"
            )

    async def _all(
        self, target: Target, images: Mapping[int, Image], image_errors: ImageErrors, context: RequestContext
    ) -> tuple[int, dict[int, Result]]:
        """Return version, and results by index; what the model server rejects is added to `image_errors`."""
        spec = target.spec(self.signature)
        try:
            version, results = await self._call(spec, list(images.values()), context)
        except errors.BadRequest:
            await self._check_model(target, context)
            return await self._each(spec, images, image_errors, context)
        return version, dict(zip(images, results, strict=True))

    async def _each(
        self,
        spec: m.ModelSpec,
        images: Mapping[int, Image],
        image_errors: ImageErrors,
        context: RequestContext,
    ) -> tuple[int, dict[int, Result]]:
        """Repeat each image alone: it passed the check, so another caller's may have caused the rejection.

        One at a time in the whole gateway. It may still meet another caller's first attempt in a batch.
        """
        found: dict[int, Result] = {}
        for index, image in images.items():
            try:
                async with asyncio.timeout(context.timeout), self._repeating:
                    version, [found[index]] = await self._call(spec, [image], context)
            except TimeoutError as error:
                raise errors.DeadlineExceeded("no time was left to send each image alone") from error
            except errors.BadRequest as error:
                image_errors[index] = ImageError(errors.BadImage, f"the model can't read it: {error.detail}")
                continue
            # A new version may be loaded between two calls, but a response is of one version.
            spec.version.value = version
        return spec.version.value, found

    def _raise_if_failed(self, image_errors: ImageErrors, images: Sequence[Image], *, strict: bool) -> None:
        """Raise if every image has an error, or if one has and `strict`."""
        if not image_errors or (len(image_errors) < len(images) and not strict):
            return
        index = min(image_errors)
        first = image_errors[index].error(index, images[index].filename)
        if strict or len(images) == 1:
            raise first
        raise errors.BadImage(f"none of the {len(images)} images can be {self.done}; {first.detail}")


def version_of(response: m.ClassificationResponse | m.PredictResponse) -> int:
    """Return the version that a response is from; raises InvalidResponse if it does not say."""
    version = m.version_of(response.model_spec)
    if version is None:
        raise errors.InvalidResponse("the model server's response does not say which version it is from")
    return version


def check_count(found: int, images: Sequence[Image]) -> None:
    """Raise InvalidResponse if there are more or fewer results than images."""
    if found != len(images):
        raise errors.InvalidResponse(f"the model server returned {found} results for {len(images)} images")
