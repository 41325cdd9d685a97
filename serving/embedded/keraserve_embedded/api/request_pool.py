"""A thread pool for requests that counts them."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class RequestPool(ThreadPoolExecutor):
    """A thread pool with the number of its requests.

    Attributes:
        threads: how many requests run at once.
        held: how many requests run or wait.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(max_workers=threads, thread_name_prefix="request")
        self.threads = threads
        self.held = 0
        self._count = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits."""
        return self.held == 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run one request when a thread is free."""
        self._change(+1)
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._change(-1)
            raise
        future.add_done_callback(lambda _: self._change(-1))
        return future

    def _change(self, by: int) -> None:
        with self._count:
            self.held += by
