"""Version routing: which version a request that names none goes to, for all of its calls."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from keraserve_gateway.context import Metadata, RequestContext
from keraserve_gateway.errors import NotFound
from keraserve_gateway.upstream.canary import NEWEST, Canary
from keraserve_gateway.upstream.model_server import ModelServer
from keraserve_protocol import messages as m

Answer = TypeVar("Answer")


class VersionRouter:
    """A `ModelServer` for one request; all its calls go to the same version, unless that has gone.

    Args:
        server: the model server.
        canary: chooses the version.
        context: the request; is told the version that was chosen.
    """

    def __init__(self, server: ModelServer, canary: Canary, context: RequestContext) -> None:
        self._server = server
        self.cards = server.cards
        self._canary = canary
        self._context = context
        self._chosen: dict[str, tuple[int, ...]] = {}

    @property
    def is_up(self) -> bool:
        """See `ModelServer`."""
        return self._server.is_up

    def metrics_page(self) -> bytes:
        """See `ModelServer`."""
        return self._server.metrics_page()

    async def predict(
        self, request: m.PredictRequest, timeout: float, metadata: Metadata = ()
    ) -> m.PredictResponse:
        """See `ModelServer`."""
        return await self.ask([request.model_spec], lambda: self._server.predict(request, timeout, metadata))

    async def classify(
        self, request: m.ClassificationRequest, timeout: float, metadata: Metadata = ()
    ) -> m.ClassificationResponse:
        """See `ModelServer`."""
        return await self.ask([request.model_spec], lambda: self._server.classify(request, timeout, metadata))

    async def regress(
        self, request: m.RegressionRequest, timeout: float, metadata: Metadata = ()
    ) -> m.RegressionResponse:
        """See `ModelServer`."""
        return await self.ask([request.model_spec], lambda: self._server.regress(request, timeout, metadata))

    async def metadata(
        self, request: m.GetModelMetadataRequest, timeout: float, metadata: Metadata = ()
    ) -> m.GetModelMetadataResponse:
        """See `ModelServer`."""
        return await self.ask([request.model_spec], lambda: self._server.metadata(request, timeout, metadata))

    async def status(
        self, request: m.GetModelStatusRequest, timeout: float, metadata: Metadata = ()
    ) -> m.GetModelStatusResponse:
        """See `ModelServer`; of all versions, where none is named."""
        return await self._server.status(request, timeout, metadata)

    async def call(self, path: str, request: bytes, timeout: float, metadata: Metadata = ()) -> bytes:
        """See `ModelServer`; what is serialized already goes where it says."""
        return await self._server.call(path, request, timeout, metadata)

    async def close(self) -> None:
        """Nothing: the model server outlives the request."""

    async def ask(self, specs: Sequence[m.ModelSpec], call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Write the version into `specs`, all of one model, and call; if it is not there, the next one."""
        first = specs[0] if specs else m.ModelSpec()
        if first.WhichOneof("version_choice") is not None:
            return await call()
        if self._context.label is not None:
            for spec in specs:
                spec.version_label = self._context.label
            return await call()
        versions = self._chosen.get(first.name) or self._canary.versions(first.name, self._context.sticky)
        while True:
            self._chosen[first.name] = versions
            self._choose(specs, versions[0])
            try:
                return await call()
            except NotFound:
                versions = versions[1:]
                if not versions:
                    raise

    def _choose(self, specs: Sequence[m.ModelSpec], version: int) -> None:
        self._context.version = version  # also where it fails: so that its failures are counted as its own
        for spec in specs:
            if version == NEWEST:
                spec.ClearField("version")
            else:
                spec.version.value = version
