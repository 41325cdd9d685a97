"""The Open Inference Protocol v2 on TensorFlow Serving's calls. No HTTP in here."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import request_error, response_error
from keraserve_gateway.calls.offloading import LARGE, offload
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.calls.signatures import require_signature, signatures
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import ModelCalls
from keraserve_protocol import messages as m
from keraserve_protocol import open_inference, open_inference_responses, services
from keraserve_protocol.json_text import JsonError, ResponseError
from keraserve_protocol.open_inference import Inference
from keraserve_protocol.open_inference_tensors import datatype_of
from keraserve_protocol.rest import some
from keraserve_protocol.signatures import DEFAULT_SIGNATURE


@dataclass(frozen=True)
class InferResponse:
    """The body of a response, how many bytes of it are JSON (None: all), and the version that gave it."""

    body: bytes
    header_length: int | None
    version: int


async def infer(
    server: ModelCalls,
    target: Target,
    body: bytes,
    header_length: int | None,
    limits: RequestLimits,
    context: RequestContext,
) -> InferResponse:
    """Run an `infer` request: `header_length` bytes of the body are JSON, or all.

    The signature is the one that the parameter `signature_name` names, else the one with exactly the inputs
    that were sent, `serving_default` before others.
    """
    try:
        inference = await offload(context, len(body) > LARGE, open_inference.parse, body, header_length)
    except JsonError as error:
        raise request_error(error) from error
    if inference.timeout is not None:
        context.limit_time(inference.timeout)
    known = _usable(await signatures(server, target, context))
    name = _chosen(known, inference)
    _check(known[name], name, inference)
    limits.check(inference.inputs, known[name].inputs)
    request = m.PredictRequest(
        model_spec=target.spec(name), inputs=inference.inputs, output_filter=list(inference.outputs)
    )
    response = await server.ask(services.PREDICT, request, context)
    return await offload(context, response.ByteSize() > LARGE, _infer_response, inference, response)


async def describe(
    server: ModelCalls, target: Target, signature: str, context: RequestContext
) -> ModelResponse:
    """Give a model's metadata: one signature, `serving_default` if none is named."""
    states, known = await asyncio.gather(
        server.ask(
            services.GET_MODEL_STATUS, m.GetModelStatusRequest(model_spec=m.model_spec(target.name)), context
        ),
        signatures(server, target, context),
    )
    known = _usable(known)
    name = require_signature(known, signature or DEFAULT_SIGNATURE)
    serving = sorted(one.version for one in states.model_version_status if one.state == one.AVAILABLE)
    return ModelResponse(open_inference_responses.model_metadata(target.name, serving, known[name]))


def _infer_response(inference: Inference, response: m.PredictResponse) -> InferResponse:
    try:
        reply = open_inference_responses.reply(inference, response)
    except ResponseError as error:
        raise response_error(error) from error
    length = len(reply.header) if reply.data else None
    return InferResponse(b"".join((reply.header, *reply.data)), length, response.model_spec.version.value)


def _usable(known: dict[str, m.SignatureDef]) -> dict[str, m.SignatureDef]:
    """Leave out what TensorFlow keeps among the signatures to start a model: `__saved_model_init_op`."""
    return {name: signature for name, signature in known.items() if not name.startswith("__")}


def _chosen(known: dict[str, m.SignatureDef], inference: Inference) -> str:
    if inference.signature is not None:
        return require_signature(known, inference.signature)
    given = inference.inputs.keys()
    fitting = [name for name in sorted(known) if known[name].inputs.keys() == given]
    if DEFAULT_SIGNATURE in fitting:
        return DEFAULT_SIGNATURE
    if len(fitting) == 1:
        return fitting[0]
    said = f"{open_inference.SIGNATURE!r} names the signature"
    if fitting:
        raise errors.BadRequest(f"{', '.join(fitting)} have these inputs; the parameter {said}")
    takes = "; ".join(f"{name} takes {_listed(known[name].inputs)}" for name in sorted(known))
    raise errors.BadRequest(f"no signature has exactly the inputs {_listed(given)}: {takes}")


def _listed(names: Iterable[str]) -> str:
    return some(sorted(names)) or "none"


def _check(signature: m.SignatureDef, name: str, inference: Inference) -> None:
    """Compare the inputs with the signature (one that is missing may have a default).

    Not their shapes: what a signature declares need not be what the graph takes, and the model server knows.
    """
    for alias, tensor in inference.inputs.items():
        if alias not in signature.inputs:
            takes = _listed(signature.inputs)
            raise errors.BadRequest(f"signature {name!r} has no input {alias!r}; it takes {takes}")
        info = signature.inputs[alias]
        if tensor.dtype != info.dtype:
            given, taken = datatype_of(tensor.dtype), datatype_of(info.dtype)
            raise errors.BadRequest(f"input {alias!r} is {given}, signature {name!r} takes {taken}")
    for alias in inference.outputs:
        if alias not in signature.outputs:
            gives = _listed(signature.outputs)
            raise errors.BadRequest(f"signature {name!r} has no output {alias!r}; it gives {gives}")
