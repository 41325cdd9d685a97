"""An answer's head and the first of its body leave in one system call.

uvicorn writes them one after the other: that is a system call more, and whoever reads wakes twice.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class OneWrite:
    """What a cycle writes to, in place of its transport."""

    def __init__(self, cycle: RequestResponseCycle, transport: asyncio.Transport) -> None:
        self._cycle = cycle
        self._transport = transport
        self._head: bytes | None = None  # empty once it has left

    def write(self, data: bytes) -> None:
        """Keep the head until something follows; pass on all else."""
        if self._head is None and self._cycle.response_started:  # before: "100 Continue"
            self._head = data
        elif self._head:
            self._transport.write(self._head + data)
            self._head = b""
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """As the transport."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Write what is kept, and close the transport."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
        self._transport.close()
