"""Tensors of every dtype and shape come back from the model `echo` to the last bit, by all four clients.

The model returns its inputs, so a difference was made by the client, the gateway or the embedded server.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keraserve_client import (
    AsyncClient,
    AsyncGrpcClient,
    BadRequest,
    Client,
    GrpcClient,
    InvalidInput,
    KeraserveError,
    NotSupported,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
THOROUGH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
WHOLE = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DECIMAL = ["float16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
KINDS = {
    "http": (Client, "url"),
    "async-http": (AsyncClient, "url"),
    "gateway-grpc": (GrpcClient, "gateway_grpc"),
    "async-gateway-grpc": (AsyncGrpcClient, "gateway_grpc"),
    "server-grpc": (GrpcClient, "model_server"),
}
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


@pytest.fixture(scope="module")
def clients(echoing: Any, connect: Any) -> dict[str, Any]:
    return {
        name: connect(kind, getattr(echoing, address), retries=0) for name, (kind, address) in KINDS.items()
    }


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, clients: dict[str, Any]) -> Any:
    return clients[request.param]


def echoed(client: Any, values: Any, signature: str) -> tuple[Any, ...]:
    """What came back, to the last bit; or the error."""
    try:
        found = client.predict("echo", values, signature)["out"]
    except KeraserveError as error:
        return (type(error), error.detail)
    bits = found.tolist() if found.dtype == object else found.tobytes()
    return (found.dtype, found.shape, bits)


def layouts(array: np.ndarray) -> Iterator[np.ndarray]:
    """The same values in other memory layouts: other byte order, columns first, with gaps, read-only."""
    yield array
    yield array.astype(array.dtype.newbyteorder(">"))
    if array.ndim:
        yield np.asfortranarray(array)
        yield np.repeat(array, 2, axis=0)[::2]
        yield array[::-1][::-1]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield frozen


@THOROUGH
@given(dtype=st.sampled_from(["bool", *WHOLE, *DECIMAL]), data=st.data())
def test_arrays_come_back_unchanged(clients: dict[str, Any], dtype: str, data: st.DataObject) -> None:
    array = data.draw(arrays.arrays(dtype, SHAPES))
    sent = data.draw(st.sampled_from(list(layouts(array))))
    for client in clients.values():
        assert echoed(client, sent, dtype) == (np.dtype(dtype), array.shape, array.tobytes())


@THOROUGH
@given(values=arrays.arrays(object, SHAPES, elements=st.binary(max_size=6) | st.text(max_size=4)))
def test_strings_come_back_unchanged(clients: dict[str, Any], values: np.ndarray) -> None:
    flat = [value.encode() if isinstance(value, str) else value for value in values.ravel()]
    expected = np.empty(values.size, object)
    expected[:] = flat
    for client in clients.values():
        found = echoed(client, values, "string")
        assert found == (np.dtype(object), values.shape, expected.reshape(values.shape).tolist())


@THOROUGH
@given(
    signature=st.sampled_from(["bool", *WHOLE, *DECIMAL, "bfloat16", "string"]),
    data=st.data(),
)
def test_lists_are_accepted_by_all_clients_or_by_none(
    clients: dict[str, Any], signature: str, data: st.DataObject
) -> None:
    element = st.one_of(
        st.integers(-300, 300),
        st.sampled_from([2**24 + 1, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), 2**70, 1e39, 70000, 1e-50]),
        st.floats(),
        st.booleans(),
        st.sampled_from(["a", b"\xff\x00", "\ud800", None, 1j]),
    )
    values = data.draw(st.lists(element, max_size=3) | st.lists(st.lists(element, max_size=2), max_size=2))
    first, *others = [echoed(client, values, signature) for client in clients.values()]
    assert all(other == first for other in others)
    if isinstance(first[0], type):
        assert issubclass(first[0], InvalidInput | BadRequest)


@pytest.mark.parametrize("signature", COMPLEX)
def test_complex_numbers_are_sent_over_grpc_only(
    client: Any, clients: dict[str, Any], signature: str
) -> None:
    numbers = np.array([[1 - 2j, complex(-0.0, np.inf)]], signature)
    found = echoed(client, numbers, signature)
    if client in (clients["http"], clients["async-http"]):
        sentence = f"input 'v' is {signature}, which HTTP doesn't carry; use GrpcClient"
        assert found == (NotSupported, sentence)
    else:
        assert found == (np.dtype(signature), (1, 2), numbers.tobytes())


def test_bfloat16_goes_in_and_comes_out_as_float32(client: Any) -> None:
    numbers = np.array([1.5, -0.0, 3.0e38, np.inf, 1e-40, 256.0], np.float32)
    found = client.predict("echo", numbers, "bfloat16")["out"]
    assert found.dtype == np.float32
    assert found[:2].tobytes() == numbers[:2].tobytes()
    np.testing.assert_allclose(found, numbers, rtol=2**-8, atol=1e-41)
    assert np.isnan(client.predict("echo", [np.nan], "bfloat16")["out"]).all()
    assert client.predict("echo", np.zeros((0, 3)), "bfloat16")["out"].shape == (0, 3)
    with pytest.raises(InvalidInput, match="whole numbers that it would round, such as 257"):
        client.predict("echo", [257], "bfloat16")
    with pytest.raises(InvalidInput, match="out of its range"):
        client.predict("echo", [3.4e38], "bfloat16")


def test_outputs_may_be_written_to(client: Any) -> None:
    found = client.predict("echo", np.zeros((2, 2), np.float32), "float32")["out"]
    found += 1
    assert found.tolist() == [[1, 1], [1, 1]]


def test_a_signature_may_have_several_inputs_or_none(client: Any) -> None:
    given = {"text": [[b"\xff\x00"], ["ü"]], "table": np.zeros((0, 4), np.float32)}
    found = client.predict("echo", given, "two")
    assert found["text"].tolist() == [[b"\xff\x00"], ["ü".encode()]]
    assert found["table"].shape == (0, 4)
    assert client.predict("echo", {}, "about")["json"].tolist() == b'{"a": 1}'


def test_a_type_that_numpy_lacks_is_rejected(client: Any) -> None:
    with pytest.raises(NotSupported, match="output 'out' is qint8, which numpy doesn't have; export"):
        client.predict("echo", [1.0], "quantized")
