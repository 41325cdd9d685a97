"""What an operator can set; the names are the flags'."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The command line, understood.

    Attributes:
        channel_arguments: gRPC's options, beside and before ours.
        drain_seconds: how long running requests may take after SIGTERM.
        intra_op_threads: threads that share one op; 0 leaves it to TensorFlow.
        inter_op_threads: ops that run at once; 0 leaves it to TensorFlow.
    """

    host: str
    port: int
    model_name: str
    model_base_path: str
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: int
    file_system_poll_wait_seconds: int
    enable_grpc_healthcheck_service: bool
    allow_version_labels_for_unavailable_models: bool
    enable_serialization_as_tensor_content: bool
    grpc_max_threads: int
    channel_arguments: list[tuple[str, int | str]] = field(default_factory=list[tuple[str, int | str]])
    drain_seconds: float = 30.0
    intra_op_threads: int = 0
    inter_op_threads: int = 0
