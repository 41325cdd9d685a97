"""TensorFlow Serving's REST calls: status, metadata, classify, regress. `:predict` is in `predict_json`."""

import asyncio

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import request_error
from keraserve_gateway.calls.offloading import LARGE, LARGE_EXAMPLES, offload
from keraserve_gateway.calls.signatures import fetch_metadata
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import ModelCalls
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import messages as m
from keraserve_protocol import rest, services


async def status(
    server: ModelCalls, target: Target, cards: ModelCards, context: RequestContext
) -> ModelResponse:
    """Give a model's status as TensorFlow Serving's REST API does, with what versions that answer warn of."""
    if target.label is not None:  # GetModelStatus takes no notice of labels
        resolved = (await fetch_metadata(server, target, context)).model_spec.version.value
        target = Target(target.name, version=resolved)
    request = m.GetModelStatusRequest(model_spec=target.spec())
    response = await server.ask(services.GET_MODEL_STATUS, request, context)
    available = [one.version for one in response.model_version_status if one.state == one.AVAILABLE]
    found = await asyncio.gather(*(cards.warnings(target.name, version) for version in available))
    return ModelResponse(rest.status_response(response, dict(zip(available, found, strict=True))))


async def metadata(server: ModelCalls, target: Target, context: RequestContext) -> ModelResponse:
    """Give a model's signatures as TensorFlow Serving's REST API does."""
    response = await fetch_metadata(server, target, context)
    try:
        return ModelResponse(rest.metadata_response(response), response.model_spec.version.value)
    except rest.JsonError as error:
        raise errors.InvalidResponse(str(error)) from error


async def classify(
    server: ModelCalls, target: Target, body: bytes, most: int, context: RequestContext
) -> ModelResponse:
    """Run `:classify` on a JSON body of `most` examples at most."""
    large = len(body) > LARGE_EXAMPLES
    try:
        request = await offload(context, large, rest.classification_request, body, target.spec(), most)
    except rest.JsonError as error:
        raise request_error(error) from error
    response = await server.ask(services.CLASSIFY, request, context)
    _check_count(request, len(response.result.classifications))
    large = response.ByteSize() > LARGE
    written = await offload(context, large, rest.classification_response, response)
    return ModelResponse(written, response.model_spec.version.value)


async def regress(
    server: ModelCalls, target: Target, body: bytes, most: int, context: RequestContext
) -> ModelResponse:
    """Run `:regress` on a JSON body of `most` examples at most."""
    large = len(body) > LARGE_EXAMPLES
    try:
        request = await offload(context, large, rest.regression_request, body, target.spec(), most)
    except rest.JsonError as error:
        raise request_error(error) from error
    response = await server.ask(services.REGRESS, request, context)
    _check_count(request, len(response.result.regressions))
    return ModelResponse(rest.regression_response(response), response.model_spec.version.value)


def _check_count(request: m.ClassificationRequest | m.RegressionRequest, responses: int) -> None:
    """Hold the number of responses against that of the examples.

    Raises:
        InvalidResponse: there are more or fewer.
    """
    given = request.input
    listed = given.example_list if given.HasField("example_list") else given.example_list_with_context
    if responses != len(listed.examples):
        raise errors.InvalidResponse(
            f"the model server answered {responses} of {len(listed.examples)} examples"
        )
