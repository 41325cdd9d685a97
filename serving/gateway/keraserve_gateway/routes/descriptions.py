"""What the OpenAPI description says of bodies and errors that FastAPI doesn't see."""

from typing import Any

from pydantic import BaseModel

from keraserve_gateway import schemas

_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PICTURE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/bmp", "application/octet-stream")

_PROBLEM_CODES = {
    400: "Bad input; the detail says which item",
    401: "An API key is needed, or it is not known",
    403: "The API key is not good for this model",
    404: "Unknown model, version or label",
    408: "The body did not arrive in time",
    413: "Too many bytes, pictures or pixels",
    415: "Not a type of picture that models decode",
    429: "Too many requests; try again after `Retry-After` seconds",
    500: "The gateway or the model server failed",
    502: "The model server's answer can't be read",
    503: "The model server is away or still loading, or the gateway is stopping",
    504: "No answer within the deadline",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in the form of RFC 9457."""
    return {
        code: {
            "description": _PROBLEM_CODES[code],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for code in codes
    }


def tensorflow_errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors in TensorFlow Serving's form."""
    return {code: {"description": _PROBLEM_CODES[code], "model": schemas.TensorFlowError} for code in codes}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a JSON body that the route reads itself."""
    schema = model.model_json_schema()
    examples = schema.pop("examples", [])
    content = {
        "schema": schema,
        "examples": {f"example {n}": {"value": one} for n, one in enumerate(examples, 1)},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def picture_body() -> dict[str, Any]:
    """Describe a body of one picture, or of several as files."""
    files = {
        "type": "object",
        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
    content = dict.fromkeys(PICTURE_TYPES, _BYTES) | {"multipart/form-data": {"schema": files}}
    return {"requestBody": {"required": True, "content": content}}


def json_answer(example: Any) -> dict[int | str, dict[str, Any]]:
    """Describe a successful answer by an example."""
    return {200: {"description": "The answer", "content": {"application/json": {"example": example}}}}


def unready() -> dict[int | str, dict[str, Any]]:
    """Describe the answer of a probe that fails."""
    return {503: {"model": schemas.Readiness, "description": "Not ready, and why"}}


def inference_body() -> dict[str, Any]:
    """Describe the body of `infer`, which the route reads itself."""
    described = json_body(schemas.InferenceBody)
    described["requestBody"]["content"]["application/octet-stream"] = _BYTES
    return described


def inference_answer() -> dict[int | str, dict[str, Any]]:
    """Describe the answer to `infer`, in JSON or with binary data behind it."""
    content = {"application/octet-stream": _BYTES}
    return {200: {"description": "The answer", "model": schemas.InferenceAnswer, "content": content}}
