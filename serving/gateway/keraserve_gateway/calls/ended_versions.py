"""Removes the metrics of versions that have ended, which would stay for as long as the gateway runs."""

from keraserve_gateway.context import Deadline, RequestContext
from keraserve_gateway.errors import GatewayError, NotFound
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_protocol import messages as m
from keraserve_protocol import services

_SECONDS = 1.0  # for all models: a metrics collector waits for the page


async def forget_ended(ask: Ask, metrics: Metrics, request_id: str) -> None:
    """Remove the series of ended versions; where the model server does not respond, all stay."""
    context = RequestContext(Deadline.after(_SECONDS), request_id)
    for model, versions in metrics.versions().items():
        request = m.GetModelStatusRequest(model_spec=m.model_spec(model))
        try:
            status = await ask(services.GET_MODEL_STATUS, request, context)
            alive = {str(one.version) for one in status.model_version_status if one.state != one.END}
        except NotFound:
            alive = set[str]()
        except GatewayError:
            return
        for version in versions - alive:
            metrics.forget(model, version)
