"""What the calls give back: frozen, and the same for every client."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import numpy as np
import numpy.typing as npt

from keraserve_client._errors import KeraserveError
from keraserve_protocol import tensors
from keraserve_protocol.messages import DataType


@dataclass(frozen=True, slots=True)
class Class:
    """A class, and how probable the model finds it: 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model sees in one image.

    Attributes:
        filename: the last part of the image's path; None for one that was no file.
        classes: the `top_k` most probable, best first.
        model: the model's name.
        version: the version that answered.
        warnings: what everybody who sees this has to know of that version, as its model card says.
    """

    filename: str | None
    classes: tuple[Class, ...]
    model: str
    version: int
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> Class:
        """The most probable class."""
        return self.classes[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """What `classify_many` gives in the place of an image's prediction when there is none.

    Attributes:
        filename: the last part of the image's path; None for one that was no file.
        error: why: an image that can't be read (OSError), sent (InvalidInput) or decoded (BadRequest), or a
            server that failed or had no time for it.
    """

    filename: str | None
    error: KeraserveError | OSError


class State(StrEnum):
    """Where a version is in its life; only AVAILABLE ones answer."""

    UNKNOWN = "UNKNOWN"
    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """A version of a model; `error` is empty unless it failed.

    Attributes:
        warnings: what everybody who sees its responses has to know, as its model card says.
    """

    version: int
    state: State
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The versions of a model, newest first."""

    name: str
    versions: tuple[VersionStatus, ...]

    @property
    def available(self) -> tuple[int, ...]:
        """The versions that answer, newest first."""
        return tuple(entry.version for entry in self.versions if entry.state is State.AVAILABLE)


@dataclass(frozen=True, slots=True)
class Model(ModelStatus):
    """A model in the list of all: its versions, and the labels that stand for some of them."""

    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        dtype: numpy's name ("uint8", "float32"), "string" for text and bytes, or TensorFlow's where numpy
            has no such type ("bfloat16").
        shape: None for a dimension of any size; None in place of the tuple for any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def numpy(self) -> np.dtype[np.generic] | None:
        """Numpy's dtype, `object` (of bytes) for "string"; None where numpy has no such type."""
        if self.dtype == "string":
            return np.dtype(object)
        return NUMPY.get(self.dtype)


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a model: named inputs, named outputs, and TensorFlow Serving's name of the method."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """The signatures of one version of a model."""

    model: str
    version: int
    signatures: Mapping[str, Signature]


Arrays = dict[str, npt.NDArray[np.generic]]
"""The outputs of `predict` by name; strings are `object` arrays of bytes, bfloat16 is float32."""


def _numpy_types() -> dict[str, np.dtype[np.generic]]:
    types: dict[str, np.dtype[np.generic]] = {}
    for kind in DataType.values():
        try:
            dtype = tensors.numpy_dtype(cast(DataType, kind))
        except tensors.TensorError:
            continue
        if dtype.kind != "O":
            types[dtype.name] = dtype
    return types


NUMPY = _numpy_types()
