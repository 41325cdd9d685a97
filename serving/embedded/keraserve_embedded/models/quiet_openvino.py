"""The only module that imports OpenVINO, and without its package that sends messages to its makers."""

from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from keraserve_protocol.quiet_import import closed_stderr, permanent_imports, without
from keraserve_protocol.tensors import Array

with closed_stderr(), permanent_imports(), without("openvino_telemetry"):
    import openvino


class CompiledNetwork:
    """A network that several threads may call at a time.

    Args:
        file: its `.xml`; beside it is the `.bin`.
        streams: how many of them run at once.
        threads: of all of them together.
        precision: `f32` or `bf16`. OpenVINO's own choice would be bfloat16 where the processor has it.
    """

    def __init__(self, file: Path, streams: int, threads: int, precision: str = "f32") -> None:
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # the files may be removed, or damaged, while they serve
        compiled = core.compile_model(
            file,
            "CPU",
            {
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": precision,
                # A thread that is bound to a core waits there for others that decode.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.inputs = frozenset(port.get_any_name() for port in compiled.inputs)
        self._outputs = [port.get_any_name() for port in compiled.outputs]
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(streams):
            self._free.put(compiled.create_infer_request())

    def __call__(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Run it once.

        Raises:
            RuntimeError: the arrays are not what it takes.
        """
        request = self._free.get()
        try:
            results = request.infer(dict(arrays), share_inputs=True)
            return {name: results[name] for name in self._outputs}
        finally:
            self._free.put(request)
