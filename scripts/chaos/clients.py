"""A client of `make chaos`: tries again as agents should, and checks the form of each answer when it comes."""

import asyncio
import contextlib
import itertools
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from scripts.chaos.log import Faults, Log, digest
from scripts.chaos.stack import API_KEY, MESSAGES, Functions

# Operations after which a client rests: bounds a run on a fast machine.
MAX_OPERATIONS = 5000

# Seconds without a byte after which a client gives a request up and tries again: less than the service takes to.
TIMEOUT = 4.0

# Seconds after which a client leaves an operation unacknowledged.
GIVE_UP = 30.0

# Longest pause between two operations, in seconds.
PAUSE = 0.03

CREATED, OK, NOT_MODIFIED = httpx.codes.CREATED, httpx.codes.OK, httpx.codes.NOT_MODIFIED
BAD_REQUEST, CONFLICT, PRECONDITION_FAILED = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.CONFLICT,
    httpx.codes.PRECONDITION_FAILED,
)
KEY_REUSED, UNAVAILABLE = httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.SERVICE_UNAVAILABLE

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "requestId"}


@dataclass(frozen=True, slots=True)
class Run:
    """What all clients of a run share."""

    seed: int
    functions: Functions
    log: Log
    faults: Faults


class Client(ABC):
    """A client of the API with a log and a random source of its own."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.log = run.log
        self.random = random.Random(f"{run.seed}/{name}")  # noqa: S311 - it must be repeatable, not secret
        self._functions = run.functions
        self._faults = run.faults
        self._numbers = itertools.count(1)
        self._operations = 0
        self.refused = False
        self._http = httpx.AsyncClient(headers={"authorization": f"Bearer {API_KEY}"}, timeout=TIMEOUT)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until stop is set."""
        while not stop.is_set() and self._operations < MAX_OPERATIONS:
            await self.work(self._operations)
            self._operations += 1
            await asyncio.sleep(self.random.uniform(0, PAUSE))

    @abstractmethod
    async def work(self, number: int) -> None:
        """One operation, the number-th."""

    async def attempt(
        self,
        method: str,
        path: str,
        statuses: set[int],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer; None where there was none, or one that has none of statuses and is no 503: refused tells."""
        url = self._functions.url(self.random.randrange(1 << 16)) + path
        content = {"content-type": "application/json"} if body is not None else {}
        sent = time.monotonic()
        self.refused = False
        try:
            answer = await self._http.request(method, url, content=body, headers={**content, **(headers or {})})
        except httpx.TransportError as error:
            self.log.statuses[f"none: {type(error).__name__}"] += 1
            return None
        if "x-vercel-error" in answer.headers and answer.status_code in {502, 504}:
            self.log.statuses[f"{answer.status_code} of the platform"] += 1
            return None
        self.log.statuses[str(answer.status_code)] += 1
        wrong = _what_is_wrong(answer, {*statuses, UNAVAILABLE})
        self.log.answers.expect(not wrong, f"{method} {path}: {wrong}: {answer.status_code} {answer.text[:300]}")
        self.refused = bool(wrong)
        if wrong:
            return None
        if answer.is_success:
            self._faults.succeeded(sent, time.monotonic())
        if method == "GET" and answer.status_code == OK and "etag" in answer.headers:
            self._expect_same_body(path, answer)
        return answer

    def _expect_same_body(self, path: str, answer: httpx.Response) -> None:
        """What has changed since must not come with an ETag that it had before."""
        etag, body = answer.headers["etag"], digest(answer.content)
        if (path, etag) in self.log.bodies:
            same = self.log.bodies[path, etag] == body
            self.log.etags.expect(same, f"{path}: another body before {etag}: {answer.text[:300]}")
        self.log.bodies[path, etag] = body

    async def insist(
        self,
        method: str,
        path: str,
        statuses: set[int],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        began: list[float] | None = None,
    ) -> httpx.Response | None:
        """The answer to as many attempts as it takes; None after GIVE_UP seconds, or where it is refused.

        began takes the time at which each attempt begins, in seconds since 1970.
        """
        until = time.monotonic() + GIVE_UP
        while time.monotonic() < until:
            if began is not None:
                began.append(time.time())
            answer = await self.attempt(method, path, statuses, body=body, headers=headers)
            if answer is not None and answer.status_code != UNAVAILABLE:
                self.log.patience.expect(True, "")
                return answer
            if self.refused:
                return None
            await self.pause_before_retry(answer)
        self.log.patience.expect(False, f"{method} {path}: not within {GIVE_UP:.0f} s")
        return None

    async def pause_before_retry(self, answer: httpx.Response | None) -> None:
        """Waits as long as a 503 asks for, or a moment where nothing was answered."""
        if answer is None:
            self.log.retries["after no answer"] += 1
            await asyncio.sleep(self.random.uniform(0.02, 0.2))
        else:
            self.log.retries[f"after 503 {answer.json()['code']}"] += 1
            await asyncio.sleep(float(answer.headers["retry-after"]) + self.random.uniform(0, 0.1))

    async def cut(
        self, path: str, body: bytes, headers: Mapping[str, str], sent: int, function: str = MESSAGES
    ) -> None:
        """Sends the first bytes of a POST's body, as many as sent, and goes away without an answer."""
        self.log.cuts["in the middle of the body" if sent < len(body) else "before the answer"] += 1
        ports = [process.port for process in self._functions.serving(function)]
        # Past the router too, which would keep an incomplete body to itself.
        port = self.random.choice([*ports, urlsplit(self._functions.url(0)).port])
        lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"authorization: Bearer {API_KEY}"]
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write("\r\n".join([*lines, "", ""]).encode() + body[:sent])
                await asyncio.sleep(self.random.uniform(0, 0.02))
                if self.random.random() < 0.5:
                    writer.transport.abort()
                else:
                    writer.close()
                    await writer.wait_closed()

    def next_id(self) -> str:
        """An id that no client uses twice."""
        return f"{self.name}-{next(self._numbers)}"


def _what_is_wrong(answer: httpx.Response, statuses: set[int]) -> str:
    """What the API does not promise about an answer; empty where all is well."""
    if answer.status_code not in statuses:
        return "undocumented status"
    if answer.status_code == NOT_MODIFIED:
        return "a body in a 304" if answer.content else ""
    try:
        value = answer.json()
    except ValueError:
        return "no JSON"
    if answer.is_success:
        right = answer.headers["content-type"] == "application/json" and "data" in value
    else:
        right = (
            answer.headers["content-type"] == "application/problem+json"
            and set(value) >= PROBLEM_MEMBERS
            and value["status"] == answer.status_code
            and (answer.status_code != UNAVAILABLE or answer.headers.get("retry-after", "").isdecimal())
        )
    return "" if right else "not in the documented form"
