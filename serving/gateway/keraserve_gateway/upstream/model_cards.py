"""What versions say of themselves that everybody who sees their answers has to know.

A version that `keraserve-train export` wrote has a signature `model_card` that gives its card as JSON. It is
asked once for each version, beside the requests; whoever has none, or doesn't answer, has no warnings.
"""

import asyncio
import json
import time
from typing import Any, cast

import structlog

from keraserve_gateway import errors
from keraserve_gateway.upstream.card_signature import ASK_SECONDS, OUTPUT, SIGNATURE
from keraserve_gateway.upstream.model_server import ModelServer
from keraserve_protocol import elements
from keraserve_protocol import messages as m

log = structlog.get_logger()

FIRST_SECONDS = 0.25  # that the first request for a version waits for it, at most
AGAIN_SECONDS = 30.0  # until a model server that was away is asked again
_MOST = 1024  # versions that are remembered
_BYTES, _WARNINGS, _LETTERS = 1 << 20, 20, 500  # of a card, and of one warning

Version = tuple[str, int]
Warnings = tuple[str, ...]


class ModelCards:
    """The warnings of every version that was asked for. To be used inside one event loop.

    Args:
        server: the model server.
    """

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._known: dict[Version, Warnings] = {}
        self._asking: dict[Version, asyncio.Task[None]] = {}
        self._not_before: dict[Version, float] = {}

    def known(self, model: str, version: int) -> Warnings | None:
        """Give the warnings of a version; None where it hasn't been asked for yet."""
        return self._known.get((model, version))

    async def warnings(self, model: str, version: int) -> Warnings:
        """Give the warnings of a version, asking for them where need be; none while they are not known.

        Waits `FIRST_SECONDS` at most, and for a version that doesn't answer, not again for a while.
        """
        key = model, version
        if (found := self._known.get(key)) is not None:
            return found
        if version < 1 or time.monotonic() < self._not_before.get(key, 0.0):
            return ()
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(key))
        await asyncio.wait({task}, timeout=FIRST_SECONDS)
        if not task.done():
            self._not_before[key] = time.monotonic() + ASK_SECONDS
        return self._known.get(key, ())

    async def _ask(self, key: Version) -> None:
        model, version = key
        request = m.PredictRequest(
            model_spec=m.model_spec(model, version=version, signature=SIGNATURE), output_filter=[OUTPUT]
        )
        try:
            response = await self._server.predict(request, ASK_SECONDS)
            given = OUTPUT in response.outputs  # to look it up would make one
            self._keep(key, _warnings(response.outputs[OUTPUT]) if given else ())
        except (errors.BadRequest, errors.NotImplementedThere, errors.BadAnswer):
            self._keep(key, ())  # a version without a card
        except errors.GatewayError as error:
            self._not_before[key] = time.monotonic() + AGAIN_SECONDS
            log.info("no model card", model=model, version=version, reason=error.detail)
        except (ValueError, RecursionError, elements.TensorError) as error:
            log.warning("a model card can't be read", model=model, version=version, reason=str(error))
            self._keep(key, ())
        finally:
            del self._asking[key]

    def _keep(self, key: Version, found: Warnings) -> None:
        self._not_before.pop(key, None)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = found


def _warnings(tensor: m.TensorProto) -> Warnings:
    """Read a card.

    Raises:
        ValueError, TensorError: it is none.
    """
    [content] = elements.unpack(tensor)
    if not isinstance(content, bytes) or len(content) > _BYTES:
        raise ValueError(f"it is no text of at most {_BYTES} bytes")
    card: Any = json.loads(content)
    found: Any = cast(dict[str, Any], card).get("warnings", []) if isinstance(card, dict) else None
    if not isinstance(found, list):
        raise ValueError("its warnings are no list")
    sentences = cast(list[Any], found)[:_WARNINGS]
    return tuple(one[:_LETTERS] for one in sentences if isinstance(one, str))
