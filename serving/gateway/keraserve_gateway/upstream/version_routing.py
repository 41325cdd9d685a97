"""Version routing: writes a version into the calls of a request that names none."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from keraserve_gateway.context import CallContext, RequestContext
from keraserve_gateway.errors import NotFound
from keraserve_gateway.upstream.canary import Canary
from keraserve_gateway.upstream.model_calls import Ask, Request, Response
from keraserve_protocol import messages as m
from keraserve_protocol import services

Result = TypeVar("Result")


class VersionRouter:
    """Chooses the version for one request; all its calls go to the same one, unless that has gone.

    Args:
        ask: makes a call of the model server.
        canary: chooses the version.
        context: of the request; its `version` is set to the chosen one.
    """

    def __init__(self, ask: Ask, canary: Canary, context: RequestContext) -> None:
        self._ask = ask
        self._canary = canary
        self._context = context
        self._versions: tuple[int | None, ...] = ()

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """Make a call, see `Ask`; a status is of all versions where none is named."""
        if call is services.GET_MODEL_STATUS:
            return await self._ask(call, request, context)
        specs = [cast(m.PredictRequest, request).model_spec]  # each of these requests has that field
        return await self.route(specs, lambda: self._ask(call, request, context))

    async def route(self, specs: Sequence[m.ModelSpec], call: Callable[[], Awaitable[Result]]) -> Result:
        """Write a version into `specs`, all of one model, and call; if it is not served, try the next one."""
        if specs[0].WhichOneof("version_choice") is not None:
            return await call()
        if self._context.label is not None:
            for spec in specs:
                spec.version_label = self._context.label
            return await call()
        self._versions = self._versions or self._canary.versions(specs[0].name, self._context.sticky)
        while True:
            self._choose(specs, self._versions[0])
            try:
                return await call()
            except NotFound as error:
                if len(self._versions) == 1 or not error.is_not_served:
                    raise
                self._versions = self._versions[1:]

    def _choose(self, specs: Sequence[m.ModelSpec], version: int | None) -> None:
        self._context.version = version  # set before the call, so that failures count for it
        for spec in specs:
            if version is None:
                spec.ClearField("version")
            else:
                spec.version.value = version
