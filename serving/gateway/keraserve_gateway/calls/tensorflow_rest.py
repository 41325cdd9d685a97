"""TensorFlow Serving's REST calls: status, metadata, classify, regress. `:predict` is in `predict_json`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import gateway_errors
from keraserve_gateway.calls.offloading import LARGE, LARGE_EXAMPLES, offload
from keraserve_gateway.calls.signatures import fetch_metadata
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import messages as m
from keraserve_protocol import rest, services


@dataclass(frozen=True)
class ExamplesVerb:
    """A verb whose requests hold examples; `results` is the field of `result` with one entry for each."""

    call: services.Call[Any, Any]
    parse: Callable[[bytes, m.ModelSpec, int], Any]
    render: Callable[[Any], bytes]
    results: str


CLASSIFY = ExamplesVerb(
    services.CLASSIFY, rest.classification_request, rest.classification_response, "classifications"
)
REGRESS = ExamplesVerb(services.REGRESS, rest.regression_request, rest.regression_response, "regressions")


async def status(ask: Ask, target: Target, cards: ModelCards, context: RequestContext) -> ModelResponse:
    """Give a model's status as TensorFlow Serving's REST API does, with its available versions' warnings."""
    if target == Target(target.name) and context.label is not None:
        target = Target(target.name, label=context.label)
    if target.label is not None:  # GetModelStatus ignores labels
        resolved = m.version_of((await fetch_metadata(ask, target, context)).model_spec)
        if resolved is None:
            raise errors.InvalidResponse("the model server does not say which version the label means")
        target = Target(target.name, version=resolved)
    request = m.GetModelStatusRequest(model_spec=target.spec())
    response = await ask(services.GET_MODEL_STATUS, request, context)
    available = [one.version for one in response.model_version_status if one.state == one.AVAILABLE]
    found = await asyncio.gather(*(cards.warnings(target.name, version) for version in available))
    return ModelResponse(rest.status_response(response, dict(zip(available, found, strict=True))))


async def metadata(ask: Ask, target: Target, context: RequestContext) -> ModelResponse:
    """Give a model's signatures as TensorFlow Serving's REST API does."""
    response = await fetch_metadata(ask, target, context)
    try:
        return ModelResponse(rest.metadata_response(response), m.version_of(response.model_spec))
    except rest.JsonError as error:
        raise errors.InvalidResponse(str(error)) from error


async def run_examples(
    ask: Ask, verb: ExamplesVerb, target: Target, body: bytes, most: int, context: RequestContext
) -> ModelResponse:
    """Run `:classify` or `:regress` on a JSON body of `most` examples at most.

    Raises:
        GatewayError: BadRequest or TooLarge for the body; InvalidResponse if there are more or fewer results
            than examples; or as the call.
    """
    with gateway_errors():
        large = len(body) > LARGE_EXAMPLES
        request = await offload(context, large, verb.parse, body, target.spec(), most)
    response = await ask(verb.call, request, context)
    given = request.input
    listed = given.example_list if given.HasField("example_list") else given.example_list_with_context
    found, expected = len(getattr(response.result, verb.results)), len(listed.examples)
    if found != expected:
        raise errors.InvalidResponse(f"the model server returned {found} results for {expected} examples")
    written = await offload(context, response.ByteSize() > LARGE, verb.render, response)
    return ModelResponse(written, m.version_of(response.model_spec))
