"""What a route works with: one request and the gateway's parts."""

from typing import Annotated

from fastapi import Depends, Path, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import request_body
from keraserve_gateway.http.scope import context_of
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_gateway.upstream.version_routing import VersionRouter

MAX_VERSION = (1 << 63) - 1


class HttpCall:
    """One request."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.gateway: Gateway = request.app.state.gateway
        self.context: RequestContext = context_of(request.scope)
        """What the middleware will log and count."""
        self.ask: Ask = VersionRouter(self.gateway.server.ask, self.gateway.canary, self.context).ask
        """Makes a call of the model server, of the version that this request shall get."""

    async def body(self) -> bytes:
        """Give the body, once; expanded, bounded, alone and together with all others in flight."""
        sent = len(self.context.body)
        whole = await request_body.expanded(self.context, self.gateway.settings.max_body_bytes)
        self.hold(max(0, len(whole) - sent))
        return whole

    def hold(self, size: int) -> None:
        """Count bytes in memory as this request's, until its end.

        Raises:
            Overloaded: there would be too many.
        """
        self.gateway.bodies.take(size)
        self.context.held += size

    def respond(self, response: ModelResponse) -> Response:
        """Send a finished JSON body."""
        self.context.version = response.version or self.context.version
        return Response(response.body, media_type="application/json")


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
    return record_model(request, Target(model))


async def by_version(request: Request, model: Model, version: Version) -> Target:
    """The version of that number."""
    return record_model(request, Target(model, version=version))


async def by_label(request: Request, model: Model, label: Label) -> Target:
    """The version behind a label."""
    return record_model(request, Target(model, label=label))


def record_model(request: Request, target: Target) -> Target:
    """Record in a request's context which model it is about."""
    context_of(request.scope).model = target.name
    return target


async def current_call(request: Request) -> HttpCall:
    """Make it of FastAPI's."""
    return HttpCall(request)


CurrentCall = Annotated[HttpCall, Depends(current_call)]

MODEL = "/v1/models/{model:segment}"
TARGETS = (
    ("", "", newest),
    ("/versions/{version:segment}", "_version", by_version),
    ("/labels/{label:segment}", "_label", by_label),
)
"""The three ways to name a model: what is added to its path, to the operation's id, and how it is read."""
