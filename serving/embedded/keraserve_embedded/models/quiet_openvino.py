"""The only module that imports OpenVINO, and without its package that sends messages to its makers."""

import time
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from keraserve_protocol.quiet_import import closed_stderr, permanent_imports, without
from keraserve_protocol.tensors import Array

with closed_stderr(), permanent_imports(), without("openvino_telemetry"):
    import openvino

_ROWS = 8  # of the batch that is timed
_TIMES = 2


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class CompiledNetwork:
    """A network that several threads may call at a time.

    Args:
        file: its `.xml`; beside it is the `.bin`.
        streams: how many of them run at once.
        threads: of all of them together.
        alone: rows run one after the other, for which convolutions are compiled better.
        precision: `f32` or `bf16`. OpenVINO's own choice would be bfloat16 where the processor has it.
    """

    def __init__(
        self, file: Path, streams: int, threads: int, *, alone: bool = False, precision: str = "f32"
    ) -> None:
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the files may be removed, or damaged, while they serve
        model = core.read_model(file)
        self._alone = alone
        if alone:
            model.reshape({port: [1, *_sides(port)] for port in model.inputs})
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": precision,
                # A thread that is bound to a core waits there for others that decode.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._ports = compiled.inputs
        self.inputs = frozenset(port.get_any_name() for port in compiled.inputs)
        self._outputs = [port.get_any_name() for port in compiled.outputs]
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._free.put(compiled.create_infer_request())

    @classmethod
    def fastest(cls, file: Path, streams: int, threads: int, *, precision: str = "f32") -> "CompiledNetwork":
        """Compile a network of independent rows for batches; of images also for single rows, if faster."""
        network = cls(file, streams, threads, precision=precision)
        if not all(map(_is_image, network._ports)):
            return network
        return min((network, cls(file, streams, threads, alone=True, precision=precision)), key=_seconds)

    def __call__(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Run it once.

        Raises:
            RuntimeError: the arrays are not what it takes.
        """
        request = self._free.get()
        try:
            if not self._alone:
                return self._run(request, arrays)
            rows = range(len(next(iter(arrays.values()))))
            results = [
                self._run(request, {name: each[row : row + 1] for name, each in arrays.items()})
                for row in rows
            ]
            return {name: np.concatenate([each[name] for each in results]) for name in self._outputs}
        finally:
            self._free.put(request)

    def made_rows(self) -> dict[str, Array]:
        """Inputs of made values, to time it with."""
        generator = np.random.default_rng(0)
        return {
            port.get_any_name(): generator.random((_ROWS, *_sides(port)), np.float32) for port in self._ports
        }

    def _run(self, request: Any, arrays: Mapping[str, Array]) -> dict[str, Array]:
        results = request.infer(dict(arrays), share_inputs=True)
        return {name: results[name] for name in self._outputs}


def _is_image(port: Any) -> bool:
    shape = port.partial_shape
    fixed = len(shape) == 4 and all(side.is_static for side in list(shape)[1:])
    return fixed and port.element_type == openvino.Type.f32


def _sides(port: Any) -> list[int]:
    return [side.get_length() for side in list(port.partial_shape)[1:]]


def _seconds(network: CompiledNetwork) -> float:
    """The time of a batch, the best of several after the first."""
    rows = network.made_rows()
    found: list[float] = []
    for _ in range(1 + _TIMES):
        began = time.perf_counter()
        network(rows)
        found.append(time.perf_counter() - began)
    return min(found[1:])
