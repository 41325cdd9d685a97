"""Features that a frozen network computes of images: computed once, stored, and read as a head's inputs."""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keraserve_models.preprocessing.decoding import RULES
from keraserve_training.data.examples import Examples, Indices, prefetched
from keraserve_training.learning import rules
from keraserve_training.pretrained import bfloat16, feature_spread, feature_store, inference
from keraserve_training.pretrained.extraction import Extraction
from keraserve_training.pretrained.feature_store import STORED, Layout
from keraserve_training.progress import SILENT, Show
from keraserve_training.records import provenance
from keraserve_training.workers.work import Workers

_SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Features(Examples):
    """Stored features with the classes of their images.

    They stay on the disk and are mapped into memory: only the system's page cache holds them.

    Attributes:
        shards: the files.
        layout: of the files.
        places: int64 [n], the numbers of these among the stored features.
        labels: int32 [n].
        seconds: how long it took to compute all that are stored.
        groups: see `Examples`.
    """

    shards: tuple[Path, ...]
    layout: Layout
    places: Indices
    labels: npt.NDArray[np.int32]
    seconds: float = 0.0
    groups: Indices | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image's features."""
        return self.layout.shape

    @property
    def bytes(self) -> int:
        """The size of all stored features on the disk."""
        return self.layout.bytes(range(self.layout.shards))

    def select(self, indices: Indices) -> Self:
        """Those at `indices`, in that order."""
        places, labels = self.places[indices], self.labels[indices]
        return replace(self, places=places, labels=labels, groups=self.groups_of(indices))

    def digest(self) -> str:
        """SHA-256 of the files' names, which hold the files' digests, of the places and the labels."""
        digest = hashlib.sha256("".join(path.name for path in self.shards).encode())
        digest.update(np.ascontiguousarray(self.places, "<i8").data)
        digest.update(np.ascontiguousarray(self.labels, "<i4").data)
        return digest.hexdigest()

    def read(self, indices: Indices) -> npt.NDArray[Any]:
        """The features at `indices` as they are stored, [n, *shape]: float32, or bfloat16 as uint16."""
        return self._reader()(indices)

    def _reader(self) -> Callable[[Indices], npt.NDArray[Any]]:
        mapped = [_mapped(path, path.stat().st_ino) for path in self.shards]

        def read(indices: Indices) -> npt.NDArray[Any]:
            rows = np.empty((len(indices), *self.shape), STORED[self.layout.dtype])
            shards, places = np.divmod(self.places[indices], self.layout.in_shard)
            for row, shard, place in zip(rows, shards, places, strict=True):
                row[...] = mapped[shard][place]
            return rows

        return read

    def batches(self, order: Indices, batch: int) -> Any:
        """The features at `order`, in that order, as float32 [b, *shape] and int32 [b]."""
        labels, read = tf.constant(self.labels), self._reader()
        stored = tf.as_dtype(np.dtype(STORED[self.layout.dtype]))

        def gather(indices: Any) -> tuple[Any, Any]:
            # Stateless: the same indices always give the same rows, in any thread.
            rows = tf.numpy_function(read, [indices], stored, stateful=False)
            rows = tf.ensure_shape(rows, (None, *self.shape))
            if self.layout.dtype == "bfloat16":
                rows = tf.cast(tf.bitcast(rows, tf.bfloat16), tf.float32)
            return rows, tf.gather(labels, indices)

        indices = tf.data.Dataset.from_tensor_slices(order).batch(batch)
        return prefetched(indices.map(gather), self.shape, batch)


