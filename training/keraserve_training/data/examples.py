"""Inputs with their classes that a network learns from or is tested on: images, or stored features."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Tell = Callable[[str], None]
E = TypeVar("E", bound="Examples")

_AHEAD = 8  # batches prepared while the network works,
_AHEAD_BYTES = 64 * 2**20  # but at most this


class Examples(Protocol):
    """Inputs with their classes. Subclasses are dataclasses that store them; this class takes them apart.

    Attributes:
        labels: int32 [N], the class of each.
        groups: int64 [N], the same number for those that must not be divided (see `split`): copies of one
            image; None: each stands alone.
    """

    labels: npt.NDArray[np.int32]
    groups: Indices | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input, as the network gets it: (160, 160, 3) or (7, 7, 512)."""
        ...

    def select(self, indices: Indices) -> Self:
        """Those at `indices` (int64 [n]), in that order."""
        ...

    def groups_of(self, indices: Indices) -> Indices | None:
        """The groups of those at `indices`."""
        return None if self.groups is None else self.groups[indices]

    def relabelled(self, labels: npt.NDArray[np.int32]) -> Self:
        """The same inputs with other labels (int32 [N])."""
        this: Any = self  # a dataclass
        return replace(this, labels=labels)

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that the inputs and the labels depend on."""
        ...

    def batches(self, order: Indices, batch: int) -> Any:
        """A `tf.data.Dataset` of (float32 [b, *shape], int32 [b]) of the inputs at `order`, in that order."""
        ...

    def first(self, count: int) -> Self:
        """The first `count`, or all where there are fewer."""
        return self.select(np.arange(len(self))[:count])

    def after(self, count: int) -> Self:
        """Everything but the first `count`."""
        return self.select(np.arange(len(self))[count:])

    def only(self, classes: Sequence[int]) -> Self:
        """Those of some classes, with a class's place in `classes` as its new number."""
        kept = self.select(np.flatnonzero(np.isin(self.labels, classes)))
        order = {label: place for place, label in enumerate(classes)}
        return kept.relabelled(np.array([order[int(label)] for label in kept.labels], np.int32))

    def without(self, classes: Sequence[int]) -> Self:
        """Those of all other classes, which are renumbered from 0 in their old order."""
        kept = self.select(np.flatnonzero(~np.isin(self.labels, classes)))
        shifts = sum((kept.labels > gone).astype(np.int32) for gone in classes)
        return kept.relabelled((kept.labels - shifts).astype(np.int32))


class Shown(Examples, Protocol):
    """Examples that are images: people can look at them, and they can be resized."""

    def show(self, indices: Indices) -> list[npt.NDArray[np.uint8]]:
        """Images for people, each uint8 [h, w, 1 or 3]: in their own size, or smaller if that is large."""
        ...

    def sizes(self, indices: Indices) -> list[tuple[int, int]]:
        """Height and width of each image before it is resized."""
        ...

    def sized(self, size: int | None) -> Self:
        """The same for a network that takes `size` by `size` pixels; None: in their own sizes."""
        ...


def split(examples: E, part: float | int, seed: int) -> tuple[E, E]:
    """Set a part aside for validation, every class in its share, drawn by `seed`.

    Args:
        examples: at least two.
        part: how many to set aside: a share (a float, 0 to 1) or a number (an int).
        seed: the same one draws the same part.

    Returns:
        The rest and the part, both in the order of `examples`; neither is empty. A class of two or more is
        in both if `part` is large enough. A group is in one of them as a whole, with the class of its first
        example, unless it is all that the class has.
    """
    count = round(part * len(examples)) if isinstance(part, float) else part
    drawn = draw(examples.labels, min(max(1, count), len(examples) - 1), seed, examples.groups)
    rest = np.setdiff1d(np.arange(len(examples)), drawn)
    return examples.select(rest), examples.select(drawn)


def limited(examples: E, count: int, seed: int = 0) -> E:
    """At most `count`, every class in its share, drawn by `seed`, in the order of `examples`."""
    return examples if count >= len(examples) else examples.select(draw(examples.labels, count, seed))


def draw(labels: npt.NDArray[np.int32], count: int, seed: int, groups: Indices | None = None) -> Indices:
    """Draw `count` indices of `labels`, ascending, each class in its share (see `_quotas`).

    With `groups` (see `Examples`), whole groups are drawn: so many that the number is as near as they allow.
    """
    places = np.arange(len(labels))
    if groups is not None:
        _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
        labels = labels[first[groups]]
    classes, counts = np.unique(labels, return_counts=True)
    generator = np.random.default_rng(seed)
    drawn: list[Indices] = []
    for label, quota in zip(classes, _quotas(counts, count), strict=True):
        order = generator.permutation(places[labels == label])
        drawn.append(order[:quota] if groups is None else _whole(order, groups[order], int(quota)))
    return np.sort(np.concatenate(drawn))


def _whole(order: Indices, groups: Indices, quota: int) -> Indices:
    """The first about `quota` of `order` in whole groups: at least one group, and not all of them."""
    _, first, inverse, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    if len(counts) == 1 or quota == 0:
        return order[:quota]
    ranks = np.argsort(first)  # groups in the order of their first members
    before = np.cumsum(counts[ranks]) - counts[ranks]
    taken = before + counts[ranks] / 2 <= quota
    taken[0], taken[-1] = True, taken[-1] and quota == len(order)
    return order[np.isin(inverse, ranks[taken])]


def _quotas(counts: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """How many of each class: in proportion, but if possible at least one and at most all but one."""
    share = counts * count / counts.sum()
    low = np.minimum(1, counts - 1) if count >= len(counts) else np.zeros_like(counts)
    high = np.maximum(counts - 1, low)
    quotas = np.clip(share.astype(np.int64), low, high)
    while (missing := count - quotas.sum()) != 0:
        step = np.sign(missing)
        # Past a bound only if all classes have reached it.
        inside = quotas < high if step > 0 else quotas > low
        inside = inside if inside.any() else (quotas < counts if step > 0 else quotas > 0)
        quotas[np.where(inside, step * (share - quotas), -np.inf).argmax()] += step
    return quotas


def ahead(shape: tuple[int, ...], batch: int) -> int:
    """How many batches to prepare while the network works: limited, so that they don't fill the memory."""
    return max(1, min(_AHEAD, _AHEAD_BYTES // max(1, 4 * batch * int(np.prod(shape)))))


def prefetched(batches: Any, shape: tuple[int, ...], batch: int) -> Any:
    """The same `tf.data.Dataset`, of `batch` inputs of `shape` each, prepared while the network works.

    `tf.data`'s autotuning is off: there is nothing to tune here, and deleting an iterator waits for the
    tuning thread, often for a second.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(ahead(shape, batch)).with_options(options)
