"""What a bad request in a batch does to the next ones: nothing. What a request may claim: not much."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from system.faults.product import Product

from keraserve_client import BadRequest, Client, GrpcClient, KeraserveError, TooLarge
from keraserve_protocol import messages as m
from keraserve_protocol import services

NO_EXAMPLE = b"\x0a\xdb\xff\xfe\xdb\x80" + bytes(range(128, 200))  # neither a tf.Example nor UTF-8
AT_ONCE = 12
MEBIBYTES = 1024


def test_bad_requests_end_no_batching(either: Product, red: bytes) -> None:
    def bad(client: Client) -> KeraserveError:
        with pytest.raises(KeraserveError) as caught:
            client.predict("colours", [NO_EXAMPLE], "classify")
        return caught.value

    with Client(either.url, retries=0) as client, ThreadPoolExecutor(AT_ONCE * 2) as pool:
        client.classify("colours", red)
        for _ in range(4):
            bads = [pool.submit(bad, client) for _ in range(AT_ONCE)]
            goods = [pool.submit(client.classify, "colours", red) for _ in range(AT_ONCE)]
            assert {type(one.result()) for one in bads} == {BadRequest}
            assert {one.result()[0].best.label for one in goods} == {"red"}
        assert either.status("/readyz") == 200
        assert client.classify("colours", red)[0].best.label == "red"


@pytest.mark.parametrize("rows", [1 << 14, 1 << 18, 1 << 22, 1 << 40, (1 << 62) + 1])
def test_a_shape_that_claims_rows_gets_no_memory_for_them(either: Product, rows: int) -> None:
    """Some sixty bytes of gRPC."""
    import grpc

    request = m.PredictRequest(model_spec=m.model_spec("colours"))
    tensor = request.inputs["images"]
    tensor.dtype = m.DataType.DT_UINT8
    tensor.int_val.append(7)
    for size in (rows, 64, 64, 3):
        tensor.tensor_shape.dim.add(size=size)
    before = either.model_server.mebibytes()
    either.model_server.forget_peak()
    with grpc.insecure_channel(either.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        services.Stub(channel).predict(request, timeout=60)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert either.model_server.mebibytes("VmHWM") - before < MEBIBYTES
    assert either.status("/readyz") == 200


def test_rows_beyond_the_limit_are_refused_by_every_way_in(either: Product) -> None:
    for client in (Client(either.url, retries=0), GrpcClient(either.grpc, retries=0)):
        with client, pytest.raises((TooLarge, BadRequest)):
            client.predict("colours", [b""] * 5000, "image_bytes")
