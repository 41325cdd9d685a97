"""FastAPI dependencies of the routes: the current request, and the model and version in its path."""

from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from keraserve_gateway.calls.image_check import Image
from keraserve_gateway.calls.offloading import LARGE, offload
from keraserve_gateway.calls.target import ModelResponse, Target
from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import BadRequest, UnsupportedMediaType
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.http import multipart, request_body
from keraserve_gateway.http.scope import context_of
from keraserve_gateway.upstream.model_calls import Ask
from keraserve_gateway.upstream.version_routing import VersionRouter
from keraserve_protocol import messages as m

_FORM = "multipart/form-data"


class HttpCall:
    """One request, with the gateway's objects."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.gateway: Gateway = request.app.state.gateway
        self.context: RequestContext = context_of(request.scope)
        self.ask: Ask = VersionRouter(self.gateway.server.ask, self.gateway.canary, self.context).ask
        """Calls the model server, with version routing for this request."""

    async def body(self) -> bytes:
        """Return the body, once; expanded, within the limits on one body and on all in flight."""
        sent = len(self.context.body)
        whole = await request_body.expanded(self.context, self.gateway.settings.max_body_bytes)
        self.hold(max(0, len(whole) - sent))
        return whole

    async def images(self) -> list[Image]:
        """Return the body's images. Only multipart types matter: many clients send no type, or any.

        Raises:
            GatewayError: UnsupportedMediaType for a body of another multipart type, or as `body` and
                `multipart.images`.
        """
        content_type = self.context.header("content-type") or ""
        kind = content_type.partition(";")[0].strip().lower()
        if kind == _FORM:
            form, most = await self.body(), self.gateway.settings.max_images
            return await offload(self.context, len(form) > LARGE, multipart.images, form, content_type, most)
        if kind.startswith("multipart/"):
            raise UnsupportedMediaType(
                f"a body of type {kind[:100]!r}; send {_FORM}, or one image as the body"
            )
        return [Image(await self.body())]

    def hold(self, size: int) -> None:
        """Count more bytes in memory for this request, until its end.

        Raises:
            Overloaded: the bodies in flight would have too many.
        """
        self.gateway.bodies.take(size)
        self.context.held += size

    def respond(self, response: ModelResponse) -> Response:
        """Make the response of a JSON body."""
        self.context.record_version(response.version)
        return Response(response.body, media_type="application/json")


class _Segment(StringConvertor):
    """A path segment that ends before a colon, as TensorFlow Serving's verbs follow one."""

    regex = "[^/:]+"


def register_segment() -> None:
    """Register `:segment`, which this package's paths use, with Starlette."""
    register_url_convertor("segment", _Segment())


Model = Annotated[str, Path(description="name of the model", examples=["fashion-mnist"])]


def _digits(given: object) -> object:
    """Let only digits pass: pydantic also takes a sign, spaces, underscores and `1.0` for a whole number."""
    if isinstance(given, str) and not (given.isascii() and given.isdecimal()):
        raise PydanticCustomError("digits", "has to be a whole number, in digits")
    return given


Digits = BeforeValidator(_digits)
Version = Annotated[
    int, Digits, Path(description="version of the model", ge=0, le=m.MAX_VERSION, examples=[1])
]
Label = Annotated[str, Path(description="label of a version", examples=["stable"])]


# Coroutines, as FastAPI calls plain functions and classes in threads.
async def newest(request: Request, model: Model) -> Target:
    """Target the newest version."""
    return record_model(request, Target(model))


async def by_version(request: Request, model: Model, version: Version) -> Target:
    """Target a version by its number."""
    return record_model(request, Target(model, version=version))


async def by_label(request: Request, model: Model, label: Label) -> Target:
    """Target a version by its label."""
    return record_model(request, Target(model, label=label))


def record_model(request: Request, target: Target) -> Target:
    """Record in the request's context which model it is about."""
    context_of(request.scope).model = target.name
    return target


async def current_call(request: Request) -> HttpCall:
    """Make the `HttpCall` of a request."""
    return HttpCall(request)


def check_once(request: Request) -> None:
    """Raise BadRequest for a query parameter that is there twice: one of its values would be ignored."""
    given = request.query_params.multi_items() if request.scope["query_string"] else []
    if len(given) > len({name for name, _ in given}):
        raise BadRequest("a query parameter is there twice")


CurrentCall = Annotated[HttpCall, Depends(current_call)]

MODEL = "/v1/models/{model:segment}"
TARGETS = (
    ("", "", newest),
    ("/versions/{version:segment}", "_version", by_version),
    ("/labels/{label:segment}", "_label", by_label),
)
"""The three ways to name a version: suffix of the path, suffix of the operation's id, dependency."""
