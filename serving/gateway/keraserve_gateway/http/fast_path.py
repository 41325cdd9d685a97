"""The fast path: the two requests that are many and small are handled before FastAPI looks at them.

Images, and tensors for `:predict`, each for a model's newest version. Their routes are declared with the
others in `routes`, where the API's description has them from; so are what is done and what is rejected. The
fast path skips the choice among all routes, and FastAPI's general way from a request to a function's
arguments and back: for a small image half of the work.
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
    """ASGI middleware, to be put inside of what is around every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one of these requests; pass on all others."""
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
