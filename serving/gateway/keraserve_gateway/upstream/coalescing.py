"""Request coalescing: one call of the model server in place of many.

A call costs both of its ends more than a small image does. So what comes up in one turn of the event loop
for the same model leaves as one call, where each row is known to be answered as if it were alone. Nothing
waits for company; the busier the gateway, the more comes up in a turn.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from keraserve_gateway.context import REQUEST_ID, CallContext, Deadline, Metadata, PlainCallContext
from keraserve_gateway.errors import BadRequest, DeadlineExceeded, InvalidResponse, TooLarge
from keraserve_gateway.time_limit import TimeLimit
from keraserve_gateway.upstream.model_calls import Ask, Request, Response
from keraserve_protocol import messages as m
from keraserve_protocol import services


class Rows(Protocol):
    """See `IndependentRows`."""

    def version(self, spec: m.ModelSpec) -> int:
        """Give the version that a model spec means, if its rows are known to be independent; else 0."""
        ...

    def responded(self, spec: m.ModelSpec, version: int) -> None:
        """Note which version has answered a model spec."""
        ...


_MOST_BYTES = 1 << 20  # to carry so much costs more than a call


@dataclass(eq=False)
class _Waiting:
    """A request; its future gives the response, or None where the request shall go alone."""

    request: m.ClassificationRequest
    context: CallContext
    response: "asyncio.Future[m.ClassificationResponse | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def examples(self) -> int:
        return len(self.request.input.example_list.examples)

    @property
    def length(self) -> int:
        return self.request.ByteSize()

    @property
    def likeness(self) -> tuple[bytes, Metadata]:
        """What those that may leave together have in common. A trace has one caller, so it goes alone."""
        traces = [pair for pair in self.context.metadata if pair[0] != REQUEST_ID]
        return self.request.model_spec.SerializeToString(deterministic=True), tuple(traces)


@dataclass
class _Group:
    """Requests that leave together."""

    requests: list[_Waiting] = field(default_factory=list["_Waiting"])
    examples: int = 0
    length: int = 0  # in bytes

    def takes(self, one: _Waiting, most_examples: int) -> bool:
        return self.examples + one.examples <= most_examples and self.length + one.length <= _MOST_BYTES

    def add(self, one: _Waiting) -> None:
        self.requests.append(one)
        self.examples += one.examples
        self.length += one.length


class RequestCoalescer:
    """Merges classifications. Of one event loop.

    Args:
        ask: makes a call of the model server.
        most: how many examples of several requests may be in a call.
        rows: knows the versions whose rows are independent; requests for others go each alone.
    """

    def __init__(self, ask: Ask, most: int, rows: Rows) -> None:
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
        """Classify examples, maybe with those of others; nobody's fault is another's.

        Raises:
            DeadlineExceeded: the context's time was over.
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
            raise DeadlineExceeded("the model server did not answer in time") from error
        if response is None:
            response = await self._ask(services.CLASSIFY, request, context)
            self._rows.responded(request.model_spec, response.model_spec.version.value)
        return response

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        groups: list[_Group] = []
        open_ones: dict[tuple[bytes, Metadata], _Group] = {}
        for one in waiting:
            if one.response.done():
                continue
            likeness = one.likeness
            group = open_ones.get(likeness)
            if group is None or not group.takes(one, self._most):
                group = open_ones[likeness] = _Group()
                groups.append(group)
            group.add(one)
        for group in groups:
            several = len(group.requests) > 1
            version = self._rows.version(group.requests[0].request.model_spec) if several else 0
            if version:
                self._begin(group.requests, version)
                continue
            for one in group.requests:
                one.response.set_result(None)

    def _begin(self, group: Sequence[_Waiting], version: int) -> None:
        call = asyncio.create_task(self._call(group, version))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

        def left(response: "asyncio.Future[m.ClassificationResponse | None]") -> None:
            if response.cancelled() and all(one.response.done() for one in group):
                call.cancel()  # nobody waits for it any more

        for one in group:
            one.response.add_done_callback(left)

    async def _call(self, group: Sequence[_Waiting], version: int) -> None:
        merged = m.ClassificationRequest(model_spec=group[0].request.model_spec)
        for one in group:
            merged.input.example_list.examples.extend(one.request.input.example_list.examples)
        longest = max(one.context.timeout for one in group)
        ids = [pair for one in group for pair in one.context.metadata if pair[0] == REQUEST_ID]
        context = PlainCallContext(Deadline.after(longest), ids)
        try:
            response = await self._ask(services.CLASSIFY, merged, context)
            parts = _taken_apart(response, [one.examples for one in group])
            if response.model_spec.version.value != version:  # a new one, of which nothing is known yet
                self._rows.responded(group[0].request.model_spec, response.model_spec.version.value)
                parts = [None for _ in group]
        except (BadRequest, TooLarge, InvalidResponse):
            parts = [None for _ in group]
        except Exception as error:
            for one in group:
                if not one.response.done():
                    one.response.set_exception(error)
            return
        for one, part in zip(group, parts, strict=True):
            if not one.response.done():
                one.response.set_result(part)


def _taken_apart(
    response: m.ClassificationResponse, sizes: Sequence[int]
) -> "Sequence[m.ClassificationResponse | None]":
    """Give each request its part; None for each where there are not as many answers as examples."""
    found = response.result.classifications
    if len(found) != sum(sizes):
        return [None for _ in sizes]
    parts: list[m.ClassificationResponse | None] = []
    place = 0
    for size in sizes:
        part = m.ClassificationResponse(model_spec=response.model_spec)
        part.result.classifications.extend(found[place : place + size])
        parts.append(part)
        place += size
    return parts
