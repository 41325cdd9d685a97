"""`Plans`: the calls of a client as generators of requests. Each transport has a subclass."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic

from keraserve_client._errors import (
    ConnectionFailed,
    InvalidInput,
    InvalidResponse,
    KeraserveError,
    NotAuthorized,
    NotFound,
)
from keraserve_client._images import EncodedImage
from keraserve_client._steps import Plan, Request, Response
from keraserve_client._tensors import Inputs, Tensors, fit, read
from keraserve_client._types import (
    Arrays,
    Explanation,
    Failure,
    Metadata,
    Model,
    ModelStatus,
    Prediction,
    Signature,
    TensorSpec,
)
from keraserve_protocol import messages as m
from keraserve_protocol.elements import ELEMENTS

_OF_ONE_IMAGE = (400, 413, 415)
# Errors that the next image would have too.
_OF_ALL = (ConnectionFailed, InvalidResponse, NotAuthorized, NotFound)


@dataclass(frozen=True, slots=True)
class Target:
    """A model: its newest version, or the one given by number or by label.

    Raises:
        InvalidInput: no name, a name or label that is not UTF-8, a version and a label, or a version that is
            no whole number from 0 to 2**63 - 1.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise InvalidInput("the model's name is empty")
        for name in (self.model, self.label or ""):
            # Python has bytes that are no UTF-8 as halves of surrogate pairs.
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise InvalidInput(f"{name!r} is not UTF-8")
        if self.version is not None and self.label is not None:
            raise InvalidInput("give a version or a label, not both")
        number = self.version
        if number is not None and not (type(number) is int and 0 <= number <= m.MAX_VERSION):
            raise InvalidInput(f"{number!r} is no version: a whole number, 0 or more")


class Plans(ABC, Generic[Request, Response]):
    """A plan for each call; a transport's subclass makes the requests and reads the responses."""

    def __init__(self) -> None:
        self._known: dict[Target, Metadata] = {}

    @abstractmethod
    def classify(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[Request, Response, list[Prediction]]:
        """Classify at least one image; an image that can't be read fails the call."""

    @abstractmethod
    def _classify_some(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[Request, Response, list[Prediction | Failure]]:
        """Classify at least one image; one that can't be read is a `Failure` if the transport can say so."""

    @abstractmethod
    def explain(
        self, target: Target, images: list[EncodedImage], class_label: str
    ) -> Plan[Request, Response, list[Explanation]]:
        """Get a map of at least one image; an image that can't be read fails the call."""

    @abstractmethod
    def models(self) -> Plan[Request, Response, list[Model]]:
        """List the models."""

    @abstractmethod
    def status(self, target: Target) -> Plan[Request, Response, ModelStatus]:
        """Get the states of the versions."""

    @abstractmethod
    def metadata(self, target: Target) -> Plan[Request, Response, Metadata]:
        """Get the signatures."""

    @abstractmethod
    def ready(self) -> Plan[Request, Response, bool]:
        """Get whether the server would serve a request."""

    @abstractmethod
    def _predict(self, target: Target, inputs: Tensors, name: str) -> Plan[Request, Response, Tensors]:
        """Call the signature `name`."""

    @abstractmethod
    def _check(self, signature: Signature) -> None:
        """Raise NotSupported for a signature whose tensors this transport doesn't carry."""

    def classify_each(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[Request, Response, list[Prediction | Failure]]:
        """Classify at least one image; an error of one image is a `Failure`, one of all is raised."""
        try:
            return (yield from self._classify_some(target, images, top_k))
        except _OF_ALL:
            raise
        except KeraserveError as error:
            if len(images) == 1 or error.status_code not in _OF_ONE_IMAGE:
                return [Failure(image.filename, error) for image in images]
        # One image is bad, or together they are too many: find out by sending each half.
        middle = len(images) // 2
        first = yield from self.classify_each(target, images[:middle], top_k)
        return first + (yield from self.classify_each(target, images[middle:], top_k))

    def predict(self, target: Target, inputs: Inputs, name: str) -> Plan[Request, Response, Arrays]:
        """Call the signature `name`, with the inputs cast to its dtypes."""
        if target not in self._known:
            self._known[target] = yield from self.metadata(target)
        signatures = self._known[target].signatures
        try:
            if name not in signatures:
                known = ", ".join(sorted(signatures))
                raise InvalidInput(f"{target.model} has no signature {name!r}; it has: {known}")
            signature = signatures[name]
            self._check(signature)
            return read((yield from self._predict(target, fit(inputs, signature), name)), signature)
        except KeraserveError:
            # The newest version, or the label's, may be another one by now, with other signatures.
            self._known.pop(target, None)
            raise


def best(classes: list[tuple[str, float]], top_k: int) -> list[tuple[str, float]]:
    """Return the `top_k` most probable classes, best first; equal ones stay in the model's order."""
    return sorted(classes, key=lambda entry: -entry[1])[:top_k]


def signatures_of(definitions: m.SignatureDefMap) -> dict[str, Signature]:
    """Read TensorFlow's description of the signatures."""
    return {
        name: Signature(
            inputs={key: _spec(info) for key, info in sorted(definition.inputs.items())},
            outputs={key: _spec(info) for key, info in sorted(definition.outputs.items())},
            method=definition.method_name,
        )
        for name, definition in sorted(definitions.signature_def.items())
        if not name.startswith("__")  # TensorFlow's own, such as __saved_model_init_op
    }


def _spec(info: m.TensorInfo) -> TensorSpec:
    element = ELEMENTS.get(info.dtype)
    name = element.name if element else m.DataType.Name(info.dtype).removeprefix("DT_").lower()
    shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(name, None if info.tensor_shape.unknown_rank else shape)
