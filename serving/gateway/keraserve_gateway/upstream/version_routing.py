"""Version routing: which version a request that names none goes to, for all of its calls."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from keraserve_gateway.context import CallContext, RequestContext
from keraserve_gateway.errors import NotFound
from keraserve_gateway.upstream.canary import NEWEST, Canary
from keraserve_gateway.upstream.model_calls import ModelCalls, Request, Response
from keraserve_protocol import messages as m
from keraserve_protocol import services

Result = TypeVar("Result")


class VersionRouter:
    """`ModelCalls` for one request; all its calls go to the same version, unless that has gone.

    Args:
        server: the model server.
        canary: chooses the version.
        context: the request; is told the version that was chosen.
    """

    def __init__(self, server: ModelCalls, canary: Canary, context: RequestContext) -> None:
        self._server = server
        self._canary = canary
        self._context = context
        self._chosen: dict[str, tuple[int, ...]] = {}

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """See `ModelCalls`; a status is of all versions, where none is named."""
        if call is services.GET_MODEL_STATUS:
            return await self._server.ask(call, request, context)
        specs = [cast(m.PredictRequest, request).model_spec]  # as all others have one
        return await self.route(specs, lambda: self._server.ask(call, request, context))

    async def route(self, specs: Sequence[m.ModelSpec], call: Callable[[], Awaitable[Result]]) -> Result:
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
