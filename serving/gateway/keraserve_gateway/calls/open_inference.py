"""The Open Inference Protocol v2 on TensorFlow Serving's calls. No HTTP in here."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from keraserve_gateway import errors
from keraserve_gateway.calls.json_errors import gateway_errors
from keraserve_gateway.calls.offloading import LARGE, is_large, offload
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.calls.signatures import require_signature, signatures
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import messages as m
from keraserve_protocol import open_inference, open_inference_responses, services
from keraserve_protocol.open_inference import Inference
from keraserve_protocol.open_inference_tensors import datatype_of
from keraserve_protocol.rest import some
from keraserve_protocol.signatures import DEFAULT_SIGNATURE


@dataclass(frozen=True)
class InferResponse:
    """The body of a response, how many of its bytes are JSON (None: all), and the version that gave it."""

    body: bytes
    header_length: int | None
    version: int | None


async def infer(
    ask: Ask,
    target: Target,
    body: bytes,
    header_length: int | None,
    limits: RequestLimits,
    context: RequestContext,
) -> InferResponse:
    """Run an `infer` request: the first `header_length` bytes of the body are JSON, or all of them.

    The signature is the one that the parameter `signature_name` names; else the one with exactly the inputs
    that were sent, where `serving_default` comes first.

    Raises:
        GatewayError: BadRequest or TooLarge for a body that does not fit; or as the calls.
    """
    with gateway_errors():
        inference = await offload(context, len(body) > LARGE, open_inference.parse, body, header_length)
    if inference.timeout is not None:
        context.limit_time(inference.timeout)
    known = _usable(await signatures(ask, target, context))
    name = _chosen(known, inference)
    _check(known[name], name, inference)
    limits.check(inference.inputs, known[name].inputs)
    request = m.PredictRequest(
        model_spec=target.spec(name), inputs=inference.inputs, output_filter=list(inference.outputs)
    )
    response = await ask(services.PREDICT, request, context)
    return await offload(context, is_large(response), _infer_response, inference, response)


async def describe(ask: Ask, target: Target, signature: str, context: RequestContext) -> ModelResponse:
    """Give a model's metadata: one signature, `serving_default` if none is named."""
    request = m.GetModelStatusRequest(model_spec=m.model_spec(target.name))
    states, known = await asyncio.gather(
        ask(services.GET_MODEL_STATUS, request, context), signatures(ask, target, context)
    )
    known = _usable(known)
    name = require_signature(known, signature or DEFAULT_SIGNATURE)
    serving = sorted(one.version for one in states.model_version_status if one.state == one.AVAILABLE)
    return ModelResponse(open_inference_responses.model_metadata(target.name, serving, known[name]))


def _infer_response(inference: Inference, response: m.PredictResponse) -> InferResponse:
    with gateway_errors():
        reply = open_inference_responses.reply(inference, response)
    length = len(reply.header) if reply.data else None
    return InferResponse(b"".join((reply.header, *reply.data)), length, m.version_of(response.model_spec))


def _usable(known: dict[str, m.SignatureDef]) -> dict[str, m.SignatureDef]:
    """Leave out `__saved_model_init_op`, which TensorFlow keeps among the signatures to start a model."""
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
    if fitting:
        parameter = f"the parameter {open_inference.SIGNATURE!r} names the signature"
        raise errors.BadRequest(f"{', '.join(fitting)} have these inputs; {parameter}")
    takes = "; ".join(f"{name} takes {_listed(known[name].inputs)}" for name in sorted(known))
    raise errors.BadRequest(f"no signature has exactly the inputs {_listed(given)}: {takes}")


def _listed(names: Iterable[str]) -> str:
    return some(sorted(names)) or "none"


def _check(signature: m.SignatureDef, name: str, inference: Inference) -> None:
    """Compare names and dtypes with the signature (an input that is missing may have a default).

    Shapes are left to the model server: a graph may take other ones than its signature declares.
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
