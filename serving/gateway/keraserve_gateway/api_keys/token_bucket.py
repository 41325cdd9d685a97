"""A token bucket: a rate limit that says how long to wait when it is exceeded."""

import time


class TokenBucket:
    """Tokens for requests, refilled at `rate` a second; holds those of a second, and at least one."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = max(1.0, rate)
        self._tokens, self._at = self._most, time.monotonic()

    def take(self) -> float:
        """Take a token and return 0.0; if there is none, return the seconds until there is one."""
        now = time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate
