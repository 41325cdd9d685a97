"""The calls over a real channel: our stubs, plain and asyncio, against our handlers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest

from keraserve_protocol import messages as m
from keraserve_protocol import services

ATTRIBUTES = {
    "predict": services.PREDICT,
    "classify": services.CLASSIFY,
    "regress": services.REGRESS,
    "multi_inference": services.MULTI_INFERENCE,
    "get_model_metadata": services.GET_MODEL_METADATA,
    "get_model_status": services.GET_MODEL_STATUS,
    "reload_config": services.RELOAD_CONFIG,
}


def predict(request: m.PredictRequest, context: grpc.ServicerContext) -> m.PredictResponse:
    return m.PredictResponse(model_spec=request.model_spec)


def status(request: m.GetModelStatusRequest, context: grpc.ServicerContext) -> m.GetModelStatusResponse:
    context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_spec.name}")
    raise AssertionError


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    implemented = {services.PREDICT: predict, services.GET_MODEL_STATUS: status}
    server.add_generic_rpc_handlers(services.handlers(implemented))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def request_of(call: services.Call[Any, Any]) -> Any:
    return call.request()


def test_every_call_is_on_both_stubs() -> None:
    assert set(ATTRIBUTES.values()) == set(services.CALLS)
    for stub in (services.Stub, services.AsyncStub):
        with_attributes = vars(stub(RecordingChannel()))  # pyright: ignore[reportArgumentType]
        assert with_attributes == {name: call.path for name, call in ATTRIBUTES.items()}


class RecordingChannel:
    def unary_unary(self, path: str, **_: Any) -> str:
        return path


def test_a_path_is_service_and_name() -> None:
    assert services.PREDICT.path == "/tensorflow.serving.PredictionService/Predict"


def test_a_call_reaches_its_handler(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        response = services.Stub(channel).predict(m.PredictRequest(model_spec=m.model_spec("a", version=3)))
    assert isinstance(response, m.PredictResponse)
    assert response.model_spec == m.model_spec("a", version=3)


def test_a_rejection_keeps_code_and_words(address: str) -> None:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        services.Stub(channel).get_model_status(m.GetModelStatusRequest(model_spec=m.model_spec("a")))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "no model a"


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTES) - {"predict", "get_model_status"}))
def test_calls_without_an_implementation_are_unimplemented(address: str, name: str) -> None:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        getattr(services.Stub(channel), name)(request_of(ATTRIBUTES[name]))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_asyncio_stub_and_server() -> None:
    async def classify(request: m.ClassificationRequest, context: Any) -> m.ClassificationResponse:
        return m.ClassificationResponse(model_spec=request.model_spec)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(services.handlers({services.CLASSIFY: classify}))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = services.AsyncStub(channel)
            response = await stub.classify(m.ClassificationRequest(model_spec=m.model_spec("b", label="x")))
            assert response.model_spec.version_label == "x"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.predict(m.PredictRequest())
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    finally:
        await server.stop(None)


def test_model_spec_takes_a_version_or_a_label() -> None:
    newest = m.model_spec("a", signature="classify")
    assert newest.WhichOneof("version_choice") is None
    assert newest.signature_name == "classify"
    assert m.model_spec("a", version=2).version.value == 2
    assert m.model_spec("a", label="stable").version_label == "stable"
    with pytest.raises(ValueError, match="not both"):
        m.model_spec("a", version=2, label="stable")


def test_signatures_pack_and_unpack() -> None:
    signatures = m.SignatureDefMap()
    signatures.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    response = m.GetModelMetadataResponse()
    response.metadata[m.SIGNATURE_DEF].CopyFrom(m.pack_signatures(signatures))
    assert m.unpack_signatures(response) == signatures
    with pytest.raises(ValueError, match="signature_def"):
        m.unpack_signatures(m.GetModelMetadataResponse())
    response.metadata[m.SIGNATURE_DEF].type_url = "type.googleapis.com/other"
    with pytest.raises(ValueError, match="signature_def"):
        m.unpack_signatures(response)
