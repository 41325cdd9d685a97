"""`:predict`: JSON in, tensors to the model server, JSON out. No HTTP in here."""

import asyncio
from collections.abc import Callable

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import request_error, response_error
from keraserve_gateway.calls.offloading import LARGE, offload, run_in_turns
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.calls.signatures import Signatures, require_signature, signatures
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import ModelCalls
from keraserve_protocol import rest, services
from keraserve_protocol.number_text import NumberText, PackedNumbers, Steps, finish
from keraserve_protocol.rest import Prediction

Hold = Callable[[int], None]


def _no_op(_: int) -> None:
    """Count nothing."""


class Predictor:
    """Runs `:predict`. One for a gateway: it remembers signatures, and packs one large list at a time.

    A large list is packed piece by piece in the event loop, where all others have their turn between two
    pieces: a thread would keep Python's lock for a millisecond at a time. What can't be done in pieces is
    done in a thread all the same.

    Args:
        limits: on the tensors of a request.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._remembered: dict[Target, Signatures] = {}
        self._packing = asyncio.Lock()

    async def predict(
        self, server: ModelCalls, target: Target, body: bytes, context: RequestContext, hold: Hold = _no_op
    ) -> ModelResponse:
        """Run `:predict` on a JSON body; the model's signatures say of which dtypes its inputs are.

        They are those that an earlier request found. Another version may have others: what is rejected with
        these is tried with those of now.

        Args:
            server: the model server.
            target: the model.
            body: the JSON.
            context: of the request.
            hold: is told the bytes that the tensors have more than the JSON.

        Raises:
            GatewayError: BadRequest for a body that does not fit, TooLarge for one that holds too much; or
                what the model server answered.
        """

        def more(size: int) -> None:
            if size > len(body):
                hold(size - len(body))

        try:
            large = len(body) > LARGE
            found = rest.find_numbers(body) if large else None
            prediction = found or await offload(context, large, rest.parse_prediction, body)
            known, rejection = self._remembered.get(target), None
            if known is not None:
                try:
                    return await self._predict(server, target, prediction, known, context, more, large=large)
                except (rest.JsonError, errors.BadRequest) as error:
                    rejection = error
            of_now = await signatures(server, target, context)
            if rejection is not None and of_now == known:
                raise rejection
            self._remembered[target] = of_now
            return await self._predict(server, target, prediction, of_now, context, more, large=large)
        except rest.JsonError as error:
            raise request_error(error) from error

    async def _predict(
        self,
        server: ModelCalls,
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
        prediction = await self._alone(packing, context) if large else finish(packing)
        if isinstance(prediction.value, NumberText):  # no regular list, and maybe for another signature
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
        response = await server.ask(services.PREDICT, request, context)
        try:
            body = await offload(
                context, response.ByteSize() > LARGE, rest.predict_response, response, prediction.layout
            )
        except rest.ResponseError as error:
            raise response_error(error) from error
        return ModelResponse(body, response.model_spec.version.value)

    async def _alone(self, packing: Steps[Prediction], context: RequestContext) -> Prediction:
        try:
            async with asyncio.timeout(context.timeout), self._packing:
                return await run_in_turns(packing)
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the deadline passed before all numbers were read") from error
