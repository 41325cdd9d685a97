"""Runs `:predict`: JSON in, tensors to the model server, JSON out. No HTTP in here."""

import asyncio
from collections.abc import Callable

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import gateway_errors
from keraserve_gateway.calls.offloading import LARGE, is_large, offload, run_in_turns
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.calls.signatures import Signatures, require_signature, signatures
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import messages as m
from keraserve_protocol import rest, services
from keraserve_protocol.number_text import NumberText, PackedNumbers, Steps, finish
from keraserve_protocol.rest import Prediction

Hold = Callable[[int], None]


class Predictor:
    """Runs `:predict`. One for a gateway: it remembers signatures, and packs one large list at a time.

    A large list is packed piece by piece in the event loop, where other requests proceed between two pieces:
    a thread would hold Python's lock for a millisecond at a time. All other large bodies go to a thread.

    Args:
        limits: on the tensors of a request.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._remembered: dict[Target, Signatures] = {}
        self._packing = asyncio.Lock()

    async def predict(
        self, ask: Ask, target: Target, body: bytes, context: RequestContext, hold: Hold
    ) -> ModelResponse:
        """Run `:predict` on a JSON body; the dtypes of inputs are those of the model's signatures.

        Signatures are remembered from an earlier request. Another version may have others: a request that is
        rejected with the remembered ones is repeated if the current ones differ.

        Args:
            ask: makes a call of the model server.
            target: the model.
            body: the JSON.
            context: of the request.
            hold: gets the number of bytes by which the tensors are longer than the JSON.

        Raises:
            GatewayError: BadRequest for a body that does not fit, TooLarge for one that holds too much; or
                as the call.
        """

        def more(size: int) -> None:
            if size > len(body):
                hold(size - len(body))

        with gateway_errors():
            large = len(body) > LARGE
            found = rest.find_numbers(body) if large else None
            prediction = found or await offload(context, large, rest.parse_prediction, body)
            known, rejection = self._remembered.get(target), None
            if known is not None:
                try:
                    return await self._predict(ask, target, prediction, known, context, more, large=large)
                except (rest.JsonError, errors.BadRequest) as error:
                    rejection = error
            current = await signatures(ask, target, context)
            if rejection is not None and current == known:
                raise rejection
            self._remembered[target] = current
            return await self._predict(ask, target, prediction, current, context, more, large=large)

    async def _predict(
        self,
        ask: Ask,
        target: Target,
        prediction: Prediction,
        known: Signatures,
        context: RequestContext,
        built: Hold,
        *,
        large: bool,
    ) -> ModelResponse:
        inputs = dict(known[require_signature(known, prediction.signature)].inputs)
        packing = rest.pack(prediction, inputs)
        prediction = await self._pack(packing, context) if large else finish(packing)
        if isinstance(prediction.value, NumberText):  # no regular list, and maybe another signature
            prediction = await offload(context, large, rest.parse_whole, prediction.value.body)
            inputs = dict(known[require_signature(known, prediction.signature)].inputs)
        numbers = isinstance(prediction.value, PackedNumbers)
        request = await offload(
            context, large and not numbers, rest.predict_request, prediction, inputs, target.spec()
        )
        self._limits.check(request.inputs, inputs)
        built(request.ByteSize())
        if large:
            await asyncio.sleep(0)  # the message holds a copy of all numbers, and the call makes another
        response = await ask(services.PREDICT, request, context)
        with gateway_errors():
            body = await offload(
                context, is_large(response), rest.predict_response, response, prediction.layout
            )
        return ModelResponse(body, m.version_of(response.model_spec))

    async def _pack(self, packing: Steps[Prediction], context: RequestContext) -> Prediction:
        try:
            async with asyncio.timeout(context.timeout), self._packing:
                return await run_in_turns(packing)
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the deadline passed before all numbers were read") from error
