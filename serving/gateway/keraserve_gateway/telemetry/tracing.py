"""An OpenTelemetry span for every request, if that is installed and an OTLP endpoint is set.

Otherwise the caller's `traceparent` is passed to the model server unchanged.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from keraserve_gateway.context import RequestContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE = "keraserve-gateway"


class Tracing:
    """Makes spans.

    Args:
        provider: samples and exports them.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_SERVICE, version(_SERVICE))

    @contextmanager
    def request(self, context: RequestContext, name: str, attributes: Mapping[str, str]) -> Generator[None]:
        """Hold a span around a request; its context is sent to the model server and to the caller."""
        from opentelemetry import propagate, trace

        parent = propagate.extract(dict(context.trace))
        kind = trace.SpanKind.SERVER
        with self._tracer.start_as_current_span(name, parent, kind, attributes) as span:
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            context.trace = tuple(sorted(carrier.items()))
            try:
                yield
            finally:
                span.set_attributes(context.span_attributes())
                if context.failed:
                    span.set_status(trace.StatusCode.ERROR)

    def close(self) -> None:
        """Export the spans that are left."""
        self._provider.shutdown()


def from_environment(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Set up tracing if an OTLP endpoint is set; the library reads the other variables itself."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or not any(environment.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        structlog.get_logger().warning(
            "an OTLP endpoint is set, but OpenTelemetry is missing: install keraserve-gateway[otel]"
        )
        return None
    name = environment.get("OTEL_SERVICE_NAME", _SERVICE)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
