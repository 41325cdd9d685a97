"""A limit on the bytes of all messages in flight, on both ports together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from keraserve_embedded.errors import BusyError, TooLargeError


class MessageBytes:
    """Counts the bytes of messages. From any thread.

    Attributes:
        limit: the most bytes together.
        held: the bytes that are counted now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._count = threading.Lock()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count a message within the context; raises as `acquire`."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)

    def acquire(self, size: int) -> None:
        """Count more bytes, until `release`.

        Raises:
            TooLargeError: they alone exceed the limit.
            BusyError: they exceed it together with those of other messages.
        """
        if size > self.limit:
            raise TooLargeError(
                f"the message has {size} bytes, which is larger than max_bytes_in_flight, {self.limit}: raise"
                " the model server's --max_bytes_in_flight"
            )
        with self._count:
            if self.held + size > self.limit:
                raise BusyError(
                    f"the messages in flight have {self.held} bytes, this one {size} more; together"
                    f" {self.limit} are allowed (--max_bytes_in_flight)"
                )
            self.held += size

    def release(self, size: int) -> None:
        """Count fewer bytes."""
        with self._count:
            self.held -= size
