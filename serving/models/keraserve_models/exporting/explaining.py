"""A map of the places of an image that speak for a class, computed in the graph that computes the class.

Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): the channels of the last convolutional feature map, each
times the mean of the class score's gradient in it, are summed; what speaks against the class counts as 0.
Where only global average pooling and linear layers follow that map, these gradients are the layers' weights,
and this is the class activation map (Zhou et al. 2016, arXiv 1512.04150).

The map is looked for in TensorFlow's graph, not among a model's layers, so that it makes no difference how
models are put into one another.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import tensorflow as tf

CAM, GRAD_CAM = "class activation map", "Grad-CAM"

_CONVOLUTIONS = {"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput"}
_ATTENTION = {"Einsum", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}
_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}  # their results hold no value of an image
_WITH_WEIGHTS = {"MatMul", *_CONVOLUTIONS, *_ATTENTION}


class NoMapError(Exception):
    """A network has no map that could be shown; the message says why."""


@dataclass(frozen=True)
class Explained:
    """What decided on N images.

    Attributes:
        maps: float32 [N, h, w], 0 to 1; all 0 where nothing speaks for the class.
        method: `CAM` or `GRAD_CAM`.
    """

    maps: Any
    method: str


def explain(images: Any, scores: Any, chosen: Any) -> Explained:
    """Add the map to the graph in which `images` became `scores`.

    Args:
        images: the network's input, [N, H, W, C].
        scores: its probabilities, float32 [N, K].
        chosen: the class of each image, one-hot float32 [N, K].

    Raises:
        NoMapError: it has no last convolution, or other paths go around its feature map.
    """
    path = _Path.between(images, scores)
    features = path.feature_map()
    logits = path.logits(scores)
    if logits.shape[-1] < chosen.shape[-1]:  # one logit, of the second of two classes
        chosen = chosen[:, 1:] - chosen[:, :1]
    chosen = tf.identity(chosen)
    try:
        (gradients,) = tf.gradients(tf.reduce_sum(tf.cast(logits, tf.float32) * chosen), [features])
    except LookupError:  # of an operation
        gradients = None
    if gradients is None:
        raise NoMapError("its classes have no gradient in its last feature map")
    weights = tf.reduce_mean(tf.cast(gradients, tf.float32), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=-1))
    maps = tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(1, 2), keepdims=True))
    linear = path.of_all.isdisjoint(_reached([gradients.op], {chosen.op}))
    pooled = any(operation.type == "Mean" for operation in path.after(features))
    return Explained(maps, CAM if linear and pooled else GRAD_CAM)


def placed(maps: Any, seen: Any) -> Any:
    """Put maps of images' middles, float32 [N, h, w], into maps of the whole images, of the same shape.

    Args:
        maps: of what the network sees.
        seen: the parts of height and width that this is, float32 [N, 2].
    """
    rows, columns = (_placing(seen[:, axis], maps.shape[1 + axis]) for axis in (0, 1))
    return tf.einsum("nik,nkl,njl->nij", rows, maps, columns)


def _placing(seen: Any, count: int) -> Any:
    """How much each of `count` places of the whole takes of each of its middle, float32 [N, count, count]."""
    place = (tf.range(count, dtype=tf.float32) + 0.5) / count
    inside = (place - 0.5) / seen[:, tf.newaxis] + 0.5
    index = tf.clip_by_value(inside * count - 0.5, 0.0, count - 1.0)
    distance = tf.abs(tf.expand_dims(index, -1) - tf.range(count, dtype=tf.float32))
    parts = tf.nn.relu(1.0 - distance)  # bilinear
    return tf.where(tf.expand_dims((inside >= 0.0) & (inside <= 1.0), -1), parts, 0.0)


@dataclass(frozen=True)
class _Path:
    """The operations through which an image decides on the classes, in the order in which they run.

    Attributes:
        operations: of that path.
        of_all: the same.
        cuts: tensors, in their order, each of which all of the image's values go through.
    """

    operations: Sequence[Any]
    of_all: frozenset[Any]
    cuts: Sequence[Any]

    @classmethod
    def between(cls, images: Any, scores: Any) -> "_Path":
        forward = _reached([images.op], (), ahead=True)
        found = (forward & _reached([scores.op], {images.op})) - {images.op}
        operations = [each for each in images.graph.get_operations() if each in found]
        return cls(operations, frozenset(found), list(_cuts(operations, images, scores)))

    def after(self, tensor: Any) -> Sequence[Any]:
        return self.operations[self.operations.index(tensor.op) + 1 :]

    def feature_map(self) -> Any:
        """The last convolution's features, behind its normalization and activation and before pooling."""
        last = max((i for i, each in enumerate(self.operations) if _on_places(each)), default=None)
        if last is None:
            hidden = any("PartitionedCall" in each.type for each in self.operations)
            raise NoMapError("its layers can't be seen" if hidden else "it has no convolutional layer")
        if self.operations[last].get_attr("data_format") != b"NHWC":
            raise NoMapError("its last convolution has the channels first")
        if any(each.type in _ATTENTION for each in self.operations[last:]):
            raise NoMapError("attention follows its last convolution")
        behind = set(takewhile(lambda each: each.type != "Transpose", self.operations[last:]))
        maps = [cut for cut in self.cuts if cut.op in behind and _places(cut) > 1]
        if not maps:
            raise NoMapError("its classes depend on more than the last convolution")
        largest = max(map(_places, maps))
        return [each for each in maps if _places(each) == largest][-1]

    def logits(self, scores: Any) -> Any:
        """What the first softmax or sigmoid behind the last weights takes; the scores, if there is none."""
        cuts = {cut.op for cut in self.cuts}
        behind = takewhile(lambda each: each.type not in _WITH_WEIGHTS, reversed(self.operations))
        found = [each for each in behind if each.type in ("Softmax", "Sigmoid") and each in cuts]
        return found[-1].inputs[0] if found and found[-1].inputs[0].shape.rank == 2 else scores


