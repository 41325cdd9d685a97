"""What the gateway's calls do. No HTTP in here: bytes and values in, bytes and values out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keraserve_gateway import errors
from keraserve_gateway.admission import Admission
from keraserve_gateway.calls.aside import LARGE, LARGE_EXAMPLES, aside
from keraserve_gateway.deadline import Deadline, Trip
from keraserve_gateway.upstream.configured import ConfiguredModel, ConfiguredModels
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_gateway.upstream.model_server import ModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import rest

CLASSIFY = "classify"


@dataclass(frozen=True)
class Target:
    """The model that a request names: its newest version, a version, or the version behind a label."""

    name: str
    version: int | None = None
    label: str | None = None

    def spec(self, signature: str = "") -> m.ModelSpec:
        """Write it as the protocol does."""
        return m.model_spec(self.name, version=self.version, label=self.label, signature=signature)


@dataclass(frozen=True)
class Answer:
    """A finished JSON body, and the version that gave it where the model server says which (else 0)."""

    body: bytes
    version: int = 0


@dataclass(frozen=True)
class VersionState:
    """One version of a model: its state as TensorFlow Serving names it, and why it failed, if it did."""

    version: int
    state: str
    error: str
    warnings: tuple[str, ...] | None = None
    """What its exporter warns of; None where there is nothing, or nobody asked."""


@dataclass(frozen=True)
class ModelState:
    """A configured model: its versions, newest first, and its labels."""

    name: str
    versions: tuple[VersionState, ...]
    labels: dict[str, int]

    @property
    def available(self) -> bool:
        """Whether a version answers."""
        return any(version.state == "AVAILABLE" for version in self.versions)


async def list_models(server: ModelServer, configured: ConfiguredModels, trip: Trip) -> list[ModelState]:
    """List every configured model with its state; one that isn't loaded yet has no versions."""
    return list(await asyncio.gather(*(_state(server, model, trip) for model in configured.read())))


async def with_warnings(models: Sequence[ModelState], cards: ModelCards) -> list[ModelState]:
    """Give the same models with what their versions that answer warn of."""

    async def asked(model: ModelState, version: VersionState) -> VersionState:
        if version.state != "AVAILABLE":
            return version
        return replace(version, warnings=await cards.warnings(model.name, version.version) or None)

    return [
        replace(model, versions=tuple(await asyncio.gather(*(asked(model, one) for one in model.versions))))
        for model in models
    ]


PROBE_SECONDS = 2.0  # a probe that waits longer is counted as failed by whoever asks


async def unready(
    server: ModelServer, configured: ConfiguredModels, admission: Admission, request_id: str
) -> list[str]:
    """Say what keeps the gateway from serving every model: one sentence each, none when all is well."""
    reasons = ["the gateway is stopping"] if admission.draining else []
    try:
        models = await list_models(server, configured, Trip(Deadline.after(PROBE_SECONDS), request_id))
    except errors.GatewayError as error:
        return [*reasons, error.detail]
    if not models:
        reasons.append("no model is configured: set model_config_file or models")
    return reasons + [f"model {one.name!r} has no available version" for one in models if not one.available]


async def status(server: ModelServer, target: Target, cards: ModelCards, trip: Trip) -> Answer:
    """Give a model's status as TensorFlow Serving's REST API does, with what versions that answer warn of."""
    if target.label is not None:  # GetModelStatus takes no notice of labels
        resolved = (await _metadata(server, target, trip)).model_spec.version.value
        target = Target(target.name, version=resolved)
    request = m.GetModelStatusRequest(model_spec=target.spec())
    response = await server.status(request, trip.timeout, trip.metadata)
    available = [one.version for one in response.model_version_status if one.state == one.AVAILABLE]
    found = await asyncio.gather(*(cards.warnings(target.name, version) for version in available))
    return Answer(rest.status_answer(response, dict(zip(available, found, strict=True))))


async def metadata(server: ModelServer, target: Target, trip: Trip) -> Answer:
    """Give a model's signatures as TensorFlow Serving's REST API does."""
    response = await _metadata(server, target, trip)
    try:
        return Answer(rest.metadata_answer(response), response.model_spec.version.value)
    except rest.JsonError as error:
        raise errors.BadAnswer(str(error)) from error


