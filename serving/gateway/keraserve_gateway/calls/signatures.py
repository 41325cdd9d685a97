"""A model's signatures, and the metadata that they come in."""

from collections.abc import Mapping

from keraserve_gateway import errors
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import ModelCalls
from keraserve_protocol import messages as m
from keraserve_protocol import services

Signatures = Mapping[str, m.SignatureDef]


async def signatures(
    server: ModelCalls, target: Target, context: RequestContext
) -> dict[str, m.SignatureDef]:
    """Ask for the model's signatures."""
    try:
        return dict(m.unpack_signatures(await fetch_metadata(server, target, context)).signature_def)
    except ValueError as error:
        raise errors.InvalidResponse("the model server's metadata has no signatures") from error


def require_signature(known: Signatures, name: str) -> str:
    """Give the name of a signature back.

    Raises:
        BadRequest: there is none of that name; the message says which there are.
    """
    if name not in known:
        raise errors.BadRequest(f"the model has no signature {name!r}; it has {', '.join(sorted(known))}")
    return name


async def has_signature(server: ModelCalls, target: Target, signature: str, context: RequestContext) -> bool:
    """Tell whether the model has a signature of that name."""
    return signature in await signatures(server, target, context)


async def fetch_metadata(
    server: ModelCalls, target: Target, context: RequestContext
) -> m.GetModelMetadataResponse:
    """Ask for a model's metadata: its signatures, and the version that a label or no version means."""
    request = m.GetModelMetadataRequest(model_spec=target.spec(), metadata_field=[m.SIGNATURE_DEF])
    return await server.ask(services.GET_MODEL_METADATA, request, context)
