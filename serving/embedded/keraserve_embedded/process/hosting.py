"""Make an engine from the settings, without a network, for the server and for the gateway's process."""

import logging

from keraserve_embedded import garbage_collection
from keraserve_embedded.api.message_bytes import MessageBytes
from keraserve_embedded.batching.options import BatchingOptions, cores
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.models.config_file import ConfigFile
from keraserve_embedded.models.decode_memory import DECODE_MEMORY
from keraserve_embedded.models.model_list import single_model
from keraserve_embedded.observer import Observer
from keraserve_embedded.periodic import Periodic
from keraserve_embedded.process import memory_plan
from keraserve_embedded.process.settings import Settings
from keraserve_embedded.quiet_tensorflow import has_bfloat16, set_threads, tf
from keraserve_protocol.memory_limit import limit_of_memory

log = logging.getLogger(__name__)


class HostedEngine:
    """An engine with its settings: models, polling, batching, threads, memory.

    One for each process, made before any model is loaded: TensorFlow's threads and the memory for decoding
    are set for the whole process.

    Attributes:
        messages: counts the messages of requests in flight; `start` sets its limit.
    """

    def __init__(
        self, settings: Settings, observer: Observer | None = None, available: int | None = None
    ) -> None:
        """Prepare an engine that may have `available` bytes of memory; None: the limit of this process."""
        self._settings = settings
        self._available = limit_of_memory() if available is None else available
        self.messages = MessageBytes(memory_plan.IN_FLIGHT)
        intra_op, inter_op = threads(settings.batching)
        set_threads(
            intra_op if settings.intra_op_threads is None else settings.intra_op_threads,
            inter_op if settings.inter_op_threads is None else settings.inter_op_threads,
        )
        garbage_collection.collect_less_often()
        self.engine = Engine(
            EngineOptions(
                poll_seconds=settings.file_system_poll_wait_seconds,
                early_labels=settings.allow_version_labels_for_unavailable_models,
                as_content=settings.enable_serialization_as_tensor_content,
                batching=settings.batching,
                bfloat16=takes_bfloat16(settings.mixed_precision),
                limits=settings.limits,
                runtime=settings.runtime,
                precision=settings.precision,
            ),
            observer,
        )
        self._config_watch: Periodic | None = None

    def start(self) -> bool:
        """Load the models, and apply changes of the configuration from then on.

        Returns:
            As `Engine.start`.

        Raises:
            ConfigError: the models.config is wrong.
            StartError: as `Engine.start`, or the settings need more memory than there is.
        """
        settings = self._settings
        config = ConfigFile(settings.model_config_file) if settings.model_config_file else None
        entries = config.read() if config else single_model(settings.model_name, settings.model_base_path)
        planned = memory_plan.plan(settings.memory, memory_plan.bytes_of_models(entries), self._available)
        self.messages.limit, DECODE_MEMORY.limit = planned.in_flight, planned.decoding
        if not self.engine.start(entries):
            return False
        precision = "bfloat16" if self.engine.options.bfloat16 else "float32"
        log.info("TensorFlow %s computes in %s", tf.__version__, precision)
        poll = settings.model_config_file_poll_wait_seconds
        if config and poll:
            self._config_watch = Periodic(
                "model config watch", poll, lambda: config.poll(self.engine.configure)
            )
            self._config_watch.start()
        return True

    def stop(self) -> None:
        """Apply no more changes, and stop the engine; as `Engine.stop`."""
        if self._config_watch:
            self._config_watch.stop()
        self.engine.stop()


def takes_bfloat16(mixed_precision: str) -> bool:
    """Tell whether bfloat16 is wanted, and the processor has instructions for it: else it is slower."""
    taken = bool(mixed_precision) and has_bfloat16()
    if mixed_precision and not taken:
        log.warning(
            "--mixed_precision=%s has no effect: this processor has no instructions for it", mixed_precision
        )
    return taken


def threads(batching: BatchingOptions | None) -> tuple[int, int]:
    """Return how many threads share one op, and how many run ops, for `set_threads`.

    With batching the cores are divided among the batches that run at once, and each batch runs on its own
    thread: that is faster than many threads for one op, where each waits for the slowest. Without batching,
    TensorFlow chooses both.
    """
    return (max(1, cores() // batching.num_batch_threads), -1) if batching else (0, 0)
