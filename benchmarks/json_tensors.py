"""What a picture as a JSON list costs, and what others notice of it. `python benchmarks/json_tensors.py`

Two measurements, each as a ratio within one run. First the work on the body alone: from the bytes of a
224x224x3 `:predict` to the packed tensor, against json.loads and numpy.array as most tutorials have it. Then
a real gateway process before a null model server, asked for `/livez` in a closed loop: alone, and while
another connection sends such bodies without a pause.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import grpc.aio
import httpx2
import numpy as np

from keraserve_protocol import messages as m
from keraserve_protocol import rest, services

SHAPE = (1, 224, 224, 3)
SIGNATURES = m.SignatureDefMap()
SIGNATURES.signature_def["serving_default"].inputs["images"].dtype = m.DataType.DT_UINT8


def bodies() -> dict[str, tuple[bytes, m.DataType]]:
    """Give a picture as whole numbers, and as decimals."""
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
    request = rest.predict_request(rest.parse_prediction(body), inputs, m.model_spec("a"))
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


async def compare_latency(seconds: float) -> None:
    """Print what `/livez` takes, alone and beside a caller that sends pictures as lists."""

    async def metadata(*_: object) -> m.GetModelMetadataResponse:
        return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(SIGNATURES)})

    async def predict(request: m.PredictRequest, _: object) -> m.PredictResponse:
        assert len(request.inputs["images"].tensor_content) == 224 * 224 * 3
        return m.PredictResponse(
            outputs={"label": m.TensorProto(dtype=m.DataType.DT_STRING, string_val=[b"a"])}
        )

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    calls = {services.GET_MODEL_METADATA: metadata, services.PREDICT: predict}
    server.add_generic_rpc_handlers(tuple(services.handlers(calls)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    command = [str(Path(sys.executable).with_name("keraserve-gateway")), "--port=0", "--grpc-port=0"]
    process = subprocess.Popen(
        [*command, f"--model-server=127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True
    )
    try:
        await _measure(process, seconds)
    finally:
        process.terminate()
        process.wait(10)
        await server.stop(0)


async def _measure(process: "subprocess.Popen[str]", seconds: float) -> None:
    assert process.stderr
    address = next(json.loads(line)["http"] for line in process.stderr if '"listening"' in line)
    asyncio.get_running_loop().run_in_executor(
        None, process.stderr.read
    )  # the log, so that its pipe is not full
    body, _ = bodies()["whole numbers"]
    async with httpx2.AsyncClient(base_url=f"http://{address}", timeout=30) as client:

        async def livez() -> list[float]:
            times: list[float] = []
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                began = time.perf_counter()
                (await client.get("/livez")).raise_for_status()
                times.append((time.perf_counter() - began) * 1000)
            return times

        answered = 0

        async def lists() -> None:
            nonlocal answered
            while True:
                answer = await client.post("/v1/models/a:predict", content=body)
                assert answer.status_code == 400, answer.text  # the null model's answer has no rows
                answered += 1

        for name in ("alone", "beside lists", "alone", "beside lists"):
            busy = asyncio.create_task(lists()) if name == "beside lists" else None
            times = await livez()
            if busy:
                busy.cancel()
            cuts = quantiles(times, n=100)
            print(f"/livez {name:13} p50 {cuts[49]:5.2f} ms, p99 {cuts[98]:6.2f} ms, {answered} lists so far")


if __name__ == "__main__":
    compare_reading(20)
    asyncio.run(compare_latency(8))
