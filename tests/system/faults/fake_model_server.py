"""A model server that is slow or sends malformed responses, as a test says."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from keraserve_protocol import messages as m
from keraserve_protocol import services

_THREADS = 64
_OPTIONS = [("grpc.max_receive_message_length", -1)]


@contextmanager
def fake_model_server(implementations: Mapping[services.Call[Any, Any], Any]) -> Iterator[str]:
    """Serve calls with functions of request and context, in this process; yields the address.

    Each model is available, and has the signatures `classify` and `serving_default`, from a float32 `x`.
    """
    every = {
        services.GET_MODEL_STATUS: _status,
        services.GET_MODEL_METADATA: _metadata,
        **implementations,
    }
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=_OPTIONS)
    server.add_generic_rpc_handlers(services.handlers(every))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def classes(request: m.ClassificationRequest) -> m.ClassificationResponse:
    """Give each example one class."""
    response = m.ClassificationResponse(model_spec=request.model_spec)
    response.model_spec.version.value = 1
    for _ in request.input.example_list.examples:
        response.result.classifications.add().classes.add(label="x", score=1)
    return response


def _status(*_: object) -> m.GetModelStatusResponse:
    response = m.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=m.ModelVersionStatus.AVAILABLE)
    return response


def _metadata(*_: object) -> m.GetModelMetadataResponse:
    signatures = m.SignatureDefMap()
    signatures.signature_def["classify"].method_name = "tensorflow/serving/classify"
    default = signatures.signature_def["serving_default"]
    default.inputs["x"].dtype = m.DataType.DT_FLOAT
    default.inputs["x"].tensor_shape.unknown_rank = True
    default.outputs["y"].dtype = m.DataType.DT_FLOAT
    return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})