def _cuts(operations: Sequence[Any], images: Any, scores: Any) -> Iterator[Any]:
    """Tensors that are the only one which later operations take."""
    last = {scores.ref(): len(operations)}
    for place, operation in enumerate(operations):
        last |= {tensor.ref(): max(place, last.get(tensor.ref(), 0)) for tensor in _values(operation)}
    needed = {images.ref()}
    for place, operation in enumerate(operations):
        needed |= {tensor.ref() for tensor in operation.outputs if last.get(tensor.ref(), -1) > place}
        needed = {tensor for tensor in needed if last[tensor] > place}
        if len(needed) == 1:
            (tensor,) = needed
            if tensor.deref().op is operation:
                yield tensor.deref()


def _reached(begin: Iterable[Any], stop: Iterable[Any], *, ahead: bool = False) -> set[Any]:
    """The operations that values come from, or go to (`ahead`), and `begin`; none behind `stop`."""
    reached, coming = set(stop), list(begin)
    while coming:
        operation = coming.pop()
        if operation in reached or operation.type in _SHAPES:
            continue
        reached.add(operation)
        if ahead:
            coming += [taker for tensor in operation.outputs for taker in tensor.consumers()]
        else:
            coming += [tensor.op for tensor in _values(operation)]
    return reached


def _values(operation: Any) -> list[Any]:
    return [] if operation.type in _SHAPES else list(operation.inputs)


def _on_places(operation: Any) -> bool:
    """Whether it is a convolution of more than one place."""
    return operation.type in _CONVOLUTIONS and _places(operation.outputs[0]) > 1


def _places(tensor: Any) -> int:
    """Places of a feature map [N, h, w, C]; 0 for another tensor."""
    height, width = tensor.shape[1:3] if tensor.shape.rank == 4 else (None, None)
    return height * width if height and width else 0
