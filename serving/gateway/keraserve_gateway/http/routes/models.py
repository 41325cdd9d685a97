"""The routes with the list of models, and with a version's model card."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from keraserve_gateway.calls import model_card
from keraserve_gateway.calls.readiness import list_models, with_warnings
from keraserve_gateway.calls.target import Target
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import MODEL, TARGETS, CurrentCall
from keraserve_gateway.http.schemas.models import ModelList


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter()

    @routes.get(
        "/v1/models",
        tags=["Models"],
        operation_id="models",
        summary="Every model with its versions, states and labels",
        response_model_exclude_none=True,
        responses=openapi_bodies.problems(401, 429, 503, 504),
    )
    async def models(call: CurrentCall) -> ModelList:
        states = await list_models(call.ask, call.gateway.configured, call.context)
        seen = [one for one in states if call.context.may_see(one.name)]
        seen = await with_warnings(seen, call.gateway.cards)
        return ModelList.model_validate({"models": seen}, from_attributes=True)

    for path, suffix, named in TARGETS:
        _add_card(routes, MODEL + path, suffix, named)
    return routes


def _add_card(routes: APIRouter, path: str, suffix: str, named: Callable[..., Awaitable[Target]]) -> None:
    @routes.get(
        f"{path}/card",
        tags=["Models"],
        operation_id=f"card{suffix}",
        summary="A version's model card: its training data, accuracy, labels and warnings",
        response_model=dict[str, Any],
        responses=openapi_bodies.problems(400, 401, 403, 404, 429, 502, 503, 504),
    )
    async def card(call: CurrentCall, target: Annotated[Target, Depends(named)]) -> Response:
        return call.respond(await model_card.card(call.ask, target, call.context))
