"""What an ASGI scope carries of ours: the request's context, and two marks in its state."""

from typing import cast

from starlette.types import Scope

from keraserve_gateway.context import RequestContext

_CONTEXT = "keraserve.context"
CLIENT_GONE = "keraserve.client_gone"  # in the scope's state, if its client closed the connection
IN_WORK = "keraserve.in_work"  # in the scope's state, while it has a place among those in flight


def new_context(scope: Scope, deadline_seconds: float) -> RequestContext:
    """Make the context of an HTTP request and keep it in its scope."""
    # Read once: Starlette looks through all headers for each. Of several with one name the first counts.
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
    context = RequestContext.from_headers(sent.get, deadline_seconds)
    scope[_CONTEXT] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """Give the context of an HTTP request."""
    return cast(RequestContext, scope[_CONTEXT])
