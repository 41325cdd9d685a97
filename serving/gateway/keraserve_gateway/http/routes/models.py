"""The route with the list of models."""

from fastapi import APIRouter

from keraserve_gateway.calls.readiness import list_models, with_warnings
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import CurrentCall
from keraserve_gateway.http.schemas.models import ModelList


def router() -> APIRouter:
    """Make the route."""
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

    return routes
