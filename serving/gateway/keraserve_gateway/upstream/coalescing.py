"""Request coalescing: one call of the model server in place of many.

A call costs both of its ends more than a small image does. So the classifications that come up in one turn of
the event loop for the same model leave as one call, if the version's rows are known to be independent. No
request waits for others; the busier the gateway, the more come up in a turn.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import cast

from keraserve_gateway.context import REQUEST_ID, CallContext, Deadline, Metadata, PlainCallContext
from keraserve_gateway.errors import BadRequest, DeadlineExceeded, InvalidResponse, TooLarge
from keraserve_gateway.time_limit import TimeLimit
from keraserve_gateway.upstream.independent_rows import IndependentRows
from keraserve_gateway.upstream.model_calls import Ask, Request, Response
from keraserve_protocol import messages as m
from keraserve_protocol import services

_MOST_BYTES = 1 << 20  # more bytes cost more than a call of their own

ResponseFuture = asyncio.Future[m.ClassificationResponse | None]


@dataclass(eq=False)
class _Waiting:
    """A request; its future gets the response, or None if the request is to be sent alone."""

    request: m.ClassificationRequest
    context: CallContext
    response: ResponseFuture = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def examples(self) -> int:
        return len(self.request.input.example_list.examples)

    @cached_property
    def length(self) -> int:
        """Its bytes; counting them takes as long as writing the message, and is needed only in a group."""
        return self.request.ByteSize()

    @property
    def group_key(self) -> tuple[bytes, Metadata]:
        """What requests in one call have in common. A trace has one caller, so it is not shared."""
        traces = [pair for pair in self.context.metadata if pair[0] != REQUEST_ID]
        return self.request.model_spec.SerializeToString(deterministic=True), tuple(traces)


@dataclass
class _Group:
    """Requests for one call."""

    requests: list[_Waiting] = field(default_factory=list["_Waiting"])
    examples: int = 0

    def add(self, one: _Waiting, most_examples: int) -> bool:
        """Take a request in unless it is too much; tells whether it is in."""
        examples = self.examples + one.examples
        together = [*self.requests, one]
        if self.requests and (examples > most_examples or sum(it.length for it in together) > _MOST_BYTES):
            return False
        self.requests, self.examples = together, examples
        return True


class RequestCoalescer:
    """Merges classifications. For one event loop.

    Args:
        ask: makes a call of the model server.
        most: how many examples of several requests may be in a call.
        rows: knows the versions whose rows are independent; requests for others go each alone.
    """

    def __init__(self, ask: Ask, most: int, rows: IndependentRows) -> None:
        self._ask = ask
        self._rows = rows
        self._most = most
        self._waiting: list[_Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """Make a call; see `Ask`."""
        if not isinstance(request, m.ClassificationRequest):
            return await self._ask(call, request, context)
        return cast(Response, await self.classify(request, context))

    async def classify(
        self, request: m.ClassificationRequest, context: CallContext
    ) -> m.ClassificationResponse:
        """Classify examples, maybe in one call with other requests, whose errors are not passed on.

        Raises:
            DeadlineExceeded: the context's deadline has passed.
            GatewayError: as the call.
        """
        one = _Waiting(request, context)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(one)
        try:
            with TimeLimit(context.timeout):
                response = await one.response
        except TimeoutError as error:
            raise DeadlineExceeded("the model server did not respond in time") from error
        if response is None:
            response = await self._ask(services.CLASSIFY, request, context)
            self._rows.learn(request.model_spec, m.version_of(response.model_spec))
        return response

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        groups: list[_Group] = []
        open_groups: dict[tuple[bytes, Metadata], _Group] = {}
        for one in waiting:
            if one.response.done():
                continue
            key = one.group_key
            group = open_groups.get(key)
            if group is None or not group.add(one, self._most):
                group = open_groups[key] = _Group()
                group.add(one, self._most)
                groups.append(group)
        for group in groups:
            several = len(group.requests) > 1
            version = self._rows.version(group.requests[0].request.model_spec) if several else None
            if version is not None:
                self._begin(group.requests, version)
                continue
            for one in group.requests:
                one.response.set_result(None)

    def _begin(self, group: Sequence[_Waiting], version: int) -> None:
        call = asyncio.create_task(self._call(group, version))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

        def done(response: ResponseFuture) -> None:
            if response.cancelled() and all(one.response.done() for one in group):
                call.cancel()  # no caller waits for it any more

        for one in group:
            one.response.add_done_callback(done)

    async def _call(self, group: Sequence[_Waiting], version: int) -> None:
        merged = m.ClassificationRequest(model_spec=group[0].request.model_spec)
        for one in group:
            merged.input.example_list.examples.extend(one.request.input.example_list.examples)
        longest = max(one.context.timeout for one in group)
        ids = [pair for one in group for pair in one.context.metadata if pair[0] == REQUEST_ID]
        context = PlainCallContext(Deadline.after(longest), ids)
        parts: Sequence[m.ClassificationResponse | None] = [None] * len(group)
        try:
            response = await self._ask(services.CLASSIFY, merged, context)
            if m.version_of(response.model_spec) == version:
                parts = _split(response, [one.examples for one in group])
            else:  # a new version, whose rows may depend on each other
                self._rows.learn(group[0].request.model_spec, m.version_of(response.model_spec))
        except (BadRequest, TooLarge, InvalidResponse):
            pass  # sent alone, each request gets its own status
        except Exception as error:
            for one in group:
                if not one.response.done():
                    one.response.set_exception(error)
            return
        for one, part in zip(group, parts, strict=True):
            if not one.response.done():
                one.response.set_result(part)


def _split(
    response: m.ClassificationResponse, sizes: Sequence[int]
) -> Sequence[m.ClassificationResponse | None]:
    """Return each request's part; None for each if there are more or fewer results than examples."""
    found = response.result.classifications
    if len(found) != sum(sizes):
        return [None] * len(sizes)
    results = iter(found)
    parts: list[m.ClassificationResponse | None] = []
    for size in sizes:
        part = m.ClassificationResponse(model_spec=response.model_spec)
        part.result.classifications.extend(islice(results, size))
        parts.append(part)
    return parts
