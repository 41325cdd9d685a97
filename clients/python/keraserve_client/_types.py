"""The results of the calls, as frozen dataclasses, the same for every client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from keraserve_client._errors import KeraserveError
from keraserve_protocol.elements import ELEMENTS

_NUMPY = {element.name: np.dtype(element.name) for element in ELEMENTS.values()}


@dataclass(frozen=True, slots=True)
class Class:
    """A class and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classes of one image.

    Attributes:
        filename: the last part of the image's path; None if it was no path.
        classes: the `top_k` most probable, best first.
        model: the model's name.
        version: the version that classified it.
        warnings: the warnings in that version's model card, for everybody who sees this.
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
class Explanation:
    """Where something in one image speaks for a class.

    Attributes:
        filename: the last part of the image's path; None if it was no path.
        label: the class that was asked about, or the most probable one.
        probability: of that class, 0 to 1.
        map: float32 [h, w], 0 to 1, which covers the upright image; 1 where most speaks for the class.
        model: the model's name.
        version: the version that was asked.
        warnings: the warnings in that version's model card, for everybody who sees this.
    """

    filename: str | None
    label: str
    probability: float
    map: npt.NDArray[np.float32] = field(compare=False)
    model: str
    version: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What `classify_many` yields in place of an image's prediction.

    Attributes:
        filename: the last part of the image's path; None if it was no path.
        error: the reason: the image can't be read (OSError), sent (InvalidInput) or decoded (BadRequest), or
            the server failed or had no time.
    """

    filename: str | None
    error: KeraserveError | OSError


class State(StrEnum):
    """The state of a version; only AVAILABLE ones serve requests."""

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
        warnings: the warnings in its model card, for everybody who sees its predictions.
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
        """The versions that serve requests, newest first."""
        return tuple(entry.version for entry in self.versions if entry.state is State.AVAILABLE)


@dataclass(frozen=True, slots=True)
class Model(ModelStatus):
    """A model in the list of all models: its versions, and the version of each label."""

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
        return _NUMPY.get(self.dtype)


@dataclass(frozen=True, slots=True)
class Signature:
    """A function of a model: named inputs, named outputs, and TensorFlow Serving's name of its method."""

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
