"""Arrays, requests and a way to wait, for the tests of the embedded model server."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keraserve_protocol import messages as m
from keraserve_protocol.tensors import to_proto


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def strings(*values: bytes) -> Any:
    return np.array([*values, None], dtype=object)[:-1]


def predict_request(model: str, inputs: Mapping[str, Any], **spec: Any) -> m.PredictRequest:
    """Make a request of arrays or tensors; `spec` has what `model_spec` takes."""
    request = m.PredictRequest(model_spec=m.model_spec(model, **spec))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value if isinstance(value, m.TensorProto) else to_proto(value))
    return request


def image_request(*images: bytes, **spec: Any) -> m.PredictRequest:
    """Make a request of encoded images for the colour model."""
    return predict_request("colours", {"image_bytes": strings(*images)}, signature="image_bytes", **spec)


def wait_request(seconds: float) -> m.PredictRequest:
    """Make a request that takes so long."""
    return predict_request("waiting", {"seconds": floats(seconds)})


def example(**features: bytes | tuple[float, ...]) -> bytes:
    """Serialize an example; `image` is the colour model's feature."""
    made = m.Example()
    for name, value in features.items():
        feature = made.features.feature["image/encoded" if name == "image" else name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.float_list.value.extend(value)
    return made.SerializeToString()


def examples(*serialized: bytes) -> m.Input:
    return m.Input(example_list=m.ExampleList(examples=serialized))


def until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what a function says has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
