"""`Gateway`: the objects that all requests share."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from keraserve_gateway import memory_budget
from keraserve_gateway.admission import Admission, Group
from keraserve_gateway.api_keys.keys import Key, Keys
from keraserve_gateway.api_keys.wrong_keys import WrongKeys
from keraserve_gateway.calls.predict_json import Predictor
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import GatewayError, NotFound
from keraserve_gateway.incomplete_bodies import IncompleteBodies
from keraserve_gateway.memory_budget import BodyBytes
from keraserve_gateway.settings import Settings
from keraserve_gateway.statuses import kind
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_gateway.telemetry.tracing import Tracing
from keraserve_gateway.upstream.canary import Canary
from keraserve_gateway.upstream.configured_models import ConfiguredModels
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_gateway.upstream.model_server import ModelServer
from keraserve_protocol.canary import FILE
from keraserve_protocol.memory_limit import limit_of_memory

_MOST_NAMED = 10  # models in a sentence


@dataclass(frozen=True)
class Gateway:
    """The objects of one application."""

    settings: Settings
    server: ModelServer
    configured: ConfiguredModels
    canary: Canary
    admission: Admission
    keys: Keys
    bodies: BodyBytes
    request_limits: RequestLimits
    predictor: Predictor
    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing | None = None
    wrong_keys: WrongKeys = field(default_factory=WrongKeys)
    repeating: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a request's images are sent again one by one: see `Classifier`."""
    incomplete_bodies: IncompleteBodies = field(default_factory=lambda: IncompleteBodies(1 << 30))

    @classmethod
    def of(cls, settings: Settings, server: ModelServer, tracing: Tracing | None = None) -> "Gateway":
        """Make them as the settings say.

        Raises:
            MemoryExceeded: the bodies that the settings allow need more memory than there is.
        """
        configured = ConfiguredModels(settings.model_config_file, settings.models)
        canary_file = settings.canary_file
        if canary_file is None and settings.model_config_file is not None:
            canary_file = settings.model_config_file.with_name(FILE)
        planned = memory_budget.plan(settings, limit_of_memory() // settings.one_of)
        limits = RequestLimits(settings.max_rows, settings.max_elements)
        return cls(
            settings,
            server,
            configured,
            Canary(canary_file, configured),
            Admission(settings.max_in_flight, settings.max_waiting, settings.wait_seconds),
            Keys(settings.keys_file, settings.key_requests_per_second, settings.one_of),
            BodyBytes(planned.bytes),
            limits,
            Predictor(limits),
            tracing=tracing,
            incomplete_bodies=IncompleteBodies(planned.arriving),
        )

    @property
    def cards(self) -> ModelCards:
        """The model cards of the model server's versions."""
        return self.server.cards

    def group(self, model: str, key: Key | None) -> Group:
        """Return the group in which a request shares slots; all unknown models are one."""
        return (model if model in self.configured else "", key.name if key else "")

    def known_models(self, error: GatewayError, context: RequestContext) -> str:
        """Name models that the key may use, where an error is of one that is not configured; else nothing."""
        if not isinstance(error, NotFound) or not context.model or context.model in self.configured:
            return ""
        names = list(filter(context.may_see, self.configured.names))
        if not names:
            return ""
        more = len(names) - _MOST_NAMED
        return f"; known models: {', '.join(names[:_MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")

    def span(
        self, context: RequestContext, name: str, attributes: Mapping[str, str]
    ) -> AbstractContextManager[None]:
        """Return a context that is a request's span, if requests are traced."""
        return self.tracing.request(context, name, attributes) if self.tracing else nullcontext()

    def render_metrics(self) -> bytes:
        """Write the metrics in Prometheus' text format, with the engine's if it is in this process."""
        self.measure()
        return self.metrics.render() + self.server.metrics_page()

    def measure(self) -> None:
        """Set the metrics that are not counted but looked at."""
        self.metrics.in_flight.set(self.admission.in_flight)
        self.metrics.waiting.set(self.admission.waiting)
        self.metrics.model_server_up.set(self.server.is_up)
        shares = self.canary.shares.items()
        self.metrics.set_canaries({model: share for model, share in shares if model in self.configured})

    def observe(self, context: RequestContext, protocol: str, seconds: float) -> None:
        """Count a finished request; only under names of models and versions that exist."""
        # Versions come from labels and responses, so a model with one exists even if it is not configured.
        exists = context.version is not None or (context.model and context.model in self.configured)
        model = context.model if exists else ""
        images = context.images if context.error is None else 0
        self.metrics.observe(protocol, model, context.version_text, context.status, seconds, images)
        if context.error is not None and context.error.origin is None:
            self.metrics.rejected.labels(kind(context.error)).inc()
