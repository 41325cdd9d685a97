"""A model server that always sends the same response at once, to measure the gateway's own cost.

A program: `python -m bench.systems.null_model_server PORT`.
"""

import asyncio
import sys

import grpc.aio
import uvloop

from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.signatures import DEFAULT_SIGNATURE

_CLASSES = [m.Class(label=f"class-{number}", score=(10 - number) / 55) for number in range(10)]


def _responses() -> dict[services.Call, m.Message]:
    spec = m.model_spec("any", version=1)
    status = m.ModelVersionStatus(version=1, state=m.ModelVersionStatus.AVAILABLE)
    signatures = m.SignatureDefMap()
    signatures.signature_def[DEFAULT_SIGNATURE].inputs["images"].dtype = m.DataType.DT_UINT8
    label = m.TensorProto(dtype=m.DataType.DT_STRING, string_val=[b"class-0"])
    label.tensor_shape.dim.add(size=1)
    return {
        services.GET_MODEL_STATUS: m.GetModelStatusResponse(model_version_status=[status]),
        services.GET_MODEL_METADATA: m.GetModelMetadataResponse(
            model_spec=spec, metadata={"signature_def": m.pack_signatures(signatures)}
        ),
        services.PREDICT: m.PredictResponse(model_spec=spec, outputs={"label": label}),
    }


def _handler(response: m.Message):
    async def handle(request: m.Message, context: object) -> m.Message:
        del request, context
        return response

    return handle


async def _classify(request: m.ClassificationRequest, context: object) -> m.ClassificationResponse:
    del context
    response = m.ClassificationResponse(model_spec=m.model_spec("any", version=1))
    for _ in request.input.example_list.examples:
        response.result.classifications.add(classes=_CLASSES)
    return response


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    fixed = {call: _handler(response) for call, response in _responses().items()}
    handlers = services.handlers({**fixed, services.CLASSIFY: _classify})
    server.add_generic_rpc_handlers(tuple(handlers))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
