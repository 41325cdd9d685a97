"""Series of versions that the model server has ended: each would stay for as long as the gateway runs."""

from keraserve_gateway.context import Deadline, RequestContext
from keraserve_gateway.errors import GatewayError, NotFound
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_gateway.upstream.model_calls import ModelCalls
from keraserve_protocol import messages as m
from keraserve_protocol import services

_SECONDS = 1.0  # for all models: whoever collects metrics does not wait for long


async def forget_ended(server: ModelCalls, metrics: Metrics, request_id: str) -> None:
    """Remove them, once they have been shown; where the model server does not say, all stay."""
    context = RequestContext(Deadline.after(_SECONDS), request_id)
    for model, versions in metrics.versions().items():
        request = m.GetModelStatusRequest(model_spec=m.model_spec(model))
        try:
            status = await server.ask(services.GET_MODEL_STATUS, request, context)
            alive = {str(one.version) for one in status.model_version_status if one.state != one.END}
        except NotFound:
            alive = set[str]()
        except GatewayError:
            return
        for version in versions - alive:
            metrics.forget(model, version)
