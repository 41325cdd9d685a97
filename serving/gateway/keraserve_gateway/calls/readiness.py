"""The states of the configured models, and whether all of them are served."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keraserve_gateway import errors
from keraserve_gateway.admission import Admission
from keraserve_gateway.context import Deadline, RequestContext
from keraserve_gateway.upstream.configured_models import ConfiguredModel, ConfiguredModels
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import messages as m
from keraserve_protocol import rest, services

PROBE_SECONDS = 2.0  # those who probe count a longer wait as a failure


@dataclass(frozen=True)
class VersionState:
    """One version of a model: its state as TensorFlow Serving names it, and why it failed, if it did."""

    version: int
    state: str
    error: str
    warnings: tuple[str, ...] | None = None
    """What its exporter warns of; None where there is nothing, or where it was not fetched."""


@dataclass(frozen=True)
class ModelState:
    """A configured model: its versions, newest first, and its labels."""

    name: str
    versions: tuple[VersionState, ...]
    labels: dict[str, int]

    @property
    def available(self) -> bool:
        """Whether a version is served."""
        return any(version.state == "AVAILABLE" for version in self.versions)


async def list_models(ask: Ask, configured: ConfiguredModels, context: RequestContext) -> list[ModelState]:
    """List every configured model with its state; one that isn't loaded yet has no versions."""
    return list(await asyncio.gather(*(_state(ask, model, context) for model in configured.read())))


async def with_warnings(models: Sequence[ModelState], cards: ModelCards) -> list[ModelState]:
    """Return the same models with the warnings of their available versions."""

    async def warned(model: ModelState, version: VersionState) -> VersionState:
        if version.state != "AVAILABLE":
            return version
        return replace(version, warnings=await cards.warnings(model.name, version.version) or None)

    return [
        replace(model, versions=tuple(await asyncio.gather(*(warned(model, one) for one in model.versions))))
        for model in models
    ]


async def unready_reasons(
    ask: Ask, configured: ConfiguredModels, admission: Admission, request_id: str
) -> list[str]:
    """Say what keeps the gateway from serving every model: one sentence each, none when all is well."""
    reasons = ["the gateway is stopping"] if admission.draining else []
    try:
        context = RequestContext(Deadline.after(PROBE_SECONDS), request_id)
        models = await list_models(ask, configured, context)
    except errors.GatewayError as error:
        return [*reasons, error.detail]
    if not models:
        reasons.append("no model is configured: set model_config_file or models")
    return reasons + [f"model {one.name!r} has no available version" for one in models if not one.available]


async def _state(ask: Ask, model: ConfiguredModel, context: RequestContext) -> ModelState:
    request = m.GetModelStatusRequest(model_spec=m.model_spec(model.name))
    try:
        response = await ask(services.GET_MODEL_STATUS, request, context)
        found: Sequence[m.ModelVersionStatus] = response.model_version_status
    except errors.NotFound:  # configured, and not loaded yet
        found = ()
    versions = [
        VersionState(one.version, rest.state_name(one.state), one.status.error_message) for one in found
    ]
    versions.sort(key=lambda one: one.version, reverse=True)
    return ModelState(model.name, tuple(versions), model.labels)
