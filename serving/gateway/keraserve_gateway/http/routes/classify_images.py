"""The routes `images:classify`."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from keraserve_gateway.calls.classify_images import Classifier, ImageClasses
from keraserve_gateway.calls.image_check import Limits
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import MODEL, TARGETS, CurrentCall, Digits, HttpCall, check_once
from keraserve_gateway.http.schemas.classify_images import ImageClassification


class ClassifyOptions(BaseModel):
    """The query parameters."""

    model_config = ConfigDict(extra="forbid")

    top_k: Annotated[int, Digits] = Field(5, description="how many classes of each image", ge=1, le=1000)
    strict: bool = Field(
        False, description="reject all images if one can't be classified; else its own entry says why"
    )


ERRORS = openapi_bodies.problems(400, 401, 403, 404, 408, 413, 415, 429, 500, 502, 503, 504)


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter()

    for path, suffix, named in TARGETS:
        _add_classify(routes, MODEL + path, suffix, named)
    return routes


def _add_classify(routes: APIRouter, path: str, suffix: str, named: Callable[..., Awaitable[Target]]) -> None:
    async def classify_images(
        call: CurrentCall,
        target: Annotated[Target, Depends(named)],
        options: Annotated[ClassifyOptions, Query()],
    ) -> Response:
        return await classify(call, target, options)

    routes.add_api_route(
        f"{path}/images:classify",
        classify_images,
        methods=["POST"],
        tags=["Images"],
        operation_id=f"classify_images{suffix}",
        summary="Classify one image, or several",
        response_model=ImageClassification,
        responses=ERRORS,
        openapi_extra=openapi_bodies.image_body(),
    )


async def classify(call: HttpCall, target: Target, options: ClassifyOptions) -> Response:
    """Classify the images of a request.

    Raises:
        GatewayError: as `Classifier.classify` and `HttpCall.images`; BadRequest for a query parameter that is
            there twice.
    """
    check_once(call.request)
    images = await call.images()
    settings = call.gateway.settings
    limits = Limits(settings.max_images, settings.max_pixels)
    classifier = Classifier(call.ask, limits, call.gateway.repeating)
    found = await classifier.classify(
        target, images, top_k=options.top_k, strict=options.strict, context=call.context
    )
    call.context.images = sum(isinstance(one, ImageClasses) for one in found.predictions)
    warnings = await call.gateway.cards.warnings(found.model, found.version)
    fields = vars(found) | ({"warnings": warnings} if warnings else {})
    return call.respond(ModelResponse(orjson.dumps(fields), found.version))
