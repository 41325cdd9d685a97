"""Pictures for a model's newest version, on the short way: before FastAPI looks at a request.

The route is declared with the others in `routes/images.py`, where the API's description has it from, and so
are what is done and what is refused. A request that comes this way skips the choice among all routes, and
FastAPI's general way from a request to a function's arguments and back: for a small picture half of the work.
"""

import re

from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from keraserve_gateway.calls.predict import Target
from keraserve_gateway.http import replies
from keraserve_gateway.http.routes import images
from keraserve_gateway.http.routes.call import Call, noted

_PATH = re.compile(r"/v1/models/([^/:]+)/images:classify")


class PicturePath:
    """ASGI middleware, to be put inside of what is around every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with pictures for a newest version; pass on all others."""
        posted = scope["type"] == "http" and scope["method"] == "POST"
        matched = _PATH.fullmatch(scope["path"]) if posted else None
        if matched is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            asked = images.Asked.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise replies.invalid(error.errors()) from error
        target = noted(request, Target(matched[1]))
        response = await images.classify(Call(request), target, asked)
        await response(scope, receive, send)
