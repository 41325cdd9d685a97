"""OpenAPI descriptions of the bodies and errors that FastAPI can't derive from the routes."""

from typing import Any

from pydantic import BaseModel

from keraserve_gateway import errors
from keraserve_gateway.http.schemas import open_inference, tensorflow_rest
from keraserve_gateway.http.schemas.health import Readiness
from keraserve_gateway.http.schemas.problem import Problem
from keraserve_gateway.statuses import STATUSES, kind
from keraserve_protocol import image_formats

IMAGE_TYPES = (*(one.media_types[0] for one in image_formats.FORMATS), "application/octet-stream")
UNSEEN: tuple[type[BaseModel], ...] = (
    Problem,
    tensorflow_rest.PredictBody,
    tensorflow_rest.ExamplesBody,
    open_inference.InferenceBody,
)
"""Schemas that only these descriptions refer to."""

_REFERENCE = "#/components/schemas/"
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}


REJECTIONS: dict[int, tuple[str, errors.GatewayError]] = {
    400: ("Bad input; the text says which item", errors.BadRequest("version: 'x' is no version of a model")),
    401: ("An API key is needed, or it is not known", errors.UnknownApiKey("the API key is not known")),
    403: (
        "The API key is not good for this model",
        errors.ModelForbidden("the API key is not good for model 'fashion-mnist'"),
    ),
    404: ("Unknown model, version or label", errors.NotFound("model 'nope' is not served")),
    408: (
        "The body did not arrive in time",
        errors.RequestTimeout("the body did not arrive before the request's deadline"),
    ),
    413: (
        "Too many bytes, images, pixels, rows or elements, or too much JSON",
        errors.TooLarge("the body has more than 16777216 bytes, as many as are allowed (max_body_bytes)"),
    ),
    415: (
        "Not a kind of image or of body that is taken",
        errors.UnsupportedMediaType(f"image 0: it is no {image_formats.named()}"),
    ),
    429: (
        "Too many requests; try again after `Retry-After` seconds",
        errors.Overloaded("64 requests are in flight, as many as are allowed (max_in_flight)"),
    ),
    500: ("The gateway or the model server failed", errors.ModelServerFailure("the model server failed")),
    501: (
        "JSON can't carry the model's response; use gRPC, or request binary data",
        errors.NotJsonSerializable("output 'y': DT_COMPLEX64 has no form in JSON; ask over gRPC"),
    ),
    502: (
        "The model server's response can't be read",
        errors.InvalidResponse("the model server's response to Predict can't be read"),
    ),
    503: (
        "The model server is unavailable or still loading, or the gateway is stopping",
        errors.ModelServerUnavailable("the model server is not available"),
    ),
    504: (
        "No response within the deadline",
        errors.DeadlineExceeded("the model server did not respond in time"),
    ),
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in the form of RFC 9457."""
    return {code: _rejection(code, "application/problem+json", "Problem", _problem(code)) for code in codes}


def tensorflow_errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in TensorFlow Serving's form."""
    return {
        code: _rejection(code, "application/json", "TensorFlowError", {"error": REJECTIONS[code][1].detail})
        | {"model": tensorflow_rest.TensorFlowError}
        for code in codes
    }


def _rejection(code: int, media_type: str, schema: str, example: Any) -> dict[str, Any]:
    description, error = REJECTIONS[code]
    content = {media_type: {"schema": {"$ref": _REFERENCE + schema}, "example": example}}
    rejection: dict[str, Any] = {"description": description, "content": content}
    if error.retry_after is not None:
        rejection["headers"] = _RETRY_AFTER
    return rejection


def _problem(code: int) -> dict[str, Any]:
    _, error = REJECTIONS[code]
    return {
        "type": f"urn:keraserve:error:{kind(error)}",
        "title": STATUSES[type(error)].title,
        "status": code,
        "detail": error.detail,
        "request_id": "5f0c7d1e9a0b4c5d8e7f6a5b4c3d2e1f",
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body that a route parses itself."""
    examples = model.model_json_schema()["examples"]
    content = {
        "schema": {"$ref": _REFERENCE + model.__name__},
        "examples": {f"example {n}": {"value": one} for n, one in enumerate(examples, 1)},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def image_body() -> dict[str, Any]:
    """Describe a body of one image, or of several as files."""
    files: dict[str, Any] = {
        "type": "object",
        "properties": {
            "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
        },
        "required": ["files"],
    }
    content = dict.fromkeys(IMAGE_TYPES, _BYTES) | {"multipart/form-data": {"schema": files}}
    return {"requestBody": {"required": True, "content": content}}


def response(model: Any) -> dict[int | str, dict[str, Any]]:
    """Describe a successful response that a route renders itself."""
    return {200: {"description": "The response", "model": model}}


def unready() -> dict[int | str, dict[str, Any]]:
    """Describe the response of a failing probe."""
    reasons = ["model 'fashion-mnist' has no available version"]
    content = {"application/json": {"example": {"ready": False, "reasons": reasons}}}
    return {503: {"model": Readiness, "description": "Not ready, and why", "content": content}}


def inference_body() -> dict[str, Any]:
    """Describe the body of `infer`, which the route parses itself."""
    described = json_body(open_inference.InferenceBody)
    described["requestBody"]["content"]["application/octet-stream"] = _BYTES
    return described


def inference_response() -> dict[int | str, dict[str, Any]]:
    """Describe the response to `infer`: JSON, or JSON followed by binary data."""
    content = {"application/octet-stream": _BYTES}
    return {
        200: {"description": "The response", "model": open_inference.InferenceResponse, "content": content}
    }
