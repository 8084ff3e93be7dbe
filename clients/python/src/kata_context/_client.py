"""The clients: one that waits, and one to be awaited. Both have the same calls, and send them the same way."""

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import cache, wraps
from ssl import SSLContext
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, cast, overload

import httpx2

from kata_context import _requests as requests
from kata_context._appends import parts
from kata_context._requests import Page, Request, pause
from kata_context.errors import ConnectionFailed, KataError
from kata_context.types import AppendMessagesArguments, Message

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
H = TypeVar("H", httpx2.Client, httpx2.AsyncClient)

VERSION = "0.1.0"

# Scheme, host or IPv6 address, port and path.
URL = r"(?i:https?)://(\[[\da-fA-F:.]+\]|[^\s/?#@\\:\[\]]+)(:\d{1,5})?(/[^\s?#\\]*)?"

# Bytes; the service's are of 4.5 MB at most.
LONGEST_ANSWER = 16_000_000

# Seconds: sockets take no number of any size.
LONGEST_TIMEOUT = 86_400.0

# What a request fails with.
FAILURES = (httpx2.RequestError, TimeoutError, KataError)

logger = logging.getLogger("kata_context")


class Pages(Generic[T]):
    """The items of a list, read page by page while you iterate."""

    def __init__(self, send: "Callable[[Request[Page[T]]], Page[T]]", request: Request[Page[T]]) -> None:
        self._send, self._request = send, request

    def pages(self) -> Iterator[list[T]]:
        """Its pages, which may be shorter than limit, or empty."""
        request: Request[Page[T]] | None = self._request
        while request:
            page = self._send(request)
            yield page["data"]
            request = request.at(page["nextCursor"]) if page["hasMore"] else None

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page


class AsyncPages(Generic[T]):
    """The items of a list, read page by page while you iterate."""

    def __init__(self, send: "Callable[[Request[Page[T]]], Awaitable[Page[T]]]", request: Request[Page[T]]) -> None:
        self._send, self._request = send, request

    async def pages(self) -> AsyncIterator[list[T]]:
        """Its pages, which may be shorter than limit, or empty."""
        request: Request[Page[T]] | None = self._request
        while request:
            page = await self._send(request)
            yield page["data"]
            request = request.at(page["nextCursor"]) if page["hasMore"] else None

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item


