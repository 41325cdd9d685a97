"""The routes of the Open Inference Protocol v2, which `tritonclient` uses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keraserve_gateway.calls import open_inference
from keraserve_gateway.calls.signatures import signatures
from keraserve_gateway.calls.target import Target
from keraserve_gateway.errors import BadRequest
from keraserve_gateway.http import compression, openapi_bodies
from keraserve_gateway.http.dependencies import (
    CurrentCall,
    Digits,
    Model,
    by_label,
    check_once,
    newest,
    record_model,
)
from keraserve_gateway.http.routes.health import readiness
from keraserve_gateway.http.schemas import open_inference as schemas
from keraserve_gateway.http.schemas.health import Readiness
from keraserve_protocol import messages as m
from keraserve_protocol.open_inference import HEADER_LENGTH

_ERRORS = openapi_bodies.tensorflow_errors(400, 401, 403, 404, 408, 413, 415, 429, 500, 501, 502, 503, 504)
_MODEL = "/v2/models/{model:segment}"

Version = Annotated[str, Path(description="number or label of a version", examples=["1", "stable"])]


class DescribeOptions(BaseModel):
    """The query parameters of a description."""

    model_config = ConfigDict(extra="forbid")

    signature_name: str = Field("", description="signature to describe", examples=["image_bytes"])


HeaderLength = Annotated[
    int | None,
    Digits,
    Header(alias=HEADER_LENGTH, description="bytes of the body that are JSON; absent: all", ge=0),
]


async def by_version(request: Request, model: Model, version: Version) -> Target:
    """Target a version by its number or label: the protocol's versions are strings."""
    if not (version.isascii() and version.isdecimal()):
        return record_model(request, Target(model, label=version))
    number = m.version_number(version)
    if number is None:
        raise BadRequest(f"version: {version[:40]} is larger than any version")
    return record_model(request, Target(model, version=number))


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["Open Inference Protocol"])
    _add_server(routes)
    for path, suffix, named in (
        (_MODEL, "", newest),
        (_MODEL + "/versions/{version}", "_version", by_version),
        # Not in the protocol, which takes a label of digits for a version's number.
        (_MODEL + "/labels/{label}", "_label", by_label),
    ):
        _add_model(routes, path, suffix, named)
        _add_infer(routes, path, suffix, named)
    return routes


def _add_server(routes: APIRouter) -> None:
    @routes.get("/v2", operation_id="inference_server", summary="Name, version and extensions")
    async def server(call: CurrentCall) -> schemas.InferenceServer:
        return schemas.InferenceServer(name="keraserve-gateway", version=call.request.app.version)

    @routes.get("/v2/health/live", operation_id="inference_live", summary="Whether the process runs")
    async def live() -> schemas.InferenceLive:
        return schemas.InferenceLive(live=True)

    @routes.get(
        "/v2/health/ready",
        operation_id="inference_ready",
        summary="Whether every configured model is served",
        responses=openapi_bodies.unready(),
    )
    async def ready(call: CurrentCall, response: Response) -> Readiness:
        return await readiness(call, response)


def _add_model(routes: APIRouter, path: str, suffix: str, named: Callable[..., Awaitable[Target]]) -> None:
    @routes.get(
        path,
        operation_id=f"inference_model{suffix}",
        summary="Versions, inputs and outputs of a model",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.response(schemas.InferenceModel)},
    )
    async def model(
        call: CurrentCall,
        target: Annotated[Target, Depends(named)],
        options: Annotated[DescribeOptions, Query()],
    ) -> Response:
        check_once(call.request)
        name = options.signature_name
        return call.respond(await open_inference.describe(call.ask, target, name, call.context))

    @routes.get(
        f"{path}/ready",
        operation_id=f"inference_model_ready{suffix}",
        summary="Whether a model responds",
        responses=_ERRORS,
    )
    async def ready(
        call: CurrentCall, target: Annotated[Target, Depends(named)]
    ) -> schemas.InferenceModelReady:
        await signatures(call.ask, target, call.context)  # a model that responds has some
        return schemas.InferenceModelReady(name=target.name, ready=True)


def _add_infer(routes: APIRouter, path: str, suffix: str, named: Callable[..., Awaitable[Target]]) -> None:
    @routes.post(
        f"{path}/infer",
        operation_id=f"infer{suffix}",
        summary="Run a signature on tensors, in JSON or as binary data",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.inference_response()},
        openapi_extra=openapi_bodies.inference_body(),
    )
    async def run(
        call: CurrentCall, target: Annotated[Target, Depends(named)], header_length: HeaderLength = None
    ) -> Response:
        if len(call.request.headers.getlist(HEADER_LENGTH)) > 1:
            raise BadRequest(f"{HEADER_LENGTH} is there more than once")
        limits = call.gateway.request_limits
        found = await open_inference.infer(
            call.ask, target, await call.body(), header_length, limits, call.context
        )
        call.context.record_version(found.version)
        return await _rendered(found, call.context.header("accept-encoding") or "")


async def _rendered(found: open_inference.InferResponse, accepted: str) -> Response:
    body, headers = found.body, {"Vary": "Accept-Encoding"}
    if coding := compression.choose(accepted, len(body)):
        body = await asyncio.to_thread(compression.compress, body, coding)
        headers["Content-Encoding"] = coding
    if found.header_length is None:
        return Response(body, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(found.header_length)
    return Response(body, headers=headers, media_type="application/octet-stream")