async def classify(server: ModelServer, target: Target, body: bytes, most: int, trip: Trip) -> Answer:
    """Run `:classify` on a JSON body of `most` examples at most."""
    large = len(body) > LARGE_EXAMPLES
    try:
        request = await aside(trip, large, rest.classification_request, body, target.spec(), most)
    except rest.JsonError as error:
        raise refused(error) from error
    response = await server.classify(request, trip.timeout, trip.metadata)
    check_count(request, len(response.result.classifications))
    large = response.ByteSize() > LARGE
    answer = await aside(trip, large, rest.classification_answer, response)
    return Answer(answer, response.model_spec.version.value)


async def regress(server: ModelServer, target: Target, body: bytes, most: int, trip: Trip) -> Answer:
    """Run `:regress` on a JSON body of `most` examples at most."""
    large = len(body) > LARGE_EXAMPLES
    try:
        request = await aside(trip, large, rest.regression_request, body, target.spec(), most)
    except rest.JsonError as error:
        raise refused(error) from error
    response = await server.regress(request, trip.timeout, trip.metadata)
    check_count(request, len(response.result.regressions))
    return Answer(rest.regression_answer(response), response.model_spec.version.value)


def check_count(request: m.ClassificationRequest | m.RegressionRequest, answers: int) -> None:
    """Hold the number of answers against that of the examples.

    Raises:
        BadAnswer: there are more or fewer.
    """
    given = request.input
    listed = given.example_list if given.HasField("example_list") else given.example_list_with_context
    if answers != len(listed.examples):
        raise errors.BadAnswer(f"the model server answered {answers} of {len(listed.examples)} examples")


def refused(error: rest.JsonError) -> errors.GatewayError:
    """Make our error of a body that can't be read, or holds too much."""
    return (errors.TooLarge if isinstance(error, rest.TooMuchError) else errors.BadRequest)(str(error))


def unwritten(error: rest.AnswerError) -> errors.GatewayError:
    """Make our error of an answer that is none, or has no form in JSON."""
    return (errors.NoJsonForm if isinstance(error, rest.FormError) else errors.BadAnswer)(str(error))


Signatures = Mapping[str, m.SignatureDef]


async def signatures(server: ModelServer, target: Target, trip: Trip) -> dict[str, m.SignatureDef]:
    """Ask for the model's signatures."""
    try:
        return dict(m.unpack_signatures(await _metadata(server, target, trip)).signature_def)
    except ValueError as error:
        raise errors.BadAnswer("the model server's metadata has no signatures") from error


def existing(known: Signatures, name: str) -> str:
    """Give the name of a signature back.

    Raises:
        BadRequest: there is none of that name; the message says which there are.
    """
    if name not in known:
        raise errors.BadRequest(f"the model has no signature {name!r}; it has {', '.join(sorted(known))}")
    return name


async def has_signature(server: ModelServer, target: Target, signature: str, trip: Trip) -> bool:
    """Tell whether the model has a signature of that name."""
    return signature in await signatures(server, target, trip)


async def _state(server: ModelServer, model: ConfiguredModel, trip: Trip) -> ModelState:
    request = m.GetModelStatusRequest(model_spec=m.model_spec(model.name))
    try:
        response = await server.status(request, trip.timeout, trip.metadata)
        found: Sequence[m.ModelVersionStatus] = response.model_version_status
    except errors.NotFound:  # configured, and not loaded yet
        found = ()
    versions = [
        VersionState(one.version, rest.state_name(one.state), one.status.error_message) for one in found
    ]
    versions.sort(key=lambda one: one.version, reverse=True)
    return ModelState(model.name, tuple(versions), model.labels)


async def _metadata(server: ModelServer, target: Target, trip: Trip) -> m.GetModelMetadataResponse:
    request = m.GetModelMetadataRequest(model_spec=target.spec(), metadata_field=[m.SIGNATURE_DEF])
    return await server.metadata(request, trip.timeout, trip.metadata)
