"""The fast path: `images:classify` and `:predict` for a newest version are handled before FastAPI.

Their routes are declared in `routes`, for the API's description; the fast path calls the same functions. It
skips the choice among all routes, and FastAPI's conversion of a request to a function's arguments and back:
for a small image half of the work.
"""

import re

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keraserve_gateway.calls.target import Target
from keraserve_gateway.http import error_responses
from keraserve_gateway.http.dependencies import HttpCall, record_model
from keraserve_gateway.http.routes import classify_images, tensorflow_rest

_PATH = re.compile(r"/v1/models/([^/:]+)(/images:classify|:predict)")


class FastPath:
    """ASGI middleware, inside `RequestMiddleware`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one of these requests; pass on all others."""
        posted = scope["type"] == "http" and scope["method"] == "POST"
        matched = _PATH.fullmatch(scope["path"]) if posted else None
        if matched is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        call, target = HttpCall(request), record_model(request, Target(matched[1]))
        response = await (
            _classify(call, target) if matched[2] == "/images:classify" else tensorflow_rest.run(call, target)
        )
        await response(scope, receive, send)


async def _classify(call: HttpCall, target: Target) -> Response:
    query: dict[str, str] = dict(call.request.query_params) if call.request.scope["query_string"] else {}
    try:
        options = classify_images.ClassifyOptions.model_validate(query)
    except ValidationError as error:
        raise error_responses.invalid(error.errors()) from error
    return await classify_images.classify(call, target, options)
