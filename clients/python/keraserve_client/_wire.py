"""The calls over HTTP, as bytes: requests to the gateway, and what its answers mean. No I/O.

`status` and `metadata` speak TensorFlow Serving's REST API; `predict` the Open Inference Protocol with its
binary data, which carries every number, byte and shape as it is, where JSON has no bytes and no empty shapes;
the pictures and the list of models are the gateway's own.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode

from google.protobuf import json_format

from keraserve_client._errors import BadRequest, InvalidAnswer, KeraserveError, NotSupported, of_status
from keraserve_client._images import Picture
from keraserve_client._plans import Plans, Target, signatures_of
from keraserve_client._steps import Plan
from keraserve_client._tensors import Tensors
from keraserve_client._types import (
    Class,
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
    """A request; `path` is below the gateway's address and holds the query too."""

    method: str
    path: str
    body: bytes = b""
    media_type: str | None = None
    json_length: int | None = None
    """How many bytes of the body are JSON, where binary data follows."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, read to its end; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


Parsed = TypeVar("Parsed")
# What reading a document of another form can end in: 1e999 as a version, lists in lists without end.
_NOT_THE_CONTRACTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class HttpPlans(Plans[HttpRequest, HttpAnswer]):
    """The gateway's HTTP API."""

    def classify(
        self, target: Target, pictures: list[Picture], top_k: int
    ) -> Plan[HttpRequest, HttpAnswer, list[Prediction]]:
        """`POST …/images:classify?strict=true`."""
        answer = yield _post(target, pictures, {"top_k": top_k, "strict": "true"})
        outcomes: list[Prediction] = []
        for outcome in _read(answer, lambda document: _outcomes(document, pictures, answer)):
            if isinstance(outcome, Failure):
                raise outcome.error
            outcomes.append(outcome)
        return outcomes

    def _classify_some(
        self, target: Target, pictures: list[Picture], top_k: int
    ) -> Plan[HttpRequest, HttpAnswer, list[Prediction | Failure]]:
        answer = yield _post(target, pictures, {"top_k": top_k})
        return _read(answer, lambda document: _outcomes(document, pictures, answer))

    def models(self) -> Plan[HttpRequest, HttpAnswer, list[Model]]:
        """`GET /v1/models`."""
        answer = yield HttpRequest("GET", "/v1/models")
        return _read(answer, lambda document: [_model(entry) for entry in document["models"]])

    def status(self, target: Target) -> Plan[HttpRequest, HttpAnswer, ModelStatus]:
        """`GET /v1/models/{m}`."""
        answer = yield HttpRequest("GET", _path(target))
        return _read(answer, lambda document: _status(target.model, document))

    def metadata(self, target: Target) -> Plan[HttpRequest, HttpAnswer, Metadata]:
        """`GET /v1/models/{m}/metadata`."""
        answer = yield HttpRequest("GET", f"{_path(target)}/metadata")
        return _read(answer, _metadata)

    def ready(self) -> Plan[HttpRequest, HttpAnswer, bool]:
        """`GET /readyz`."""
        try:
            yield HttpRequest("GET", "/readyz")
        except KeraserveError:
            return False
        return True

    def _predict(self, target: Target, inputs: Tensors, name: str) -> Plan[HttpRequest, HttpAnswer, Tensors]:
        body, length = infer_request(name, inputs)
        path = f"{_path(target, '/v2')}/infer"
        answer = yield HttpRequest("POST", path, body, "application/octet-stream", length)
        found = answer.headers.get(HEADER_LENGTH.lower(), "")
        header_length = int(found) if found.isascii() and found.isdecimal() else None
        return _read(answer, lambda body: infer_outputs(body, header_length), bytes)

    def _check(self, signature: Signature) -> None:
        for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
            for name, spec in specs.items():
                if spec.dtype.startswith("complex"):
                    sentence = f"{kind} {name!r} is {spec.dtype}, which HTTP doesn't carry; use GrpcClient"
                    raise NotSupported(sentence)


