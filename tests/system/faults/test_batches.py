"""Bad requests in a batch do not affect others, and no request gets much memory for its shape."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from system.faults.product import Product, exchange, post

from keraserve_client import BadRequest, Client, GrpcClient, KeraserveError, TooLarge
from keraserve_protocol import messages as m
from keraserve_protocol import services

NO_EXAMPLE = b"\x0a\xdb\xff\xfe\xdb\x80" + bytes(range(128, 200))  # neither a tf.Example nor UTF-8
AT_ONCE = 12
MEBIBYTES = 1024
ANY_SIZE = [("grpc.max_receive_message_length", -1)]  # a long response is no rejection
ROWS = 20_000  # more than the gateway and the model server allow
FEWER = 5_000  # more than the gateway allows, in JSON with as many keys as allowed


def test_bad_requests_do_not_end_batching(either: Product, red: bytes) -> None:
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


@pytest.mark.parametrize(
    "shape",
    [
        (1 << 14, 64, 64, 3),
        (1 << 18, 1, 1, 3),  # few enough elements for the gateway
        (1 << 18, 64, 64, 3),
        (1 << 22, 64, 64, 3),
        (1 << 40, 64, 64, 3),
        ((1 << 62) + 1, 64, 64, 3),
    ],
    ids=str,
)
def test_a_shape_with_many_rows_gets_no_memory_for_them(each: Product, shape: tuple[int, ...]) -> None:
    request = m.PredictRequest(model_spec=m.model_spec("colours"))
    tensor = request.inputs["images"]
    tensor.dtype = m.DataType.DT_UINT8
    tensor.int_val.append(7)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    before = each.model_server.mebibytes()
    each.model_server.forget_peak()
    with grpc.insecure_channel(each.grpc, ANY_SIZE) as channel, pytest.raises(grpc.RpcError) as caught:
        services.Stub(channel).predict(request, timeout=60)
    assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert re.search(r"are allowed in a request|--max_request_rows", caught.value.details() or "")
    assert each.model_server.mebibytes("VmHWM") - before < MEBIBYTES
    assert each.status("/readyz") == 200


JSON = {
    "predict": {"signature_name": "image_bytes", "instances": [{"b64": ""}] * FEWER},
    "classify": {"examples": [{"image/encoded": {"b64": ""}}] * FEWER},
    "regress": {"examples": [{"image/encoded": {"b64": ""}}] * FEWER},
}


def test_rows_beyond_the_limit_are_rejected_by_every_api(each: Product) -> None:
    """The limit on rows is checked before the rows are read."""
    gateway = f"{ROWS} rows, 1024 are allowed in a request (max_rows)"
    model_server = f"{ROWS} rows; at most 16384 are taken in one request (--max_request_rows)"
    for client, says in (
        (Client(each.url, retries=0), gateway),
        (GrpcClient(each.grpc, retries=0), model_server),
    ):
        with client, pytest.raises((TooLarge, BadRequest), match=re.escape(says)):
            client.predict("colours", [b""] * ROWS, "image_bytes")
    for call, document in JSON.items():
        request = post(f"/v1/models/colours:{call}", json.dumps(document).encode(), "application/json")
        status, body = exchange(each.port, request)
        assert status == 413
        assert b"1024 are allowed" in body
    classification = m.ClassificationRequest(model_spec=m.model_spec("colours", signature="classify"))
    classification.input.example_list.examples.extend([b""] * ROWS)
    with grpc.insecure_channel(each.grpc) as channel, pytest.raises(grpc.RpcError, match="1024 are allowed"):
        services.Stub(channel).classify(classification, timeout=60)
