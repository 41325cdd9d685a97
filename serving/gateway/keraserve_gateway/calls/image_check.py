"""Checks the type, size and structure of images before they are sent; nothing is decoded."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keraserve_gateway import errors
from keraserve_gateway.calls.offloading import LARGE, offload_image
from keraserve_gateway.context import RequestContext
from keraserve_protocol import image_files, other_formats

_LARGE_GIF = 1 << 12  # bytes


@dataclass(frozen=True)
class Image:
    """An encoded image, and its file name if it has one."""

    data: bytes
    filename: str | None = None


@dataclass(frozen=True)
class Limits:
    """The most images in a request, and the most pixels in an image."""

    images: int
    pixels: int


@dataclass(frozen=True)
class ImageError:
    """Why one image can't be classified: a kind of error, and the reason as a sentence."""

    kind: type[errors.GatewayError]
    reason: str

    def error(self, index: int, filename: str | None) -> errors.GatewayError:
        """Return the error that names the image."""
        image = errors.ImageRef(index, filename)
        return self.kind(f"{image}: {self.reason}", image=image)


ImageErrors = dict[int, ImageError]
"""What is wrong with the images of a request, by index."""


async def check(images: Sequence[Image], limits: Limits, context: RequestContext) -> ImageErrors:
    """Check every image of a request; other requests proceed between two of them.

    Returns:
        The errors by index: TooLarge (too many pixels), UnsupportedMediaType (no supported format), or
        BadImage (empty, cut off, damaged).

    Raises:
        BadRequest: there is no image.
        TooLarge: there are too many.
        DeadlineExceeded: the deadline passed while other images were checked.
    """
    if not images:
        raise errors.BadRequest("the request has no image")
    if len(images) > limits.images:
        raise errors.TooLarge(f"{len(images)} images in a request, {limits.images} are allowed (max_images)")
    found: ImageErrors = {}
    for index, image in enumerate(images):
        if index:
            await asyncio.sleep(0)
        if _is_large(image.data):
            error = await offload_image(context, _check_one, image.data, limits)
        else:
            error = _check_one(image.data, limits)
        if error is not None:
            found[index] = error
    return found


def _is_large(data: bytes) -> bool:
    """Tell whether the check takes milliseconds; a GIF may consist of blocks of three bytes."""
    return len(data) > (_LARGE_GIF if data.startswith(b"GIF") else LARGE)


def _check_one(data: bytes, limits: Limits) -> ImageError | None:
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
        return ImageError(errors.BadImage, f"{error}{other_formats.stripped(data)}")
    return None
