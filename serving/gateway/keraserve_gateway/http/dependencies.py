"""What a route works with: one request and the gateway's parts."""

from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from keraserve_gateway.calls.target import Answer, Target
from keraserve_gateway.context import Exchange, of
from keraserve_gateway.deadline import Trip
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import body
from keraserve_gateway.upstream.model_server import ModelServer
from keraserve_gateway.upstream.version_routing import Routed

MAX_VERSION = (1 << 63) - 1


class Call:
    """One request."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.gateway: Gateway = request.app.state.gateway
        self.exchange: Exchange = of(request.scope)
        """What the middleware will log and count."""
        self._routed: ModelServer = Routed(self.gateway.server, self.gateway.canary, self.exchange)

    @property
    def trip(self) -> Trip:
        """Deadline and request id."""
        return self.exchange.trip

    @property
    def server(self) -> ModelServer:
        """The upstream, which answers with the version that this request shall have."""
        return self._routed

    async def body(self) -> bytes:
        """Give the body, once; expanded, bounded, alone and together with all others in flight."""
        sent = len(self.exchange.body)
        whole = await body.expanded(self.exchange, self.gateway.settings.max_body_bytes)
        self.hold(max(0, len(whole) - sent))
        return whole

    def hold(self, size: int) -> None:
        """Count bytes in memory as this request's, until its end.

        Raises:
            Busy: there would be too many.
        """
        self.gateway.bodies.take(size)
        self.exchange.held += size

    def answer(self, answer: Answer) -> Response:
        """Send a finished JSON body."""
        self.exchange.version = answer.version or self.exchange.version
        return Response(answer.body, media_type="application/json")


class _Segment(Convertor[str]):
    """A path segment that ends at a colon, as the verbs of TensorFlow Serving's paths do."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def register_segment() -> None:
    """Teach Starlette the `:segment` of this package's paths."""
    register_url_convertor("segment", _Segment())


Model = Annotated[str, Path(description="name of the model", examples=["fashion-mnist"])]
Version = Annotated[int, Path(description="version of the model", ge=0, le=MAX_VERSION, examples=[1])]
Label = Annotated[str, Path(description="label of a version", examples=["stable"])]


# Coroutines, as FastAPI calls plain functions, and classes, in a thread each.
async def newest(request: Request, model: Model) -> Target:
    """The newest version."""
    return noted(request, Target(model))


async def by_version(request: Request, model: Model, version: Version) -> Target:
    """The version of that number."""
    return noted(request, Target(model, version=version))


async def by_label(request: Request, model: Model, label: Label) -> Target:
    """The version behind a label."""
    return noted(request, Target(model, label=label))


def noted(request: Request, target: Target) -> Target:
    """Tell the middleware which model a request is about."""
    of(request.scope).model = target.name
    return target


async def this_call(request: Request) -> Call:
    """Make it of FastAPI's."""
    return Call(request)


ThisCall = Annotated[Call, Depends(this_call)]

MODEL = "/v1/models/{model:segment}"
TARGETS = (
    ("", "", newest),
    ("/versions/{version:segment}", "_version", by_version),
    ("/labels/{label:segment}", "_label", by_label),
)
"""The three ways to name a model: what is added to its path, to the operation's id, and how it is read."""
