"""`Client` and `AsyncClient`: one request sent over HTTP with httpx2, sync and async."""

import asyncio
import errno
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import httpx2

from keraserve_client._errors import ConnectionFailed, DeadlineExceeded, InvalidInput, KeraserveError
from keraserve_client._keys import authorization
from keraserve_client._verbs import AsyncVerbs, Verbs
from keraserve_client._wire import HttpPlans, HttpRequest, HttpResponse, accept
from keraserve_protocol.open_inference import HEADER_LENGTH

DEFAULT_URL = "http://127.0.0.1:8000"
_CHUNK = 256 * 1024
# Each caller has one request in flight; the gateway limits how many there are in all.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None)


class Client(Verbs[HttpRequest, HttpResponse]):
    """Talks to a Keraserve gateway over HTTP.

        with Client("http://127.0.0.1:8000") as client:
            [prediction] = client.classify("fashion-mnist", "boot.png")
            print(prediction.best.label)

    May be shared between threads.

    Args:
        url: the gateway's address, `http://` or `https://`; a path in it is kept.
        timeout: seconds that a call may take in all, retries and waiting included.
        retries: how often at most a call is repeated after connection errors and statuses 429, 502, 503 and
            504; None: as long as the timeout allows.
        api_key: the key for a gateway with keys; None takes the environment's KERASERVE_API_KEY, "" none.
        tls: how to check an `https://` server, as `ssl.create_default_context(cafile="ca.pem")`; None takes
            the system's certificates.

    Raises:
        InvalidInput: not such an address, or a setting out of range.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        retries: int | None = None,
        api_key: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(HttpPlans(), timeout, retries)
        self._url = _address(url)
        self._http = httpx2.Client(limits=_LIMITS, headers=_headers(api_key), verify=tls or True)

    def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""
        self._http.close()

    def _send(self, request: HttpRequest, seconds: float) -> HttpResponse | KeraserveError:
        limit = _Limit(seconds)
        options = _options(request)
        if request.body:
            options["content"] = limit.watch(request.body)
        try:
            with self._http.stream(
                request.method, self._url + request.path, extensions=limit.extensions, **options
            ) as response:
                body = b"".join(limit.checked(response.iter_bytes()))
                return accept(_http_response(response, body))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            return _failure(error, self._url)


class AsyncClient(AsyncVerbs[HttpRequest, HttpResponse]):
    """Talks to a Keraserve gateway over HTTP, in asyncio; the settings are those of `Client`.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            [prediction] = await client.classify("fashion-mnist", "boot.png")

    For one event loop: that of its first call.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = 30.0,
        retries: int | None = None,
        api_key: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(HttpPlans(), timeout, retries)
        self._url = _address(url)
        self._http = httpx2.AsyncClient(
            limits=_LIMITS, headers=_headers(api_key), verify=tls or True, timeout=None
        )

    async def close(self) -> None:
        """Close the connections; the client can't be used afterwards."""
        await self._http.aclose()

    async def _send(self, request: HttpRequest, seconds: float) -> HttpResponse | KeraserveError:
        options = _options(request)
        if request.body:
            options["content"] = request.body
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.request(request.method, self._url + request.path, **options)
            return accept(_http_response(response, response.content))
        except TimeoutError:
            return DeadlineExceeded(f"no response within {seconds:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            return _failure(error, self._url)


class _Limit:
    """A time limit for a whole request; httpx2 has only one for each read and write.

    Its timeouts are set to the time that is left whenever it begins to connect, send or receive, and the time
    is checked after every chunk.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timeout: dict[str, float] = {}
        self.extensions: dict[str, Any] = {"timeout": self._timeout, "trace": self._trace}
        self._set()

    def _set(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpx2.ReadTimeout("the time is up")
        self._timeout.update(connect=left, read=left, write=left, pool=left)

    def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event.endswith(".started") and "close" not in event:
            self._set()

    def watch(self, body: bytes) -> Iterator[bytes]:
        """Yield the body in chunks, as long as there is time."""
        return self.checked(body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK))

    def checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass chunks on, as long as there is time."""
        for chunk in chunks:
            self._set()
            yield chunk


def _address(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InvalidInput(f"{url!r} is no address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidInput(f"{url!r} is no address: it has to start with http:// or https://")
    return url.rstrip("/")


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json, application/octet-stream", "User-Agent": "keraserve-client"}
    if value := authorization(api_key):
        headers["Authorization"] = value
    return headers


def _options(request: HttpRequest) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if request.media_type:
        headers["Content-Type"] = request.media_type
    if request.json_length is not None:
        headers[HEADER_LENGTH] = str(request.json_length)
    if request.body:
        headers["Content-Length"] = str(len(request.body))
    return {"headers": headers}


def _http_response(response: httpx2.Response, body: bytes) -> HttpResponse:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return HttpResponse(response.status_code, headers, body)


def _failure(error: Exception, url: str) -> KeraserveError:
    if isinstance(error, httpx2.TimeoutException):
        return DeadlineExceeded(f"{url} did not respond in time")
    return ConnectionFailed(f"no server responds at {url}: {_cause(error)}", lasting=_is_lasting(error))


def _is_lasting(error: Exception) -> bool:
    """Tell whether the server speaks no HTTP or is not trusted, which a retry would not change."""
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLError):
            return isinstance(inner, ssl.SSLCertVerificationError) or inner.reason == "WRONG_VERSION_NUMBER"
    return isinstance(error, httpx2.RemoteProtocolError) and "illegal" in str(error)  # h11's word for no HTTP


def _cause(error: Exception) -> str:
    """The operating system's message, if there is one: it says more than the errors around it."""
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {inner.verify_message}"
        if isinstance(inner, ssl.SSLError):  # an OSError too, with a number of OpenSSL's own
            return f"TLS failed: {(inner.reason or str(inner)).replace('_', ' ').lower()}"
        if isinstance(inner, OSError) and inner.errno:
            known = inner.errno in errno.errorcode
            return (os.strerror(inner.errno) if known else str(inner.strerror)).lower()
    return str(error).rstrip(".") or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        else:
            error = error.__cause__ or error.__context__
