"""The model card of a version, as its exporter wrote it. No HTTP in here."""

import json
from typing import Any, cast

from keraserve_gateway import errors
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_gateway.upstream.model_cards import card_request, content
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.signatures import MODEL_CARD


async def labels(ask: Ask, target: Target, context: RequestContext) -> list[str]:
    """Give the labels of the model's classes; none if its card does not say.

    Raises:
        GatewayError: as the call.
    """
    try:
        found: Any = json.loads((await card(ask, target, context)).body).get("labels", [])
    except (errors.NotFound, errors.InvalidResponse):
        return []
    return [str(one) for one in cast(list[Any], found)] if isinstance(found, list) else []


async def card(ask: Ask, target: Target, context: RequestContext) -> ModelResponse:
    """Give the card: a JSON object.

    Raises:
        GatewayError: NotFound if the version has no card, InvalidResponse if it is no JSON object; or as
            the call.
    """
    try:
        response = await ask(services.PREDICT, card_request(target.spec(MODEL_CARD)), context)
    except errors.BadRequest as error:  # no such signature, or label
        raise errors.NotFound(f"model {target.name!r} has no card: {error.detail}") from error
    try:
        text, _ = content(response)
    except ValueError as error:
        raise errors.InvalidResponse(f"the card of model {target.name!r} can't be read: {error}") from error
    return ModelResponse(text, m.version_of(response.model_spec))
