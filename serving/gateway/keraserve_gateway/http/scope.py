"""What the gateway keeps in an ASGI scope: the request's context, and two flags in its state."""

from typing import cast

from starlette.types import Scope

from keraserve_gateway.context import RequestContext

_CONTEXT = "keraserve.context"
# In the scope's state, if set:
CLIENT_GONE = "keraserve.client_gone"  # the client has closed the connection
IN_FLIGHT = "keraserve.in_flight"  # the request has a slot, and no response yet


def new_context(scope: Scope, deadline_seconds: float) -> RequestContext:
    """Make the context of an HTTP request and keep it in its scope."""
    # A dict, as Starlette searches all headers each time. The first of several with one name counts.
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
    context = RequestContext.from_headers(sent.get, deadline_seconds)
    scope[_CONTEXT] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """Return the context of an HTTP request."""
    return cast(RequestContext, scope[_CONTEXT])
