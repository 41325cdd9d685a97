"""The API's OpenAPI description: FastAPI's, with the bodies that routes read themselves, without 422."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keraserve_gateway.http import openapi_bodies

_REQUEST_ID = {"X-Request-ID": {"description": "the request's id", "schema": {"type": "string"}}}
_KEYS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key, if the gateway requires one",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same"},
}


def add_route(app: FastAPI) -> None:
    """Add `/openapi.json`, rendered once: FastAPI's own route takes 3 ms each time."""
    rendered: list[bytes] = []

    async def description(_: Request) -> Response:
        if not rendered:
            rendered.append(bytes(JSONResponse(describe(app)).body))
        return Response(rendered[0], media_type="application/json")

    app.add_route("/openapi.json", description, include_in_schema=False)


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the description, once."""
    if app.openapi_schema is None:
        description = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, unseen = models_json_schema(
            [(model, "serialization") for model in openapi_bodies.UNSEEN],
            ref_template="#/components/schemas/{model}",
        )
        components = description["components"]["schemas"]
        components |= unseen["$defs"]
        for name in ("HTTPValidationError", "ValidationError"):
            components.pop(name, None)
        for path in description["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                for response in operation["responses"].values():
                    response["headers"] = {**response.get("headers", {}), **_REQUEST_ID}
        description["components"]["securitySchemes"] = _KEYS
        description["security"] = [{}, *({name: []} for name in _KEYS)]  # keys are optional
        app.openapi_schema = description
    return app.openapi_schema
