"""Images in memory, with their classes."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keraserve_training import runtime
from keraserve_training.data.examples import Indices, Shown, Tell, prefetched


@dataclass(frozen=True, eq=False)
class Images(Shown):
    """Images with their classes.

    Attributes:
        images: uint8 (float32 if they were resized) [N, height, width, channels], values 0 to 255.
        labels: int32 [N], the class of each image.
        size: height and width that the network gets; None: those of `images`.
        groups: see `Examples`.
    """

    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    size: tuple[int, int] | None = None
    groups: Indices | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, as the network gets it."""
        return (*(self.size or self.images.shape[1:3]), self.images.shape[3])

    def select(self, indices: Indices) -> Self:
        """Those at `indices`, in that order; consecutive ones share the memory."""
        if len(indices) and len(indices) == indices[-1] - indices[0] + 1 and (np.diff(indices) == 1).all():
            part = slice(int(indices[0]), int(indices[-1]) + 1)
        else:
            part = indices
        groups = self.groups_of(indices)
        return replace(self, images=self.images[part], labels=self.labels[part], groups=groups)

    def sized(self, size: int | None) -> Self:
        """The same for a network that takes `size` by `size` pixels; every batch is resized."""
        own = size is None or (size, size) == self.images.shape[1:3]
        return replace(self, size=None if own else (size, size))

    def show(self, indices: Indices) -> list[npt.NDArray[np.uint8]]:
        """The images in their own size, each uint8 [height, width, channels]."""
        return [np.rint(self.images[index]).astype(np.uint8) for index in indices]

    def sizes(self, indices: Indices) -> list[tuple[int, int]]:
        """Height and width of the images, which all have the same."""
        height, width = self.images.shape[1:3]
        return [(height, width)] * len(indices)

    def digest(self) -> str:
        """SHA-256 of images, labels and, if they are to be resized, the size; in hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, "<i4").data)
        if self.size:
            digest.update(str(self.size).encode())
        return digest.hexdigest()

    def loaded(self, _tell: Tell) -> "Images":
        """These: they are in memory."""
        return self

    def batches(self, order: Indices, batch: int) -> Any:
        """The images at `order`, in that order, as float32 [b, *shape] (0 to 255) and int32 [b]."""
        import tensorflow as tf

        images, labels = self._tensors
        order_of_batches = tf.data.Dataset.from_tensor_slices(order).batch(batch)

        def gather(indices: Any) -> tuple[Any, Any]:
            return tf.cast(tf.gather(images, indices), tf.float32), tf.gather(labels, indices)

        if self.size is None:  # no work for a second thread
            return prefetched(order_of_batches.map(gather), self.shape, batch)

        from keraserve_models.preprocessing.decoding import Preparation

        prepare = Preparation(self.size, self.shape[-1])

        def resize(indices: Any) -> tuple[Any, Any]:
            prepared = tf.ensure_shape(prepare(tf.gather(images, indices)), (None, *self.shape))
            return prepared, tf.gather(labels, indices)

        resized = order_of_batches.map(resize, num_parallel_calls=runtime.processors(), deterministic=True)
        return prefetched(resized, self.shape, batch)

    @cached_property
    def _tensors(self) -> tuple[Any, Any]:
        """Images and labels as tensors: copied once, not in every epoch."""
        import tensorflow as tf

        return tf.constant(self.images), tf.constant(self.labels)
