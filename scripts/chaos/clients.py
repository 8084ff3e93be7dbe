"""A client of `make chaos`: tries again as agents should, and checks the form of each answer when it comes."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.chaos.log import Batch, Faults, Log, Post, Sent, digest, payload_id
from scripts.chaos.stack import API_KEY, POSTED, Functions

# Operations after which a client rests: bounds a run on a fast machine.
MAX_OPERATIONS = 5000

# Seconds without a byte after which a client gives a request up and tries again: less than the service takes to.
TIMEOUT = 4.0

# Seconds after which a client leaves an operation unacknowledged.
GIVE_UP = 30.0

# Longest pause between two operations, in seconds.
PAUSE = 0.03

# The part of POSTs whose client goes away, half of these before it has sent all.
CUT = 0.08

CREATED, OK, NOT_MODIFIED = httpx.codes.CREATED, httpx.codes.OK, httpx.codes.NOT_MODIFIED
BAD_REQUEST, NOT_FOUND, CONFLICT, PRECONDITION_FAILED = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.NOT_FOUND,
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
        """The answer; None where there was none, or one that has none of statuses and is no 503: refused tells.

        Once somebody has begun to delete the context that the path names, that may be a 404.
        """
        url = self._functions.url(self.random.randrange(1 << 16)) + path
        content = {"content-type": "application/json"} if body is not None else {}
        began, sent = time.time(), time.monotonic()
        try:
            answer = await self._http.request(method, url, content=body, headers={**content, **(headers or {})})
        except httpx.TransportError as error:
            self.log.statuses[f"none: {type(error).__name__}"] += 1
            answer = None
        # From here on no other task of this client runs until its caller has looked.
        self.refused = False
        if answer is None:
            return None
        if "x-vercel-error" in answer.headers and answer.status_code in {502, 504}:
            self.log.statuses[f"{answer.status_code} of the platform"] += 1
            return None
        self.log.statuses[str(answer.status_code)] += 1
        deletion = self.log.deletion(path)
        wrong = _what_is_wrong(answer, {*statuses, UNAVAILABLE, *([NOT_FOUND] if deletion else [])})
        if deletion and deletion.acknowledged and deletion.acknowledged < began and not answer.is_error:
            # What was made before the deletion is still answered to its key.
            wrong = wrong or ("" if "idempotent-replayed" in answer.headers else "the context is deleted")
        self.log.answers.expect(not wrong, f"{method} {path}: {wrong}: {answer.status_code} {answer.text[:300]}")
        self.refused = bool(wrong) or answer.status_code not in {*statuses, UNAVAILABLE}
        if self.refused:
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
        sent: Sent | None = None,
    ) -> httpx.Response | None:
        """The answer to as many attempts as it takes; None after GIVE_UP seconds, or where it is refused.

        sent takes the time at which each attempt begins. A Post without a key is not tried again if it may be stored.
        """
        until = time.monotonic() + GIVE_UP
        while time.monotonic() < until:
            if sent is not None:
                sent.began.append(time.time())
            answer = await self.attempt(method, path, statuses, body=body, headers=headers)
            if answer is not None and answer.status_code != UNAVAILABLE:
                self.log.patience.expect(True, "")
                return answer
            if self.is_over(sent, answer):
                return None
            await self.pause_before_retry(answer)
        self.log.patience.expect(False, f"{method} {path}: not within {GIVE_UP:.0f} s")
        return None

    async def post(self, sent: Post, statuses: set[int]) -> httpx.Response | None:
        """The answer to what makes something, as insist has it."""
        sent.complete = True
        return await self.insist("POST", sent.target, statuses, body=sent.content, headers=sent.headers, sent=sent)

    def is_over(self, sent: Sent | None, answer: httpx.Response | None) -> bool:
        """Whether what was answered so, or not at all, is not tried again."""
        nothing_stored = answer is not None and answer.json()["code"] == "pool_exhausted"
        return self.refused or (isinstance(sent, Post) and not sent.key and not nothing_stored)

    async def pause_before_retry(self, answer: httpx.Response | None) -> None:
        """Waits as long as a 503 asks for, or a moment where nothing was answered."""
        if answer is None:
            self.log.retries["after no answer"] += 1
            await asyncio.sleep(self.random.uniform(0.02, 0.2))
        else:
            self.log.retries[f"after 503 {answer.json()['code']}"] += 1
            await asyncio.sleep(float(answer.headers["retry-after"]) + self.random.uniform(0, 0.1))

    async def replay(self, sent: Post) -> None:
        """Sends what was acknowledged again: whatever came since, the first answer."""
        answer = await self.insist("POST", sent.target, {CREATED}, body=sent.content, headers=sent.headers)
        if answer is not None:
            same = answer.headers.get("idempotent-replayed") == "true" and digest(answer.content) == sent.answer
            self.log.replays.expect(same, f"{sent.target}: {answer.text[:400]}")

    async def reuse_key(self, sent: Post) -> None:
        """Sends something else under the key of what was acknowledged."""
        other: dict[str, Any] = {"metadata": {"payload": self.next_id()}}
        self.log.unwanted.add(payload_id(other))
        if isinstance(sent, Batch):
            other = {"messages": [{"role": "user", "content": "other", **other}]}
        body = json.dumps({**sent.body, **other}).encode()
        await self.insist("POST", sent.target, {KEY_REUSED}, body=body, headers=sent.headers)

    async def goes_away(self, sent: Post) -> bool:
        """Goes away in the middle of some requests, or before their answer. Returns whether for good."""
        chance = self.random.random()
        if chance > CUT:
            return False
        await self.cut(sent, whole=chance < CUT / 2)
        return (sent.complete and not sent.key) or self.random.random() < 0.5

    async def cut(self, sent: Post, *, whole: bool) -> None:
        """Sends it, or the beginning of its body, and goes away without an answer."""
        content = sent.content
        count = len(content) if whole else self.random.randrange(len(content))
        if whole:
            sent.complete = True
            sent.began.append(time.time())
        self.log.cuts["before the answer" if whole else "in the middle of the body"] += 1
        ports = [process.port for process in self._functions.serving(POSTED[sent.target.rpartition("/")[2]])]
        # Past the router too, which would keep an incomplete body to itself.
        port = self.random.choice([*ports, urlsplit(self._functions.url(0)).port])
        lines = [f"POST {sent.target} HTTP/1.1", f"host: 127.0.0.1:{port}", f"authorization: Bearer {API_KEY}"]
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in sent.headers.items()]
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write("\r\n".join([*lines, "", ""]).encode() + content[:count])
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
