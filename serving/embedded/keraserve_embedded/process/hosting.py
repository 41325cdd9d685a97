"""An engine made from the settings, without a network: for the server, and for the gateway's process."""

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
from keraserve_embedded.quiet_tensorflow import set_threads
from keraserve_protocol.memory_limit import limit_of_memory


class HostedEngine:
    """An engine that follows its settings: which models, how often to look, how to batch.

    One for each process, made before any model is loaded: TensorFlow's threads are set here, and how much
    memory images may take while they are decoded.

    Attributes:
        messages: counts the messages of requests in flight; its limit is set by `start`.
    """

    def __init__(
        self, settings: Settings, observer: Observer | None = None, available: int | None = None
    ) -> None:
        """Prepare an engine; `available` is the bytes of memory it may have, None for this process' limit."""
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
                limits=settings.limits,
            ),
            observer,
        )
        self._config_watch: Periodic | None = None

    def start(self) -> bool:
        """Load the models, and follow the configuration from then on.

        Returns:
            As `Engine.start`.

        Raises:
            ConfigError: the models.config can't be followed.
            StartError: as `Engine.start`, or the settings need more memory than there is.
        """
        settings = self._settings
        config = ConfigFile(settings.model_config_file) if settings.model_config_file else None
        entries = config.read() if config else single_model(settings.model_name, settings.model_base_path)
        planned = memory_plan.plan(settings.memory, memory_plan.bytes_of_models(entries), self._available)
        self.messages.limit, DECODE_MEMORY.limit = planned.in_flight, planned.decoding
        if not self.engine.start(entries):
            return False
        poll = settings.model_config_file_poll_wait_seconds
        if config and poll:
            self._config_watch = Periodic(
                "model config watch", poll, lambda: config.poll(self.engine.configure)
            )
            self._config_watch.start()
        return True

    def stop(self) -> None:
        """Follow nothing any more; as `Engine.stop`."""
        if self._config_watch:
            self._config_watch.stop()
        self.engine.stop()


def threads(batching: BatchingOptions | None) -> tuple[int, int]:
    """How many threads share one op, and how many run ops, as `set_threads` takes them.

    With batching the cores are shared among the batches that run at once, and each is run by its own thread:
    many ops of one thread each get more done than one op of many threads, as no thread waits for the slowest.
    Without, both are TensorFlow's own choice.
    """
    return (max(1, cores() // batching.num_batch_threads), -1) if batching else (0, 0)
