"""The process itself: alive, ready, metrics. Never limited."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from keraserve_gateway.calls import predict
from keraserve_gateway.calls.ended_versions import forget_ended
from keraserve_gateway.http import schemas
from keraserve_gateway.http.routes import descriptions
from keraserve_gateway.http.routes.call import Call, ThisCall


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
    async def metrics(call: ThisCall) -> Response:
        gateway, page = call.gateway, call.gateway.render_metrics()
        await forget_ended(gateway.server, gateway.metrics, call.trip.request_id)
        return Response(page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


def _add_ready(routes: APIRouter, path: str) -> None:
    @routes.get(
        path,
        operation_id=path.strip("/"),
        summary="Whether every configured model is served",
        responses=descriptions.unready(),
    )
    async def readyz(call: ThisCall, response: Response) -> schemas.Readiness:
        return await readiness(call, response)


async def readiness(call: Call, response: Response) -> schemas.Readiness:
    """Say whether every configured model is served, with the status 503 where not."""
    gateway = call.gateway
    reasons = await predict.unready(
        gateway.server, gateway.configured, gateway.admission, call.trip.request_id
    )
    response.status_code = 503 if reasons else 200
    return schemas.Readiness(ready=not reasons, reasons=reasons)
