"""The coalesced write: a response's head and the first of its body leave in one system call.

uvicorn writes them one after the other: that is a system call more, and whoever reads wakes twice.
"""

import asyncio

_CONTINUE = b"HTTP/1.1 100 "


class CoalescedWrite:
    """What a cycle writes to, in place of its transport.

    It does not know the cycle: two objects that know each other would be left to the garbage collector.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None  # empty once it has left

    def write(self, data: bytes) -> None:
        """Keep the head until something follows; pass on all else."""
        if self._head is None and not data.startswith(_CONTINUE):
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
