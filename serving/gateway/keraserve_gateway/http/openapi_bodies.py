"""What the OpenAPI description says of bodies and errors that FastAPI doesn't see."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from keraserve_gateway import errors
from keraserve_gateway.http.schemas import open_inference, tensorflow_rest
from keraserve_gateway.http.schemas.health import Readiness
from keraserve_gateway.http.schemas.problem import Problem
from keraserve_gateway.statuses import STATUSES, kind
from keraserve_protocol import image_formats

PICTURE_TYPES = (*(one.media_types[0] for one in image_formats.FORMATS), "application/octet-stream")
UNSEEN: tuple[type[BaseModel], ...] = (
    Problem,
    tensorflow_rest.PredictBody,
    tensorflow_rest.ExamplesBody,
    open_inference.InferenceBody,
)
"""The schemas that only these descriptions refer to."""

_REFERENCE = "#/components/schemas/"
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}


@dataclass(frozen=True)
class _Refusal:
    description: str
    example: errors.GatewayError


REFUSALS: dict[int, _Refusal] = {
    400: _Refusal(
        "Bad input; the text says which item", errors.BadRequest("version: 'x' is no version of a model")
    ),
    401: _Refusal(
        "An API key is needed, or it is not known", errors.UnknownApiKey("the API key is not known")
    ),
    403: _Refusal(
        "The API key is not good for this model",
        errors.ModelForbidden("the API key is not good for model 'fashion-mnist'"),
    ),
    404: _Refusal(
        "Unknown model, version or label", errors.NotFound("there is no model 'nope' that answers")
    ),
    408: _Refusal(
        "The body did not arrive in time",
        errors.RequestTimeout("the body did not arrive before the request's deadline"),
    ),
    413: _Refusal(
        "Too many bytes, pictures, pixels, rows or elements, or too much JSON",
        errors.TooLarge("the body has more than 16777216 bytes, as many as are allowed (max_body_bytes)"),
    ),
    415: _Refusal(
        "Not a kind of picture or of body that is taken",
        errors.UnsupportedMediaType(f"picture 0: it is no {image_formats.named()}"),
    ),
    429: _Refusal(
        "Too many requests; try again after `Retry-After` seconds",
        errors.Overloaded("64 requests are in flight, as many as are allowed (max_in_flight)"),
    ),
    500: _Refusal(
        "The gateway or the model server failed", errors.ModelServerFailure("the model server failed")
    ),
    501: _Refusal(
        "JSON can't carry the model's answer; ask over gRPC, or for binary data",
        errors.NotJsonSerializable("output 'y': DT_COMPLEX64 has no form in JSON; ask over gRPC"),
    ),
    502: _Refusal(
        "The model server's answer can't be read",
        errors.InvalidResponse("the model server's answer to Predict can't be read"),
    ),
    503: _Refusal(
        "The model server is away or still loading, or the gateway is stopping",
        errors.ModelServerUnavailable("the model server is not available"),
    ),
    504: _Refusal(
        "No answer within the deadline", errors.DeadlineExceeded("the model server did not answer in time")
    ),
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in the form of RFC 9457."""
    return {code: _refusal(code, "application/problem+json", "Problem", _problem(code)) for code in codes}


def tensorflow_errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in TensorFlow Serving's form."""
    return {
        code: _refusal(code, "application/json", "TensorFlowError", {"error": REFUSALS[code].example.detail})
        | {"model": tensorflow_rest.TensorFlowError}
        for code in codes
    }


def _refusal(code: int, media_type: str, schema: str, example: Any) -> dict[str, Any]:
    described = {"schema": {"$ref": _REFERENCE + schema}, "example": example}
    refusal: dict[str, Any] = {"description": REFUSALS[code].description, "content": {media_type: described}}
    if REFUSALS[code].example.retry_after is not None:
        refusal["headers"] = _RETRY_AFTER
    return refusal


def _problem(code: int) -> dict[str, Any]:
    error = REFUSALS[code].example
    return {
        "type": f"urn:keraserve:error:{kind(error)}",
        "title": STATUSES[type(error)].title,
        "status": code,
        "detail": error.detail,
        "request_id": "5f0c7d1e9a0b4c5d8e7f6a5b4c3d2e1f",
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body that the route reads itself."""
    examples = model.model_json_schema()["examples"]
    content = {
        "schema": {"$ref": _REFERENCE + model.__name__},
        "examples": {f"example {n}": {"value": one} for n, one in enumerate(examples, 1)},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def picture_body() -> dict[str, Any]:
    """Describe a body of one picture, or of several as files."""
    files: dict[str, Any] = {
        "type": "object",
        "properties": {
            "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
        },
        "required": ["files"],
    }
    content = dict.fromkeys(PICTURE_TYPES, _BYTES) | {"multipart/form-data": {"schema": files}}
    return {"requestBody": {"required": True, "content": content}}


def answer(model: Any) -> dict[int | str, dict[str, Any]]:
    """Describe a successful answer that the route writes itself."""
    return {200: {"description": "The answer", "model": model}}


def unready() -> dict[int | str, dict[str, Any]]:
    """Describe the answer of a probe that fails."""
    reasons = ["model 'fashion-mnist' has no available version"]
    content = {"application/json": {"example": {"ready": False, "reasons": reasons}}}
    return {503: {"model": Readiness, "description": "Not ready, and why", "content": content}}


def inference_body() -> dict[str, Any]:
    """Describe the body of `infer`, which the route reads itself."""
    described = json_body(open_inference.InferenceBody)
    described["requestBody"]["content"]["application/octet-stream"] = _BYTES
    return described


def inference_answer() -> dict[int | str, dict[str, Any]]:
    """Describe the answer to `infer`, in JSON or with binary data behind it."""
    content = {"application/octet-stream": _BYTES}
    return {200: {"description": "The answer", "model": open_inference.InferenceAnswer, "content": content}}