def accept(answer: HttpAnswer) -> HttpAnswer | KeraserveError:
    """Tell an answer from an error, in either form: `{"error": …}` or application/problem+json."""
    if 200 <= answer.status < 300:
        return answer
    problem = _problem(answer.body)
    detail = problem.get("error") or problem.get("detail") or problem.get("title") or _reason(answer)
    request_id = answer.headers.get("x-request-id") or problem.get("request_id")
    return of_status(
        answer.status,
        str(detail),
        request_id=str(request_id) if request_id else None,
        retry_after=seconds(answer.headers.get("retry-after")),
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


def multipart(pictures: list[Picture], boundary: str) -> tuple[bytes, str]:
    """Write multipart/form-data (RFC 7578), every picture a file named `images`."""
    parts: list[bytes] = []
    for index, picture in enumerate(pictures):
        filename = picture.filename or f"picture-{index}"
        for character, escaped in (('"', "%22"), ("\r", "%0D"), ("\n", "%0A")):
            filename = filename.replace(character, escaped)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{filename}"\r\n'
            f"Content-Type: {picture.media_type}\r\n\r\n"
        )
        # A name on disk may be no UTF-8; it only serves to recognise the picture in an error.
        parts += [head.encode(errors="replace"), picture.data, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _post(target: Target, pictures: list[Picture], query: Mapping[str, object]) -> HttpRequest:
    """`POST …/images:classify`: one picture as the body, several as multipart/form-data."""
    path = f"{_path(target)}/images:classify?{urlencode(query)}"
    if len(pictures) == 1:
        return HttpRequest("POST", path, pictures[0].data, pictures[0].media_type)
    return HttpRequest("POST", path, *multipart(pictures, secrets.token_hex(16)))


def _path(target: Target, api: str = "/v1") -> str:
    path = f"{api}/models/{quote(target.model, safe='')}"
    if target.version is not None:
        path += f"/versions/{target.version}"
    if target.label is not None:
        path += f"/labels/{quote(target.label, safe='')}"
    return path


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _reason(answer: HttpAnswer) -> str:
    """What to say of an error without words of its own, as a proxy on the way may give."""
    if 300 <= answer.status < 400:
        return f"the server points elsewhere: {answer.headers.get('location', 'nowhere')}"
    try:
        return f"the server answered {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return "the server answered with an unknown status"


def _read(
    answer: HttpAnswer, parse: Callable[[Any], Parsed], load: Callable[[bytes], Any] = json.loads
) -> Parsed:
    """Parse the body of an answer; whatever is wrong with it, it is not the contract's."""
    try:
        return parse(load(answer.body))
    except (*_NOT_THE_CONTRACTS, json_format.ParseError) as error:
        request_id = answer.headers.get("x-request-id")
        raise InvalidAnswer(
            "the answer is not a Keraserve gateway's; is the address right?", request_id=request_id
        ) from error


def _outcomes(document: Any, pictures: list[Picture], answer: HttpAnswer) -> list[Prediction | Failure]:
    outcomes: list[Prediction | Failure] = []
    warnings = _warnings(document)
    for picture, entry in zip(pictures, document["predictions"], strict=True):
        if "error" in entry:
            request_id = answer.headers.get("x-request-id")
            error = BadRequest(str(entry["error"]), status_code=400, request_id=request_id)
            outcomes.append(Failure(picture.filename, error))
            continue
        classes = tuple(Class(str(c["label"]), float(c["probability"])) for c in entry["classes"])
        outcomes.append(
            Prediction(picture.filename, classes, str(document["model"]), int(document["version"]), warnings)
        )
    return outcomes


def _model(entry: Any) -> Model:
    versions = (
        VersionStatus(int(v["version"]), State(v["state"]), v["error"], _warnings(v))
        for v in entry["versions"]
    )
    labels = {str(label): int(version) for label, version in entry["labels"].items()}
    return Model(str(entry["name"]), _newest_first(versions), labels)


def _warnings(document: Any) -> tuple[str, ...]:
    """Absent where there are none, and from an older gateway."""
    return tuple(str(sentence) for sentence in document.get("warnings", ()))


def _status(model: str, document: Any) -> ModelStatus:
    versions = (
        VersionStatus(
            int(entry["version"]),
            State(entry["state"]),
            str(entry["status"].get("error_message", "")),
            _warnings(entry),
        )
        for entry in document["model_version_status"]
    )
    return ModelStatus(model, _newest_first(versions))


def _newest_first(versions: Iterable[VersionStatus]) -> tuple[VersionStatus, ...]:
    return tuple(sorted(versions, key=lambda entry: -entry.version))


def _metadata(document: Any) -> Metadata:
    definitions = m.SignatureDefMap()
    json_format.ParseDict(document["metadata"]["signature_def"], definitions, ignore_unknown_fields=True)
    spec = document["model_spec"]
    return Metadata(str(spec["name"]), int(spec["version"]), signatures_of(definitions))
