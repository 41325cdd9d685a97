"""`create_app` makes the HTTP application: middleware, routes, exception handlers."""

from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response

from keraserve_gateway.errors import GatewayError
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import error_responses, openapi
from keraserve_gateway.http.dependencies import register_segment
from keraserve_gateway.http.fast_path import FastPath
from keraserve_gateway.http.middleware import RequestMiddleware
from keraserve_gateway.http.routes import (
    classify_images,
    explain_images,
    health,
    models,
    open_inference,
    pages,
    tensorflow_rest,
)
from keraserve_gateway.http.scope import context_of
from keraserve_gateway.settings import Settings
from keraserve_gateway.telemetry.tracing import Tracing
from keraserve_gateway.upstream.model_server import ModelServer

VERSION = "0.1.0"
DESCRIPTION = """Classify images with models served by TensorFlow Serving or its like.

Every response has `X-Request-ID`, taken from the request or made. `X-Request-Timeout: <seconds>` sets an
earlier deadline than the gateway's own. `X-Model-Version` is the version that the response comes from.

If the gateway requires keys: `Authorization: Bearer <key>`, or `X-API-Key: <key>`.

A request that names no version may go to a model's canary: `X-Model-Label: stable` (or `canary`, or any other
label) names one as the path would, `X-Sticky-Key: <anything>` gets the same version each time."""


def create_app(settings: Settings, model_server: ModelServer, tracing: Tracing | None = None) -> FastAPI:
    """Make the application; the caller closes the model server and the tracing."""
    gateway = Gateway.of(settings, model_server, tracing)
    register_segment()
    app = FastAPI(
        title="Keraserve gateway",
        version=VERSION,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # RequestMiddleware has them
        middleware=[Middleware(RequestMiddleware, gateway=gateway), Middleware(FastPath)],
        exception_handlers={
            GatewayError: _on_error,
            RequestValidationError: _on_invalid,
            HTTPException: _on_status,
        },
    )
    app.state.gateway = gateway
    openapi.add_route(app)
    for routes in (models, classify_images, explain_images, tensorflow_rest, open_inference, health, pages):
        app.include_router(routes.router())
    app.openapi = lambda: openapi.describe(app)
    return app


def gateway_of(app: FastAPI) -> Gateway:
    """Return the gateway's objects of an application."""
    return cast(Gateway, app.state.gateway)


async def _on_error(request: Request, error: Exception) -> Response:
    found = cast(GatewayError, error)
    hint = gateway_of(cast(FastAPI, request.app)).known_models(found, context_of(request.scope))
    return error_responses.failure(request.scope, found, hint)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Send 400 in place of FastAPI's 422."""
    return error_responses.failure(
        request.scope, error_responses.invalid(cast(RequestValidationError, error).errors())
    )


async def _on_status(request: Request, error: Exception) -> Response:
    raised = cast(HTTPException, error)
    headers = dict(raised.headers or {})
    if "Allow" in headers:
        headers["Allow"] = headers["Allow"].replace("GET", "GET, HEAD") + ", OPTIONS"
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    methods = f"this path takes {headers.get('Allow')}, and not {request.method}"
    details = {404: "there is nothing at this path", 405: methods}
    detail = details.get(raised.status_code, raised.detail)
    return error_responses.plain(request.scope, raised.status_code, detail, headers)
