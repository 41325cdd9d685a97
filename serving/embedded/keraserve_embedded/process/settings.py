"""The settings of the server, named after the flags."""

from dataclasses import dataclass, field
from pathlib import Path

from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.calls.request_limits import DEFAULT_LIMITS, RequestLimits
from keraserve_embedded.process.memory_plan import NO_LIMITS, MemoryLimits
from keraserve_embedded.runtimes import Precision, Runtime


@dataclass(frozen=True)
class Settings:
    """The command line, parsed.

    Attributes:
        port: of gRPC; 0 for any free one; None for none, only `grpc_socket_path`.
        rest_api_port: 0 for any free one; None for none.
        rest_seconds: the time that a request on the REST port may take; 0 without limit.
        channel_arguments: options for gRPC, which take precedence over ours.
        drain_seconds: how long running requests may take after SIGTERM.
        batching: how requests are merged; None: each runs alone.
        intra_op_threads: threads that share one op; 0: TensorFlow chooses; None: as `hosting.threads`.
        inter_op_threads: ops that run at once; 0: TensorFlow chooses; None: as `hosting.threads`.
        mixed_precision: "bfloat16", or "" for float32.
        xla_cpu_compilation_enabled: XLA may compile what a model marks for it.
        limits: the largest size of one request.
        memory: the memory that all requests may take together.
        runtime: what runs the networks.
        precision: of OpenVINO's networks, where a version's card allows it.
    """

    host: str
    port: int | None
    model_name: str
    model_base_path: str
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: int
    file_system_poll_wait_seconds: int
    enable_grpc_healthcheck_service: bool
    allow_version_labels_for_unavailable_models: bool
    enable_serialization_as_tensor_content: bool
    grpc_max_threads: int
    grpc_socket_path: str = ""
    rest_api_port: int | None = None
    rest_api_num_threads: int = 4
    rest_seconds: float = 30.0
    monitoring_config_file: Path | None = None
    channel_arguments: list[tuple[str, int | str]] = field(default_factory=list[tuple[str, int | str]])
    drain_seconds: float = 30.0
    batching: BatchingOptions | None = None
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    mixed_precision: str = ""
    xla_cpu_compilation_enabled: bool = False
    limits: RequestLimits = DEFAULT_LIMITS
    memory: MemoryLimits = NO_LIMITS
    runtime: Runtime = "tensorflow"
    precision: Precision = "float32"
