"""TensorFlow Serving's REST API on an engine, without HTTP: a path and a body in, JSON out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from keraserve_embedded.deadline import Deadline
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import InternalError, InvalidRequestError, TooLargeError, UnsupportedError
from keraserve_protocol import messages as m
from keraserve_protocol import rest
from keraserve_protocol.number_text import NumberText, finish

# As in TensorFlow Serving: case does not matter, names and labels have no slash and no colon.
_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_PATHS = {
    "POST": re.compile(
        rf"/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<call>classify|regress|predict)", re.IGNORECASE
    ),
    "GET": re.compile(rf"/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<call>metadata))?", re.IGNORECASE),
}
STATUS = ""
METADATA_CALLS = (STATUS, "metadata")


@dataclass(frozen=True)
class RestCall:
    """A call of the REST API, from its path.

    Attributes:
        name: `predict`, `classify`, `regress`, `metadata`, or "" for the status: TensorFlow Serving's names.
        spec: the model, and its version or label.
    """

    name: str
    spec: m.ModelSpec


def parse(method: str, path: str) -> RestCall:
    """Parse a method and a path that is still percent-encoded.

    Raises:
        InvalidRequestError: they are no call of the REST API.
    """
    pattern = _PATHS.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if found is None:
        raise InvalidRequestError(f"Malformed request: {method} {path}")
    parts = found.groupdict()
    if not parts["model"]:
        raise InvalidRequestError("Missing model name in request.")
    version = m.version_number(parts["version"]) if parts["version"] else None
    if parts["version"] and version is None:
        raise InvalidRequestError(f"Failed to convert version: {parts['version'][:40]} to numeric.")
    label = unquote(parts["label"]) if parts["label"] else None
    spec = m.model_spec(unquote(parts["model"]), version=version, label=label)
    return RestCall((parts["call"] or STATUS).lower(), spec)


def respond(engine: Engine, call: RestCall, body: bytes, deadline: Deadline) -> bytes:
    """Run one call, until its deadline, and write its response.

    Raises:
        InvalidRequestError: the body does not fit the call.
        TooLargeError: the body exceeds a limit.
        UnsupportedError: JSON can't represent the model's response.
        InternalError: the model's response is incomplete.
        RequestError: as the engine's methods.
    """
    try:
        return _CALLS[call.name](engine, call.spec, body, deadline)
    except rest.TooMuchError as error:
        raise TooLargeError(str(error)) from error
    except rest.FormError as error:
        raise UnsupportedError(str(error)) from error
    except rest.ResponseError as error:
        raise InternalError(str(error)) from error
    except rest.JsonError as error:
        raise InvalidRequestError(str(error)) from error


def _predict(engine: Engine, spec: m.ModelSpec, body: bytes, deadline: Deadline) -> bytes:
    prediction = rest.parse_prediction(body)
    inputs = engine.inputs(spec, prediction.signature)
    prediction = finish(rest.pack(prediction, inputs))
    if isinstance(prediction.value, NumberText):  # no regular list, and perhaps another signature
        prediction = rest.parse_whole(body)
        inputs = engine.inputs(spec, prediction.signature)
    response = engine.predict(rest.predict_request(prediction, inputs, spec), deadline)
    return rest.predict_response(response, prediction.layout)


def _classify(engine: Engine, spec: m.ModelSpec, body: bytes, deadline: Deadline) -> bytes:
    request = rest.classification_request(body, spec)
    return rest.classification_response(engine.classify(request, deadline))


def _regress(engine: Engine, spec: m.ModelSpec, body: bytes, deadline: Deadline) -> bytes:
    return rest.regression_response(engine.regress(rest.regression_request(body, spec), deadline))


def _metadata(engine: Engine, spec: m.ModelSpec, _: bytes, __: Deadline) -> bytes:
    request = m.GetModelMetadataRequest(model_spec=spec, metadata_field=[m.SIGNATURE_DEF])
    return rest.metadata_response(engine.metadata(request))


def _status(engine: Engine, spec: m.ModelSpec, _: bytes, __: Deadline) -> bytes:
    return rest.status_response(engine.status(m.GetModelStatusRequest(model_spec=spec)))


_CALLS: Mapping[str, Callable[[Engine, m.ModelSpec, bytes, Deadline], bytes]] = {
    "predict": _predict,
    "classify": _classify,
    "regress": _regress,
    "metadata": _metadata,
    STATUS: _status,
}
