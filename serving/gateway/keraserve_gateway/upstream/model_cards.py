"""The model cards of versions: warnings for readers of the responses, and whether rows are independent.

A version that `keraserve-train export` wrote has a signature `model_card` that returns its card as JSON. The
gateway requests it once, in the background. A version without a card, or that does not respond, has no
warnings, and its rows are not known to be independent.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any, cast

import structlog

from keraserve_gateway import errors
from keraserve_gateway.context import Deadline, PlainCallContext
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import elements, services
from keraserve_protocol import messages as m
from keraserve_protocol.signatures import CARD_OUTPUT, MODEL_CARD

log = structlog.get_logger()

ASK_SECONDS = 5.0  # for a response
FIRST_SECONDS = 0.25  # that a request waits for a version's card, at most
AGAIN_SECONDS = 30.0  # until a model server that was unavailable gets the next request
_MOST = 1024  # versions that are remembered
_BYTES, _WARNINGS, _LETTERS = 1 << 20, 20, 500  # of a card, and of one warning

Version = tuple[str, int]
Warnings = tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What the gateway uses of a card; the defaults where there is none.

    Attributes:
        warnings: sentences for readers of the version's responses.
        independent_rows: a measurement gave each row of a batch the result that it has alone.
    """

    warnings: Warnings = ()
    independent_rows: bool = False


_NONE = Card()


class ModelCards:
    """The cards of all versions. For one event loop.

    Args:
        ask: makes a call of the model server.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[Version, Card] = {}
        self._fetching: dict[Version, asyncio.Task[None]] = {}
        self._not_before: dict[Version, float] = {}

    def independent_rows(self, model: str, version: int) -> bool:
        """Tell whether a version's rows are known to be independent; fetches the card in the background."""
        found = self._known.get((model, version))
        if found is None:
            self._fetch_once((model, version))
        return found is not None and found.independent_rows

    async def warnings(self, model: str, version: int) -> Warnings:
        """Return the warnings of a version; none while they are not known.

        Waits `FIRST_SECONDS` at most for the card, and if it does not come, not again for `ASK_SECONDS`.
        """
        key = model, version
        if (found := self._known.get(key)) is not None:
            return found.warnings
        task = self._fetch_once(key)
        if task is None:
            return ()
        await asyncio.wait({task}, timeout=FIRST_SECONDS)
        if not task.done():
            self._not_before[key] = time.monotonic() + ASK_SECONDS
        return self._known.get(key, _NONE).warnings

    def _fetch_once(self, key: Version) -> asyncio.Task[None] | None:
        """Return the task that fetches a card; None if it is too early to ask again."""
        if time.monotonic() < self._not_before.get(key, 0.0):
            return None
        if key not in self._fetching:
            self._fetching[key] = asyncio.create_task(self._fetch(key))
        return self._fetching[key]

    async def _fetch(self, key: Version) -> None:
        model, version = key
        request = card_request(m.model_spec(model, version=version, signature=MODEL_CARD))
        try:
            context = PlainCallContext(Deadline.after(ASK_SECONDS))
            response = await self._ask(services.PREDICT, request, context)
            self._keep(key, _read(response) if CARD_OUTPUT in response.outputs else _NONE)
        except (errors.BadRequest, errors.CallNotImplemented, errors.InvalidResponse):
            self._keep(key, _NONE)  # a version without a card
        except errors.GatewayError as error:
            self._not_before[key] = time.monotonic() + AGAIN_SECONDS
            log.info("no model card", model=model, version=version, reason=error.detail)
        except ValueError as error:
            log.warning("a model card can't be read", model=model, version=version, reason=str(error))
            self._keep(key, _NONE)
        finally:
            del self._fetching[key]

    def _keep(self, key: Version, found: Card) -> None:
        self._not_before.pop(key, None)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[key] = found


def card_request(spec: m.ModelSpec) -> m.PredictRequest:
    """Make the request for a card; `spec` names the signature `MODEL_CARD`."""
    return m.PredictRequest(model_spec=spec, output_filter=[CARD_OUTPUT])


def content(response: m.PredictResponse) -> tuple[bytes, dict[str, Any]]:
    """Return the text of a card and its fields.

    Raises:
        ValueError: it is no card.
    """
    if CARD_OUTPUT not in response.outputs:  # reading a key that is missing would add it
        raise ValueError(f"there is no output {CARD_OUTPUT!r}")
    try:
        [text] = elements.unpack(response.outputs[CARD_OUTPUT])
        if not isinstance(text, bytes) or len(text) > _BYTES:
            raise ValueError(f"it is no text of at most {_BYTES} bytes")
        card: Any = json.loads(text)
    except (elements.TensorError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(card, dict):
        raise ValueError("it is no JSON object")
    return text, cast(dict[str, Any], card)


def _read(response: m.PredictResponse) -> Card:
    _, fields = content(response)
    found: Any = fields.get("warnings", [])
    if not isinstance(found, list):
        raise ValueError("its warnings are no list")
    sentences = cast(list[Any], found)[:_WARNINGS]
    warnings = tuple(one[:_LETTERS] for one in sentences if isinstance(one, str))
    return Card(warnings, fields.get("independent_rows") is True)
