"""Errors as HTTP responses: `{"error"}` for TensorFlow Serving's paths and `/v2`, else RFC 9457."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from keraserve_gateway.errors import (
    BadRequest,
    GatewayError,
    MissingApiKey,
    ModelForbidden,
    NotFound,
    RequestTimeout,
    UnknownApiKey,
)
from keraserve_gateway.http.scope import context_of
from keraserve_gateway.statuses import STATUSES, kind
from keraserve_protocol import rest

# A name with a colon matches, too, although no route has it.
_VERSION = r"/v1/models/[^/]+(/versions/[^/]+|/labels/[^/]+)?"
_COMPATIBLE = {
    "GET": re.compile(rf"(?!.*:(predict|classify|regress)$){_VERSION}(/metadata)?"),
    "POST": re.compile(rf"{_VERSION}:(predict|classify|regress)"),
}
_INFERENCE = re.compile(r"/v2(/.*)?", re.DOTALL)

_NOT_SERVED = re.compile(
    r"Servable not found for request: (Latest\((?P<newest>.*)\)|Specific\((?P<model>.*), (?P<version>\d+)\))"
)

_CHALLENGES: dict[type[GatewayError], str] = {  # RFC 6750
    MissingApiKey: 'Bearer realm="keraserve"',
    UnknownApiKey: 'Bearer realm="keraserve", error="invalid_token"',
    ModelForbidden: 'Bearer realm="keraserve", error="insufficient_scope"',
}


def failure(scope: Scope, error: GatewayError, hint: str = "") -> Response:
    """Render a `GatewayError`; in TensorFlow Serving's form without the hint."""
    context_of(scope).record_error(error)
    status = STATUSES[type(error)]
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if type(error) in _CHALLENGES:
        headers["WWW-Authenticate"] = _CHALLENGES[type(error)]
    if isinstance(error, RequestTimeout):
        headers["Connection"] = "close"  # the rest of the body may never come
    if is_compatible(scope):
        detail = error.detail + (hint if _INFERENCE.fullmatch(scope["path"]) else "")
        return Response(rest.error_response(detail), status.http, headers, "application/json")
    detail = (_in_plain_words(error.detail) if isinstance(error, NotFound) else error.detail) + hint
    image = error.image and {"index": error.image.index, "filename": error.image.filename}
    return problem(
        scope,
        status.http,
        status.title,
        detail,
        kind=f"urn:keraserve:error:{kind(error)}",
        headers=headers,
        image=image,
    )


def _in_plain_words(detail: str) -> str:
    """Reword TensorFlow Serving's message about a model that it does not serve."""
    found = _NOT_SERVED.fullmatch(detail)
    if found is None:
        return detail
    model, version = found["newest"], found["version"]
    if model is not None:
        return f"model {model!r} is not served"
    return f"version {version} of model {found['model']!r} is not served"


def invalid(found: Sequence[Mapping[str, Any]]) -> BadRequest:
    """Make the error of what pydantic found wrong with a request's arguments."""
    return BadRequest("; ".join(f"{one['loc'][-1]}: {_reason(one)}" for one in found))


def _reason(found: Mapping[str, Any]) -> str:
    return "there is no such parameter" if found["type"] == "extra_forbidden" else found["msg"]


def plain(scope: Scope, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Render an error that has only a status: an unknown path, a wrong method, an unexpected exception."""
    if is_compatible(scope):
        return Response(rest.error_response(detail), status, headers, "application/json")
    return problem(scope, status, HTTPStatus(status).phrase, detail, headers=headers)


def problem(
    scope: Scope,
    status: int,
    title: str,
    detail: str,
    *,
    kind: str = "about:blank",
    headers: dict[str, str] | None = None,
    image: dict[str, Any] | None = None,
) -> Response:
    """Render `application/problem+json`."""
    content: dict[str, Any] = {
        "type": kind,
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": context_of(scope).request_id,
    }
    if image:
        content["image"] = image
    body = json.dumps(content, ensure_ascii=False).encode(errors="replace")
    return Response(body, status, headers, "application/problem+json")


def is_compatible(scope: Scope) -> bool:
    """Return whether errors have TensorFlow Serving's form: those of its own calls, and of all of `/v2`."""
    if _INFERENCE.fullmatch(scope["path"]):
        return True
    pattern = _COMPATIBLE.get(scope["method"])
    return pattern is not None and pattern.fullmatch(scope["path"]) is not None
