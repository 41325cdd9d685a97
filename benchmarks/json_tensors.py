"""What an image as a JSON list costs to read. `python benchmarks/json_tensors.py`

The work on the body alone, as a ratio within one run: from the bytes of a 224x224x3 `:predict` to the packed
tensor, against json.loads and numpy.array as most tutorials have it. `make bench` has the rest.
"""

import json
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from keraserve_protocol import messages as m
from keraserve_protocol import rest
from keraserve_protocol.number_text import finish

SHAPE = (1, 224, 224, 3)


def bodies() -> dict[str, tuple[bytes, m.DataType]]:
    """Give an image as whole numbers, and as decimals."""
    generator = np.random.default_rng(1)
    whole = generator.integers(0, 256, SHAPE).tolist()
    decimals = generator.random(SHAPE).tolist()
    return {
        "whole numbers": (json.dumps({"instances": whole}).encode(), m.DataType.DT_UINT8),
        "decimals": (json.dumps({"instances": decimals}).encode(), m.DataType.DT_FLOAT),
    }


def ours(body: bytes, dtype: m.DataType) -> bytes:
    """Read the body as the gateway does."""
    inputs = {"images": m.TensorInfo(dtype=dtype)}
    prediction = finish(rest.pack(rest.parse_prediction(body), inputs))
    request = rest.predict_request(prediction, inputs, m.model_spec("a"))
    return request.inputs["images"].tensor_content


def tutorials(body: bytes, dtype: m.DataType) -> bytes:
    """Read the body as tutorials do."""
    numbers = np.array(json.loads(body)["instances"])
    return numbers.astype(np.uint8 if dtype == m.DataType.DT_UINT8 else np.float32).tobytes()


def compare_reading(rounds: int) -> None:
    """Print the processor time of both, interleaved."""
    for name, (body, dtype) in bodies().items():
        assert ours(body, dtype) == tutorials(body, dtype)
        times: dict[Callable[..., bytes], list[float]] = {ours: [], tutorials: []}
        for _ in range(rounds):
            for way, spent in times.items():
                began = time.process_time()
                way(body, dtype)
                spent.append((time.process_time() - began) * 1000)
        mine, theirs = (median(spent) for spent in times.values())
        print(
            f"{name:15} {len(body) / 1e6:.1f} MB: tutorial {theirs:6.1f} ms of processor, "
            f"ours {mine:5.1f} ms, {theirs / mine:.1f} x"
        )


if __name__ == "__main__":
    compare_reading(20)
