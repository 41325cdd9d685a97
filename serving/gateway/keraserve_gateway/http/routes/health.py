"""The routes about the process: liveness, readiness, metrics. No limits apply to them."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from keraserve_gateway.calls.ended_versions import forget_ended
from keraserve_gateway.calls.readiness import unready_reasons
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import CurrentCall, HttpCall
from keraserve_gateway.http.schemas.health import Readiness


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(tags=["Process"])

    @routes.get(
        "/livez",
        operation_id="livez",
        summary="Whether the process runs",
        response_class=PlainTextResponse,
    )
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    for path in ("/readyz", "/healthz"):
        _add_ready(routes, path)

    @routes.get(
        "/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=PlainTextResponse
    )
    async def metrics(call: CurrentCall) -> Response:
        gateway, page = call.gateway, call.gateway.render_metrics()
        await forget_ended(gateway.server.ask, gateway.metrics, call.context.request_id)
        return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


def _add_ready(routes: APIRouter, path: str) -> None:
    @routes.get(
        path,
        operation_id=path.strip("/"),
        summary="Whether every configured model is served",
        responses=openapi_bodies.unready(),
    )
    async def readyz(call: CurrentCall, response: Response) -> Readiness:
        return await readiness(call, response)


async def readiness(call: HttpCall, response: Response) -> Readiness:
    """Return whether every configured model is served; sets the status 503 if not."""
    gateway = call.gateway
    reasons = await unready_reasons(
        gateway.server.ask, gateway.configured, gateway.admission, call.context.request_id
    )
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons)
