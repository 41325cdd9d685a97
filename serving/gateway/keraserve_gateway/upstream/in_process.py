"""The model server in this process: the embedded engine, called without a network.

Needs the extra `embedded`, which brings TensorFlow; imported only if `model_server` is `in-process`.
"""

import asyncio
import logging
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from keraserve_embedded.batching.options import IMPLICIT_BATCHING
from keraserve_embedded.deadline import Deadline
from keraserve_embedded.errors import EmbeddedError, NotServedError, UnknownLabelError, client_message
from keraserve_embedded.process import cli
from keraserve_embedded.process.settings import Settings as EngineSettings
from keraserve_gateway import errors
from keraserve_gateway.context import CallContext
from keraserve_gateway.settings import Settings
from keraserve_gateway.time_limit import TimeLimit
from keraserve_gateway.upstream.model_calls import Request, Response
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_gateway.upstream.model_server import ModelsUnavailable, translated
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.memory_limit import limit_of_memory
from keraserve_protocol.message_amount import MalformedError, packed_integers
from keraserve_protocol.number_text import MOST_NUMBERS

if TYPE_CHECKING:
    from keraserve_embedded.batching.event_loop import EventLoopBatcher
    from keraserve_embedded.engine import Engine
    from keraserve_embedded.process.hosting import HostedEngine
    from keraserve_embedded.telemetry.metrics import Metrics


_STATUS: Mapping[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}
_LONG = 256 << 10  # bytes of tensors: decoding more takes milliseconds, so that a thread does it
_LOADING = "the models are being loaded"


class InProcessModelServer:
    """A `ModelServer` without a network, to which messages go without being serialized.

    Its constructor ends the process with status 2 and a sentence if `model_server_flags` are wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = _engine_settings(settings)
        self.cards = ModelCards(self.ask)
        self._hosted: HostedEngine | None = None
        self._metrics: Metrics | None = None
        self._batcher: EventLoopBatcher | None = None
        self._serves = False
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether the models have been loaded."""
        return self._serves

    def metrics_page(self) -> bytes:
        """See `ModelServer`; empty until TensorFlow is loaded."""
        return self._metrics.page() if self._metrics else b""

    async def start(self) -> None:
        """Load TensorFlow and the models; until then, calls raise `ModelServerUnavailable`.

        Raises:
            ModelsUnavailable: a model can't be loaded, or its configuration is invalid.
        """
        try:
            await asyncio.to_thread(self._start)
        except EmbeddedError as error:
            raise ModelsUnavailable(str(error)) from error

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """See `Ask`."""
        del call  # the request's type says which it is
        return await self._ask(request, context.timeout)

    async def forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        """See `ModelServer`."""
        call = services.BY_PATH.get(path)
        if call is None or call is services.RELOAD_CONFIG:
            raise errors.CallNotImplemented(f"the model server has no call {path}")
        try:
            if call is services.PREDICT and len(body) > MOST_NUMBERS:
                _check_integers(body)
            parsed = call.request.FromString(body)
        except (DecodeError, MalformedError) as error:
            raise errors.BadRequest(f"the message is no {call.request.DESCRIPTOR.name}") from error
        response: m.Message = await self._ask(parsed, context.timeout)
        return response.SerializeToString()

    async def close(self) -> None:
        """Stop the engine, after the version that is being loaded."""
        self._closed = True
        if self._hosted is not None:
            self._hosted.engine.interrupt()
            await asyncio.to_thread(self._hosted.stop)

    async def _ask(self, request: m.Message, timeout: float) -> Any:
        if self._hosted is None:
            raise errors.ModelServerUnavailable(_LOADING)
        try:
            with TimeLimit(timeout):
                return await self._respond(self._hosted.engine, request, timeout)
        except TimeoutError as error:
            raise errors.DeadlineExceeded("the model did not respond in time") from error
        except EmbeddedError as error:
            # While models are being loaded, a model that is not served yet is not unknown.
            missing = isinstance(error, NotServedError | UnknownLabelError)
            if missing and not self._serves and not isinstance(request, m.GetModelStatusRequest):
                raise errors.ModelServerUnavailable(_LOADING) from error
            raise translated(_STATUS[error.code], client_message(error)) from error

    async def _respond(self, engine: "Engine", request: m.Message, timeout: float) -> Any:
        if isinstance(request, m.GetModelStatusRequest):
            return engine.status(request)
        if isinstance(request, m.GetModelMetadataRequest):
            return engine.metadata(request)
        if isinstance(request, m.PredictRequest) and request.ByteSize() > _LONG:
            deadline = Deadline(timeout)
            try:
                return await asyncio.to_thread(engine.predict, request, deadline)
            finally:
                deadline.cancel()
        self._batcher = self._batcher or engine.event_loop_batcher()
        return await engine.respond(request, self._batcher)

    def _start(self) -> None:
        # Importing TensorFlow takes seconds, in which the gateway's ports respond already.
        from keraserve_embedded.process.hosting import HostedEngine
        from keraserve_embedded.telemetry.metrics import Metrics

        metrics = Metrics()
        # `memory_budget.plan` takes the other half, and counts the messages.
        self._hosted = HostedEngine(self._settings, metrics, limit_of_memory() // 2)
        metrics.watch(self._hosted.engine)
        self._metrics = metrics
        if not self._closed:
            self._serves = self._hosted.start()


def _check_integers(body: bytes) -> None:
    """Raise TooLarge for packed integers that protobuf would parse for 100 ms, while nothing else runs."""
    parts = packed_integers(body)
    found = sum(int(np.count_nonzero(np.frombuffer(part, np.uint8) < 128)) for part in parts)
    if found > MOST_NUMBERS:
        raise errors.TooLarge(
            f"the inputs have {found} packed integers, {MOST_NUMBERS} are allowed; send tensor_content"
        )


def _engine_settings(settings: Settings) -> EngineSettings:
    """Parse the flags as `keraserve-embedded` does, after flags that the gateway adds."""
    flags = ["--enable_serialization_as_tensor_content", "--model_config_file_poll_wait_seconds=1"]
    if settings.model_config_file is not None:
        flags.append(f"--model_config_file={settings.model_config_file}")
    # Of other libraries, only warnings and errors are logged.
    logging.getLogger("keraserve_embedded").setLevel(settings.log_level.upper())
    given = cli.parse([*flags, *shlex.split(settings.model_server_flags or "")])
    memory = replace(given.memory, in_flight=0)
    return replace(given, batching=given.batching or IMPLICIT_BATCHING, memory=memory)
