"""Fetches a model's signatures, and the metadata that they come in."""

from collections.abc import Mapping

from keraserve_gateway import errors
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import messages as m
from keraserve_protocol import services

Signatures = Mapping[str, m.SignatureDef]


async def signatures(ask: Ask, target: Target, context: RequestContext) -> dict[str, m.SignatureDef]:
    """Fetch the model's signatures.

    Raises:
        InvalidResponse: the model server's metadata has none.
    """
    try:
        return dict(m.unpack_signatures(await fetch_metadata(ask, target, context)).signature_def)
    except ValueError as error:
        raise errors.InvalidResponse("the model server's metadata has no signatures") from error


def require_signature(known: Signatures, name: str) -> str:
    """Return the name of a signature if there is one.

    Raises:
        BadRequest: there is none of that name; the message says which there are.
    """
    if name not in known:
        raise errors.BadRequest(f"the model has no signature {name!r}; it has {', '.join(sorted(known))}")
    return name


async def fetch_metadata(ask: Ask, target: Target, context: RequestContext) -> m.GetModelMetadataResponse:
    """Fetch a model's metadata: its signatures, and the version that a label or no version means."""
    request = m.GetModelMetadataRequest(model_spec=target.spec(), metadata_field=[m.SIGNATURE_DEF])
    return await ask(services.GET_MODEL_METADATA, request, context)
