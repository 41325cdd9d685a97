"""The routes of TensorFlow Serving's REST API: status, metadata, predict, classify, regress."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from keraserve_gateway.calls import tensorflow_rest
from keraserve_gateway.calls.target import Target
from keraserve_gateway.calls.tensorflow_rest import CLASSIFY, REGRESS, ExamplesVerb
from keraserve_gateway.http import openapi_bodies
from keraserve_gateway.http.dependencies import MODEL, TARGETS, CurrentCall, HttpCall
from keraserve_gateway.http.schemas import tensorflow_rest as schemas

TAG = "TensorFlow Serving"
_ERRORS = openapi_bodies.tensorflow_errors(400, 401, 403, 404, 408, 413, 415, 429, 500, 501, 502, 503, 504)

Named = Callable[..., Awaitable[Target]]


def router() -> APIRouter:
    """Make the routes, each for the newest version, a version and a label."""
    routes = APIRouter(tags=[TAG])
    for path, suffix, named in TARGETS:
        _add_state(routes, MODEL + path, suffix, named)
        _add_predict(routes, MODEL + path, suffix, named)
        _add_examples_verb(routes, MODEL + path, suffix, named, CLASSIFY, schemas.Classes)
        _add_examples_verb(routes, MODEL + path, suffix, named, REGRESS, schemas.Values)
    return routes


async def run(call: HttpCall, target: Target) -> Response:
    """Handle `:predict`; raises as `Predictor.predict`."""
    predict = call.gateway.predictor.predict
    return call.respond(await predict(call.ask, target, await call.body(), call.context, call.hold))


def _add_state(routes: APIRouter, path: str, suffix: str, named: Named) -> None:
    @routes.get(
        path,
        operation_id=f"status{suffix}",
        summary="Status of a model's versions",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.response(schemas.ModelStatus)},
    )
    async def status(call: CurrentCall, target: Annotated[Target, Depends(named)]) -> Response:
        cards = call.gateway.cards
        return call.respond(await tensorflow_rest.status(call.ask, target, cards, call.context))

    @routes.get(
        f"{path}/metadata",
        operation_id=f"metadata{suffix}",
        summary="Signatures of a model",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.response(schemas.ModelMetadata)},
    )
    async def metadata(call: CurrentCall, target: Annotated[Target, Depends(named)]) -> Response:
        return call.respond(await tensorflow_rest.metadata(call.ask, target, call.context))


def _add_predict(routes: APIRouter, path: str, suffix: str, named: Named) -> None:
    @routes.post(
        f"{path}:predict",
        operation_id=f"predict{suffix}",
        summary="Run a signature on tensors",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.response(schemas.Predictions | schemas.Outputs)},
        openapi_extra=openapi_bodies.json_body(schemas.PredictBody),
    )
    async def predict_tensors(call: CurrentCall, target: Annotated[Target, Depends(named)]) -> Response:
        return await run(call, target)


def _add_examples_verb(
    routes: APIRouter, path: str, suffix: str, named: Named, verb: ExamplesVerb, schema: type[BaseModel]
) -> None:
    name = verb.call.name.lower()

    @routes.post(
        f"{path}:{name}",
        operation_id=f"{name}{suffix}",
        summary=f"{verb.call.name} examples",
        response_class=Response,
        responses={**_ERRORS, **openapi_bodies.response(schema)},
        openapi_extra=openapi_bodies.json_body(schemas.ExamplesBody),
    )
    async def run_examples(call: CurrentCall, target: Annotated[Target, Depends(named)]) -> Response:
        body, most = await call.body(), call.gateway.settings.max_rows
        return call.respond(
            await tensorflow_rest.run_examples(call.ask, verb, target, body, most, call.context)
        )
