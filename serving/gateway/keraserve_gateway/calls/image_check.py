"""Images, looked at before anything is sent: type, size and structure. Nothing is decoded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keraserve_gateway import errors
from keraserve_gateway.calls.offloading import LARGE, offload_image
from keraserve_gateway.context import RequestContext
from keraserve_protocol import image_files

_LARGE_GIF = 1 << 12  # bytes


@dataclass(frozen=True)
class Image:
    """An encoded image, and the name of its file where it had one."""

    data: bytes
    filename: str | None = None


@dataclass(frozen=True)
class Limits:
    """At most so many images in a request, and so many pixels in an image."""

    images: int
    pixels: int


@dataclass(frozen=True)
class ImageError:
    """What keeps one image from being classified: a kind of error, and the reason as a sentence."""

    kind: type[errors.GatewayError]
    reason: str

    def error(self, index: int, filename: str | None) -> errors.GatewayError:
        """Make the error that says which image it is."""
        place = errors.ImageRef(index, filename)
        return self.kind(f"{place}: {self.reason}", image=place)


async def check(images: Sequence[Image], limits: Limits, context: RequestContext) -> dict[int, ImageError]:
    """Look at every image of a request; between two of them, other requests get their turn.

    Returns:
        What is wrong with each that can't be sent, by its place: TooLarge (too many pixels),
        UnsupportedMediaType (of none of the formats that are taken), or BadImage (empty, cut off, damaged).

    Raises:
        BadRequest: no image at all.
        TooLarge: too many of them.
        DeadlineExceeded: other images took all of the request's time.
    """
    if not images:
        raise errors.BadRequest("the request has no image")
    if len(images) > limits.images:
        raise errors.TooLarge(f"{len(images)} images in a request, {limits.images} are allowed (max_images)")
    faults: dict[int, ImageError] = {}
    for index, image in enumerate(images):
        if index:
            await asyncio.sleep(0)
        if _is_large(image.data):
            fault = await offload_image(context, _fault, image.data, limits)
        else:
            fault = _fault(image.data, limits)
        if fault is not None:
            faults[index] = fault
    return faults


def _is_large(data: bytes) -> bool:
    """Tell whether a look through it takes milliseconds; a GIF may be in pieces of three bytes."""
    return len(data) > (_LARGE_GIF if data.startswith(b"GIF") else LARGE)


def _fault(data: bytes, limits: Limits) -> ImageError | None:
    try:
        header = image_files.read(data)
        if header.pixels > limits.pixels:
            frames = f" in {header.frames} frames" if header.frames > 1 else ""
            size = f"{header.width}x{header.height}{frames} = {header.pixels} pixels"
            return ImageError(errors.TooLarge, f"{size}, {limits.pixels} are allowed (max_pixels)")
        image_files.check(data, header)
    except image_files.UnknownFormat as error:
        return ImageError(errors.UnsupportedMediaType, str(error))
    except image_files.BadImage as error:
        return ImageError(errors.BadImage, str(error))
    return None
