"""The clients over HTTP: how to ask one question with httpx2, sync and async."""

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
# One request at a time and caller; the gateway limits what is in flight, not we.
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
        api_key: what a gateway with keys asks for; None takes the environment's KERASERVE_API_KEY, "" none.
        tls: how to check an `https://` server, as `ssl.create_default_context(cafile="ca.pem")`; None trusts
            whom the system trusts.

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

    def _ask(self, question: HttpRequest, seconds: float) -> HttpResponse | KeraserveError:
        limit = _Limit(seconds)
        options = _options(question)
        if question.body:
            options["content"] = limit.watch(question.body)
        try:
            with self._http.stream(
                question.method, self._url + question.path, extensions=limit.extensions, **options
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

    async def _ask(self, question: HttpRequest, seconds: float) -> HttpResponse | KeraserveError:
        options = _options(question)
        if question.body:
            options["content"] = question.body
        try:
            async with asyncio.timeout(seconds):
                response = await self._http.request(question.method, self._url + question.path, **options)
            return accept(_http_response(response, response.content))
        except TimeoutError:
            return DeadlineExceeded(f"no response within {seconds:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            return _failure(error, self._url)


class _Limit:
    """Holds httpx2 to a total time, where it knows only one for every single read and write.

    Its time is set anew to what is left whenever a part of the exchange begins (connecting, sending,
    receiving), and checked after every chunk.
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
        """Give the body in chunks, as long as there is time."""
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
    """The headers of every request."""
    headers = {"Accept": "application/json, application/octet-stream", "User-Agent": "keraserve-client"}
    if value := authorization(api_key):
        headers["Authorization"] = value
    return headers


def _options(question: HttpRequest) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if question.media_type:
        headers["Content-Type"] = question.media_type
    if question.json_length is not None:
        headers[HEADER_LENGTH] = str(question.json_length)
    if question.body:
        headers["Content-Length"] = str(len(question.body))
    return {"headers": headers}


def _http_response(response: httpx2.Response, body: bytes) -> HttpResponse:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return HttpResponse(response.status_code, headers, body)


def _failure(error: Exception, url: str) -> KeraserveError:
    if isinstance(error, httpx2.TimeoutException):
        return DeadlineExceeded(f"{url} did not answer in time")
    return ConnectionFailed(f"no server answers at {url}: {_cause(error)}", lasting=_is_lasting(error))


def _is_lasting(error: BaseException) -> bool:
    """Tell a server that is another one, or not trusted, from one that is away."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLError):
            return isinstance(inner, ssl.SSLCertVerificationError) or inner.reason == "WRONG_VERSION_NUMBER"
        inner = inner.__cause__ or inner.__context__
    return isinstance(error, httpx2.RemoteProtocolError) and "illegal" in str(error)  # h11's word for no HTTP


def _cause(error: BaseException) -> str:
    """The operating system's words if it has any: they say more than what is wrapped around them."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {inner.verify_message}"
        if isinstance(inner, ssl.SSLError):  # an OSError too, with a number of OpenSSL's own
            return f"TLS failed: {(inner.reason or str(inner)).replace('_', ' ').lower()}"
        if isinstance(inner, OSError) and inner.errno:
            plain = os.strerror(inner.errno) if inner.errno in errno.errorcode else str(inner.strerror)
            return plain.lower()
        if isinstance(inner, BaseExceptionGroup):
            inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
        else:
            inner = inner.__cause__ or inner.__context__
    return str(error).rstrip(".") or type(error).__name__