@dataclass(frozen=True)
class Extracted:
    """Features in the order of the examples; `from_cache` is true if all of them were stored before."""

    features: Features
    name: str
    from_cache: bool

    @property
    def seconds(self) -> float:
        """How long it took to compute all; if that was interrupted, extrapolated from the last part."""
        return self.features.seconds

    def record(self) -> dict[str, Any]:
        """The same in JSON's types, with the number of images, bytes on the disk, and dtype."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "images": len(self.features),
            "bytes": self.features.bytes,
            "from_cache": self.from_cache,
            "dtype": self.features.layout.dtype,
        }


def extract(
    model: keras.Model,
    examples: Examples,
    *,
    store: Path,
    name: str,
    key: Mapping[str, Any] | None = None,
    show: Show | None = None,
    mixed_precision: bool = False,
    batch: int | None = None,
    workers: Workers | None = None,
) -> Extracted:
    """Compute the features of images with a frozen network, or read those that were stored before.

    A killed extraction goes on with the first missing shard. The checksums of stored shards are verified, and
    damaged ones computed again. Of two processes that need the same features, one computes them.

    Args:
        model: images to features, both as `examples.batches` and the head's input have them; in inference.
        examples: images of the model's size.
        store: the folder of all features.
        name: for people.
        key: what else they depend on, in JSON's types, beside examples, model, dtype, batch and versions.
        show: is told the progress.
        mixed_precision: compute and store bfloat16.
        batch: images in a batch; None: depends on their size.
        workers: compute the shards; None: this process does.

    Raises:
        FeaturesError: they can't be stored.
        WorkerError: the workers failed.
        OptionError: the processor has no bfloat16.
    """
    show = show or SILENT
    if mixed_precision:
        bfloat16.check()
    extraction = _prepare(model, examples, store, name, key or {}, mixed_precision, batch)
    place = extraction.store
    with place.locked(show.tell):
        place.check(show.tell)
        from_cache = place.complete()
        if not from_cache:
            _complete(extraction, name, show, workers)
        index = place.index()
        shards = tuple(place.shards().values())
    seconds = index["seconds"] if index else 0.0
    if from_cache:
        show.tell(f"{name}: {len(examples):,} images' features are read from {place.folder}")
    places = np.arange(len(examples))
    features = Features(shards, place.layout, places, examples.labels, seconds, examples.groups)
    return Extracted(features, name, from_cache)


def _complete(extraction: Extraction, name: str, show: Show, workers: Workers | None) -> None:
    """Compute the missing shards and write the index."""
    place, missing = extraction.store, extraction.missing()
    earlier = place.index()
    place.check_space(missing)
    began = time.monotonic()
    if missing and workers:
        feature_spread.make(extraction, missing, name, show, workers)
    elif missing:
        extraction.make(missing, name, show)
    seconds = time.monotonic() - began
    made = sum(len(place.layout.rows(shard)) for shard in missing)
    whole = seconds * place.layout.count / made if made else 0.0
    place.finish(extraction.examples.labels, earlier["seconds"] if earlier else whole)


def _prepare(
    model: keras.Model,
    examples: Examples,
    folder: Path,
    name: str,
    key: Mapping[str, Any],
    mixed_precision: bool,
    batch: int | None,
) -> Extraction:
    shape = tuple(model.output_shape[1:])
    dtype = "bfloat16" if mixed_precision else "float32"
    batch = batch or inference.batch(examples.shape)
    one = int(np.prod(shape)) * np.dtype(STORED[dtype]).itemsize
    in_shard = batch * max(1, _SHARD_BYTES // (one * batch))
    layout = Layout(len(examples), in_shard, shape, dtype)
    versions = provenance.versions()
    content = dict(key) | {
        "examples": examples.digest(),
        "count": len(examples),
        "input": list(examples.shape),
        "shape": list(shape),
        "dtype": dtype,
        "batch": batch,
        "in_shard": in_shard,
        "model": model.name,
        # With the layers that scale the input, and the layer where the network is cut
        "architecture": hashlib.sha256(model.to_json().encode()).hexdigest(),
        "weights": rules.digest(model.weights),
        "folded": True,
        "decoding": RULES,
        "versions": {name: versions[name] for name in ("keraserve-training", "keras", "tensorflow")},
    }
    return Extraction(model, examples, feature_store.store(folder, name, content, layout), batch)


@functools.lru_cache(maxsize=4096)
def _mapped(shard: Path, inode: int) -> npt.NDArray[Any]:  # noqa: ARG001
    """A shard, mapped into memory. One that was computed again has the same name, but another inode."""
    return np.load(shard, mmap_mode="r").view(np.ndarray)