class _Call(Generic[P, T]):
    """A call of both clients, which has the arguments and the docstring of the request that it makes."""

    def __init__(self, make: Callable[P, Request[T]]) -> None:
        self._make = make

    @overload
    def __get__(self: "_Call[P, Page[Item]]", client: "Client", _: Any) -> Callable[P, Pages[Item]]: ...
    @overload
    def __get__(self: "_Call[P, Page[Item]]", client: "AsyncClient", _: Any) -> Callable[P, AsyncPages[Item]]: ...
    @overload
    def __get__(self, client: "Client", _: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", _: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, _: Any) -> Callable[P, Request[T]]: ...
    def __get__(self, client: Any, _: Any) -> Any:
        @wraps(self._make)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            send, request = client._send, cast("Request[Any]", self._make(*args, **kwargs))  # noqa: SLF001 - of here
            if request.read is not requests.page:
                return send(request)
            return (Pages if isinstance(client, Client) else AsyncPages)(send, request)

        return self._make if client is None else call


class _Either(Generic[H]):
    """What Client and AsyncClient share."""

    create_context = _Call(requests.create_context)
    get_context = _Call(requests.get_context)
    update_context = _Call(requests.update_context)
    delete_context = _Call(requests.delete_context)
    contexts = _Call(requests.contexts)
    messages = _Call(requests.messages)
    window = _Call(requests.window)
    compact = _Call(requests.compact)
    compactions = _Call(requests.compactions)
    get_compaction = _Call(requests.get_compaction)
    undo_compaction = _Call(requests.undo_compaction)
    fork = _Call(requests.fork)
    forks = _Call(requests.forks)
    health = _Call(requests.health)

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30,
        max_retries: int = 4,
        http_client: H | None = None,
    ) -> None:
        """Calls url, or else KATA_CONTEXT_URL, or else what `make dev` serves; api_key or else KATA_CONTEXT_API_KEY.

        timeout is in seconds, of each request and not of the call, which fails when max_retries more have failed.
        http_client brings proxies, certificates and the like. Raises ValueError for a url, key or timeout that is none.
        """
        self.url = (url or os.environ.get("KATA_CONTEXT_URL") or "http://127.0.0.1:3000").strip().rstrip("/")
        try:
            host = re.fullmatch(URL, self.url) and httpx2.URL(self.url).host.encode("idna")
        except (httpx2.InvalidURL, UnicodeError):
            host = None
        if not host:
            raise ValueError("the service's URL is http:// or https:// and a host, without a user and a query")
        key = (api_key or os.environ.get("KATA_CONTEXT_API_KEY") or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the API key has characters that no header takes")
        if not timeout > 0:
            raise ValueError("timeout is a number of seconds above 0")
        self.max_retries = max_retries
        self._headers = httpx2.Headers({"User-Agent": f"kata-context-python/{VERSION}", "Accept-Encoding": "gzip"})
        if key:
            self._headers["Authorization"] = f"Bearer {key}"  # which no repr of Headers shows
        self._timeout = min(timeout, LONGEST_TIMEOUT)
        self._given: H | None = http_client
        self._own: dict[Any, H] = {}  # by what their connections belong to
        self._entered = Counter[asyncio.AbstractEventLoop]()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _sent(self, request: Request[Any]) -> dict[str, Any]:
        """The request as httpx2 takes it."""
        return {
            "method": request.method,
            "url": self.url + request.path,
            "params": request.query,
            "headers": httpx2.Headers([*self._headers.items(), *request.headers.items()]),
            "content": request.body,
            "timeout": self._timeout,
            "follow_redirects": False,
        }

    def _pause(self, request: Request[Any], error: Exception, attempts: int) -> float:
        """Seconds to wait after the attempts-th request has failed; raises the error where it was the last."""
        if not isinstance(error, KataError):
            error, cause = ConnectionFailed(f"{self.url}: {type(error).__name__}: {error}".rstrip(": ")), error
            error.__cause__ = cause
        error.idempotency_key = request.key
        seconds = pause(error, attempts) if attempts <= self.max_retries else None
        if seconds is None:
            raise error
        logger.debug("%s %s again in %.1f s: %s", request.method, request.path, seconds, error)
        return seconds


@cache
def _certificates() -> SSLContext:
    """Whom to trust; read once, as that takes 50 ms and more."""
    return httpx2.create_ssl_context()


def _check(response: httpx2.Response) -> None:
    """Raises httpx2.DecodingError for an answer in a packing that was not asked for: a few bytes may be gigabytes."""
    packed = response.headers.get("content-encoding", "gzip")
    if packed not in {"gzip", "identity"}:
        raise httpx2.DecodingError(f"packed with {packed}, which was not asked for")


class Client(_Either[httpx2.Client]):
    """Calls the service and waits for the answers; threads may share it. Calls raise KataError."""

    def append(
        self, context_id: str, messages: Iterable[Mapping[str, Any]], **arguments: Unpack[AppendMessagesArguments]
    ) -> list[Message]:
        """Appends messages, and answers how they are stored.

        What is more than the service takes at once goes in several requests, each of which is stored whole and once.
        Where one fails, the same call with the error's idempotency_key stores what is missing.
        """
        stored: list[Message] = []
        for part in parts(context_id, messages, arguments, stored):
            new: list[Message] = self._send(part)
            stored += new
        return stored

    def close(self) -> None:
        """Closes its connections, and a given http_client."""
        if http := self._given or self._own.pop(os.getpid(), None):
            http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _http(self) -> httpx2.Client:
        """Of this process: on a connection that a fork shares, each would read what the other has asked for."""
        if self._given:
            return self._given
        process = os.getpid()
        return self._own.get(process) or self._own.setdefault(process, httpx2.Client(verify=_certificates()))

    def _send(self, request: Request[T]) -> T:
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._ask(request, attempts)
            except FAILURES as error:
                time.sleep(self._pause(request, error, attempts))

    def _ask(self, request: Request[T], attempt: int) -> T:
        until, content = time.monotonic() + self._timeout, bytearray()
        with self._http.stream(**self._sent(request)) as response:
            _check(response)
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LONGEST_ANSWER:
                    break
                if time.monotonic() > until:
                    raise TimeoutError
        return request.result(response.status_code, response.headers, content, attempt)


class AsyncClient(_Either[httpx2.AsyncClient]):
    """The same to be awaited; may be used from several event loops. Calls raise KataError."""

    async def append(
        self, context_id: str, messages: Iterable[Mapping[str, Any]], **arguments: Unpack[AppendMessagesArguments]
    ) -> list[Message]:
        """Appends messages, and answers how they are stored: as Client's."""
        stored: list[Message] = []
        for part in parts(context_id, messages, arguments, stored):
            new: list[Message] = await self._send(part)
            stored += new
        return stored

    async def close(self) -> None:
        """Closes its connections of this event loop, and a given http_client."""
        if http := self._given or self._own.pop(asyncio.get_running_loop(), None):
            await http.aclose()

    async def __aenter__(self) -> Self:
        self._entered[asyncio.get_running_loop()] += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        self._entered[loop] -= 1
        if not self._entered[loop]:  # other tasks may be within it
            del self._entered[loop]
            await self.close()

    @property
    def _http(self) -> httpx2.AsyncClient:
        """Of this event loop, to which its connections belong."""
        if self._given:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._own:
            for closed in [each for each in tuple(self._own) if each.is_closed()]:
                self._own.pop(closed, None)
            self._own[loop] = httpx2.AsyncClient(verify=_certificates())
        return self._own[loop]

    async def _send(self, request: Request[T]) -> T:
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._ask(request, attempts)
            except FAILURES as error:
                await asyncio.sleep(self._pause(request, error, attempts))

    async def _ask(self, request: Request[T], attempt: int) -> T:
        content = bytearray()
        async with asyncio.timeout(self._timeout), self._http.stream(**self._sent(request)) as response:
            _check(response)
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > LONGEST_ANSWER:
                    break
        return request.result(response.status_code, response.headers, content, attempt)
