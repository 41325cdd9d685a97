"""The routes `images:explain`."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keraserve_gateway.calls.explain_images import Explainer, ImageMap
from keraserve_gateway.calls.image_check import Limits
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import MODEL, TARGETS, CurrentCall, check_once
from keraserve_gateway.http.routes.classify_images import ERRORS
from keraserve_gateway.http.schemas.explain_images import ImageExplanation


class ExplainOptions(BaseModel):
    """The query parameters."""

    model_config = ConfigDict(extra="forbid")

    class_label: str = Field(
        "", description="the class that is asked about; empty: the most probable one of each image"
    )
    strict: bool = Field(
        False, description="reject all images if one can't be explained; else its own entry says why"
    )


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter()
    for path, suffix, named in TARGETS:
        _add_explain(routes, MODEL + path, suffix, named)
    return routes


def _add_explain(routes: APIRouter, path: str, suffix: str, named: Callable[..., Awaitable[Target]]) -> None:
    @routes.post(
        f"{path}/images:explain",
        tags=["Images"],
        operation_id=f"explain_images{suffix}",
        summary="Map the places of an image, or of several, that speak for a class",
        response_model=ImageExplanation,
        responses=ERRORS,
        openapi_extra=openapi_bodies.image_body(),
    )
    async def explain_images(
        call: CurrentCall,
        target: Annotated[Target, Depends(named)],
        options: Annotated[ExplainOptions, Query()],
    ) -> Response:
        check_once(call.request)
        settings = call.gateway.settings
        limits = Limits(settings.max_images, settings.max_pixels)
        images = await call.images()
        explainer = Explainer(call.ask, limits, call.gateway.repeating, options.class_label)
        found = await explainer.explain(target, images, strict=options.strict, context=call.context)
        call.context.images = sum(isinstance(one, ImageMap) for one in found.explanations)
        warnings = await call.gateway.cards.warnings(found.model, found.version)
        fields = asdict(found) | ({"warnings": warnings} if warnings else {})
        return call.respond(ModelResponse(orjson.dumps(fields), found.version))
