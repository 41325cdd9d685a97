"""The calls over HTTP: how requests to the gateway are written and its responses read. No I/O.

`status` and `metadata` use TensorFlow Serving's REST API; `predict` uses the Open Inference Protocol with
binary data, which carries bytes and empty shapes, as JSON does not; images and the list of models have the
gateway's own API.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

import numpy as np
from google.protobuf import json_format

from keraserve_client._errors import (
    BadRequest,
    InvalidInput,
    InvalidResponse,
    KeraserveError,
    NotSupported,
    of_status,
)
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Plans, Target, signatures_of
from keraserve_client._steps import Plan
from keraserve_client._tensors import Tensors
from keraserve_client._types import (
    Class,
    Explanation,
    Failure,
    Metadata,
    Model,
    ModelStatus,
    Prediction,
    Signature,
    State,
    VersionStatus,
)
from keraserve_protocol import messages as m
from keraserve_protocol.open_inference import HEADER_LENGTH
from keraserve_protocol.open_inference_calls import infer_outputs, infer_request


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `path` follows the gateway's address and includes the query."""

    method: str
    path: str
    body: bytes = b""
    media_type: str | None = None
    json_length: int | None = None
    """How many bytes of the body are JSON, if binary data follows."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response; its headers' names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


Parsed = TypeVar("Parsed")
# Errors of reading a document of another form, such as 1e999 as a version, or deeply nested lists.
_NOT_THE_CONTRACTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class HttpPlans(Plans[HttpRequest, HttpResponse]):
    """The gateway's HTTP API."""

    def classify(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[HttpRequest, HttpResponse, list[Prediction]]:
        """`POST …/images:classify?strict=true`."""
        response = yield _post(target, images, "classify", {"top_k": top_k, "strict": "true"})
        outcomes: list[Prediction] = []
        for outcome in _read(response, lambda document: _outcomes(document, images, response)):
            if isinstance(outcome, Failure):
                raise outcome.error
            outcomes.append(outcome)
        return outcomes

    def _classify_some(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[HttpRequest, HttpResponse, list[Prediction | Failure]]:
        response = yield _post(target, images, "classify", {"top_k": top_k})
        return _read(response, lambda document: _outcomes(document, images, response))

    def explain(
        self, target: Target, images: list[EncodedImage], class_label: str
    ) -> Plan[HttpRequest, HttpResponse, list[Explanation]]:
        """`POST …/images:explain?strict=true`."""
        response = yield _post(target, images, "explain", {"class_label": class_label, "strict": "true"})
        return _read(response, lambda document: _explanations(document, images))

    def models(self) -> Plan[HttpRequest, HttpResponse, list[Model]]:
        """`GET /v1/models`."""
        response = yield HttpRequest("GET", "/v1/models")
        return _read(response, lambda document: [_model(entry) for entry in document["models"]])

    def status(self, target: Target) -> Plan[HttpRequest, HttpResponse, ModelStatus]:
        """`GET /v1/models/{m}`."""
        response = yield HttpRequest("GET", _path(target))
        return _read(response, lambda document: _status(target.model, document))

    def metadata(self, target: Target) -> Plan[HttpRequest, HttpResponse, Metadata]:
        """`GET /v1/models/{m}/metadata`."""
        response = yield HttpRequest("GET", f"{_path(target)}/metadata")
        return _read(response, _metadata)

    def ready(self) -> Plan[HttpRequest, HttpResponse, bool]:
        """`GET /readyz`."""
        try:
            yield HttpRequest("GET", "/readyz")
        except KeraserveError:
            return False
        return True

    def _predict(
        self, target: Target, inputs: Tensors, name: str
    ) -> Plan[HttpRequest, HttpResponse, Tensors]:
        body, length = infer_request(name, inputs)
        path = f"{_path(target, '/v2')}/infer"
        response = yield HttpRequest("POST", path, body, "application/octet-stream", length)
        found = response.headers.get(HEADER_LENGTH.lower(), "")
        header_length = int(found) if found.isascii() and found.isdecimal() else None
        return _read(response, lambda body: infer_outputs(body, header_length), bytes)

    def _check(self, signature: Signature) -> None:
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
            for name, spec in specs.items():
                if spec.dtype.startswith("complex"):
                    sentence = f"{kind} {name!r} is {spec.dtype}, which HTTP doesn't carry; use GrpcClient"
                    raise NotSupported(sentence)


def accept(response: HttpResponse) -> HttpResponse | KeraserveError:
    """Return the response, or the error that it is: `{"error": …}` or application/problem+json."""
    if 200 <= response.status < 300:
        return response
    problem = _problem(response.body)
    detail = problem.get("error") or problem.get("detail") or problem.get("title") or _reason(response)
    request_id = response.headers.get("x-request-id") or problem.get("request_id")
    return of_status(
        response.status,
        str(detail),
        request_id=str(request_id) if request_id else None,
        retry_after=seconds(response.headers.get("retry-after")),
    )


def seconds(retry_after: str | None) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date; None for anything else."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def multipart(images: list[EncodedImage], boundary: str) -> tuple[bytes, str]:
    """Write multipart/form-data (RFC 7578), every image a file named `images`."""
    parts: list[bytes] = []
    for index, image in enumerate(images):
        filename = image.filename or f"image-{index}"
        for character, escaped in (('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
            filename = filename.replace(character, escaped)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{filename}"\r\n'
            f"Content-Type: {image.media_type}\r\n\r\n"
        )
        # A file's name may not be UTF-8. The server uses it in error messages only.
        parts += [head.encode(errors="replace"), image.data, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _post(target: Target, images: list[EncodedImage], verb: str, query: Mapping[str, object]) -> HttpRequest:
    """`POST …/images:classify` or `:explain`: one image as the body, several as multipart/form-data."""
    path = f"{_path(target)}/images:{verb}?{urlencode(query)}"
    if len(images) == 1:
        return HttpRequest("POST", path, images[0].data, images[0].media_type)
    return HttpRequest("POST", path, *multipart(images, secrets.token_hex(16)))


def _path(target: Target, api: str = "/v1") -> str:
    path = f"{api}/models/{_segment(target.model)}"
    if target.version is not None:
        path += f"/versions/{target.version}"
    if target.label is not None:
        path += f"/labels/{_segment(target.label)}"
    return path


def _segment(name: str) -> str:
    """Quote a model or label for a path, in which `.`, `..` and `/` would name another model or version."""
    if name in ("", ".", "..") or "/" in name:
        raise InvalidInput(f"{name!r} can't be a model or label in a URL")
    return quote(name, safe="")


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _reason(response: HttpResponse) -> str:
    """The message for an error without a document, such as a proxy's."""
    if 300 <= response.status < 400:
        return f"the server redirects to {response.headers.get('location', 'nowhere')}"
    try:
        return f"the server responded with {HTTPStatus(response.status).phrase}"
    except ValueError:
        return "the server responded with an unknown status"


def _read(
    response: HttpResponse, parse: Callable[[Any], Parsed], load: Callable[[bytes], Any] = json.loads
) -> Parsed:
    """Parse the body of a response; raises InvalidResponse, whatever is wrong with it."""
    try:
        return parse(load(response.body))
    except (*_NOT_THE_CONTRACTS, json_format.ParseError) as error:
        request_id = response.headers.get("x-request-id")
        raise InvalidResponse(
            "the response is not a Keraserve gateway's; is the address right?", request_id=request_id
        ) from error


def _outcomes(
    document: Any, images: list[EncodedImage], response: HttpResponse
) -> list[Prediction | Failure]:
    outcomes: list[Prediction | Failure] = []
    warnings = _warnings(document)
    for image, entry in zip(images, document["predictions"], strict=True):
        if "error" in entry:
            request_id = response.headers.get("x-request-id")
            error = BadRequest(str(entry["error"]), status_code=400, request_id=request_id)
            outcomes.append(Failure(image.filename, error))
            continue
        classes = tuple(Class(str(c["label"]), float(c["probability"])) for c in entry["classes"])
        outcomes.append(
            Prediction(image.filename, classes, str(document["model"]), int(document["version"]), warnings)
        )
    return outcomes


def _explanations(document: Any, images: list[EncodedImage]) -> list[Explanation]:
    return [
        Explanation(
            image.filename,
            str(entry["label"]),
            float(entry["probability"]),
            np.array(entry["map"], np.float32).reshape(len(entry["map"]), -1),
            str(document["model"]),
            int(document["version"]),
            _warnings(document),
        )
        for image, entry in zip(images, document["explanations"], strict=True)
    ]


def _model(entry: Any) -> Model:
    labels = {str(label): int(version) for label, version in entry["labels"].items()}
    return Model(str(entry["name"]), _versions(entry["versions"], lambda each: each["error"]), labels)


def _warnings(document: Any) -> tuple[str, ...]:
    """Read them; a response without warnings, or of an older gateway, has no such field."""
    return tuple(str(sentence) for sentence in document.get("warnings", ()))


def _status(model: str, document: Any) -> ModelStatus:
    entries = document["model_version_status"]
    return ModelStatus(model, _versions(entries, lambda each: each["status"].get("error_message", "")))


def _versions(entries: Any, error: Callable[[Any], Any]) -> tuple[VersionStatus, ...]:
    found = [
        VersionStatus(int(each["version"]), State(each["state"]), str(error(each)), _warnings(each))
        for each in entries
    ]
    return tuple(sorted(found, key=lambda each: -each.version))


def _metadata(document: Any) -> Metadata:
    definitions = m.SignatureDefMap()
    json_format.ParseDict(document["metadata"]["signature_def"], definitions, ignore_unknown_fields=True)
    spec = document["model_spec"]
    return Metadata(str(spec["name"]), int(spec["version"]), signatures_of(definitions))
