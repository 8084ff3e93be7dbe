"""The clients of `make chaos`: writers that retry as agents should, and readers that check all they are told.

Each answer is checked when it comes; what was sent and acknowledged goes to the log, which is checked at the end.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from scripts.chaos_log import Batch, Context, Faults, Log, Message, digest, is_as_sent, payload_id
from scripts.chaos_stack import API_KEY, MESSAGES, Functions

WRITERS = 8
READERS = 4

# Contexts that all writers append to; each has others of its own.
SHARED_CONTEXTS = 2

# Operations after which a writer makes another context of its own.
APPENDS_PER_CONTEXT = 40

# Operations after which a client rests: bounds a run on a fast machine.
MAX_OPERATIONS = 5000

# Seconds without a byte after which a client gives a request up and tries again: less than the service takes to.
TIMEOUT = 4.0

# Seconds after which a client leaves an operation unacknowledged.
GIVE_UP = 30.0

# Longest pause between two operations, in seconds.
PAUSE = 0.03

CREATED, OK, NOT_MODIFIED = httpx.codes.CREATED, httpx.codes.OK, httpx.codes.NOT_MODIFIED
CONFLICT, PRECONDITION_FAILED = httpx.codes.CONFLICT, httpx.codes.PRECONDITION_FAILED
KEY_REUSED, UNAVAILABLE = httpx.codes.UNPROCESSABLE_ENTITY, httpx.codes.SERVICE_UNAVAILABLE

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "requestId"}

WORDS = ("context", "budget", "version", "größer", "文脈", "🙂", "\\u0041", '"', "</script>", "<|endoftext|>", "a\nb")


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
        return answer

    async def insist(
        self,
        method: str,
        path: str,
        statuses: set[int],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer to as many attempts as it takes; None after GIVE_UP seconds, or where it is refused."""
        until = time.monotonic() + GIVE_UP
        while time.monotonic() < until:
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

    async def cut(self, path: str, body: bytes, headers: Mapping[str, str], sent: int) -> None:
        """Sends the first bytes of an append's body, as many as sent, and goes away without an answer."""
        self.log.cuts["in the middle of the body" if sent < len(body) else "before the answer"] += 1
        ports = [process.port for process in self._functions.serving(MESSAGES)]
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


# --- Writers


class Writer(Client):
    """Creates contexts and appends to them."""

    def __init__(self, name: str, run: Run, shared: Sequence[Context] = ()) -> None:
        super().__init__(name, run)
        self._shared = shared
        self._own: list[Context] = []
        # Calls in a context that a later batch answers.
        self._open_calls: list[tuple[Context, str]] = []

    async def work(self, number: int) -> None:
        """Appends, and now and then replays an earlier request or creates a context."""
        if number % APPENDS_PER_CONTEXT == 0 and (context := await self.create()):
            self._own.append(context)
        known = [context for context in (*self._own[-2:], *self._shared) if context.id]
        if known and self.random.random() < 0.9:
            await self.append(self.random.choice(known))
        else:
            await self.replay()

    async def create(self) -> Context | None:
        """A new context; None where that was not acknowledged."""
        key = self.next_id()
        context = Context(key, {"name": f"{key} ünï", "metadata": {"payload": key}})
        self.log.contexts.append(context)
        body = json.dumps(context.body).encode()
        answer = await self.insist("POST", "/api/v1/contexts", {CREATED}, body=body, headers={"idempotency-key": key})
        if answer is None:
            return None
        context.id = answer.json()["data"]["id"]
        context.answer = digest(answer.content)
        return context

    async def append(self, context: Context) -> None:
        """Appends a batch, in one of the ways that clients do."""
        batch = self._batch(context)
        context.batches.append(batch)
        self.log.sent.update((payload_id(message), message) for message in batch.messages)
        headers = {"idempotency-key": batch.key} if batch.key else {}
        chance = self.random.random()
        if chance < 0.04:
            body = batch.body
            await self.cut(f"{context.path}/messages", body, headers, self.random.randrange(len(body)))
            if self.random.random() < 0.5:
                return
        elif chance < 0.08:
            batch.complete = True
            await self.cut(f"{context.path}/messages", batch.body, headers, len(batch.body))
            if not batch.key or self.random.random() < 0.2:
                return
        await self._send(batch, headers, self.random.choice(("", "", "expectedVersion", "if-match")))

    async def _send(self, batch: Batch, headers: dict[str, str], condition: str) -> None:
        """Sends until it is acknowledged or given up."""
        context = batch.context
        began = time.monotonic()
        version: int | None = None
        while time.monotonic() < began + GIVE_UP:
            if condition and version is None and (version := await self._latest_version(context)) is None:
                return
            body, conditional = batch.body, dict(headers)
            if condition == "expectedVersion":
                body = json.dumps({"messages": batch.messages, "expectedVersion": version}).encode()
            elif condition:
                conditional["if-match"] = f'"{version}"'
            conflict = {"expectedVersion": {CONFLICT}, "if-match": {PRECONDITION_FAILED}}.get(condition, set())
            batch.attempts += 1
            batch.complete = True
            path = f"{context.path}/messages"
            answer = await self.attempt("POST", path, {CREATED, *conflict}, body=body, headers=conditional)
            if answer is not None and answer.status_code == CREATED:
                self._acknowledge(batch, answer, version)
                self.log.patience.expect(True, "")
                self.log.slowest_write = max(self.log.slowest_write, time.monotonic() - began)
                return
            if answer is not None and answer.status_code in {CONFLICT, PRECONDITION_FAILED}:
                self.log.retries["after another writer came first"] += 1
                self.log.appends.expect(
                    answer.json()["currentVersion"] != version, f"{context.id}: refused although at version {version}"
                )
                version = None
                continue
            nothing_stored = answer is not None and answer.json()["code"] == "pool_exhausted"
            if self.refused or not (batch.key or nothing_stored):
                return
            await self.pause_before_retry(answer)
        self.log.patience.expect(False, f"POST {context.path}/messages: not within {GIVE_UP:.0f} s")

    async def _latest_version(self, context: Context) -> int | None:
        answer = await self.insist("GET", context.path, {OK})
        return None if answer is None else int(answer.json()["data"]["latestVersion"])

    def _acknowledge(self, batch: Batch, answer: httpx.Response, expected_version: int | None) -> None:
        stored = answer.json()["data"]
        replayed = answer.headers.get("idempotent-replayed") == "true"
        versions = [message["version"] for message in stored]
        first = versions[0] if versions else 0
        right = (
            versions == list(range(first, first + len(batch.messages)))
            and all(is_as_sent(*pair) for pair in zip(stored, batch.messages, strict=True))
            and all(message["contextId"] == batch.context.id for message in stored)
            and answer.headers["etag"] == f'"{versions[-1]}"'
            and (expected_version is None or replayed or first == expected_version + 1)
            and (not replayed or batch.attempts > 1 or bool(self.log.cuts))
        )
        self.log.appends.expect(right, f"{batch.context.id} {batch.key}: {answer.text[:400]}")
        batch.first_version = first
        batch.message_ids = [message["id"] for message in stored]
        batch.answer = digest(answer.content)
        batch.context.latest_version = max(batch.context.latest_version, versions[-1])
        calls = batch.messages[-1].get("toolCalls")
        if calls:
            self._open_calls.append((batch.context, calls[0]["id"]))

    async def replay(self) -> None:
        """Sends an acknowledged append or creation again, or its key with another payload."""
        batches = [batch for batch in self.log.batches if batch.key and batch.acknowledged]
        if not batches:
            return
        batch = self.random.choice(batches)
        chance = self.random.random()
        if chance < 0.2:
            await self._reuse_key(batch)
        elif chance < 0.4:
            await self.replay_creation(batch.context)
        else:
            await self.replay_append(batch)

    async def replay_append(self, batch: Batch) -> None:
        """Sends an acknowledged append again."""
        answer = await self.insist(
            "POST",
            f"{batch.context.path}/messages",
            {CREATED},
            body=batch.body,
            headers={"idempotency-key": batch.key or ""},
        )
        self._expect_replay(answer, batch.answer)

    async def replay_creation(self, context: Context) -> None:
        """Sends the creation of a context again."""
        body = json.dumps(context.body).encode()
        headers = {"idempotency-key": context.key}
        answer = await self.insist("POST", "/api/v1/contexts", {CREATED}, body=body, headers=headers)
        self._expect_replay(answer, context.answer)

    def _expect_replay(self, answer: httpx.Response | None, first: str) -> None:
        if answer is not None:
            same = answer.headers.get("idempotent-replayed") == "true" and digest(answer.content) == first
            self.log.replays.expect(same, f"{answer.request.url.path}: {answer.text[:400]}")

    async def _reuse_key(self, batch: Batch) -> None:
        other = {"role": "user", "content": "other", "metadata": {"payload": self.next_id()}}
        self.log.unwanted.add(payload_id(other))
        body = json.dumps({"messages": [other]}).encode()
        headers = {"idempotency-key": batch.key or ""}
        await self.insist("POST", f"{batch.context.path}/messages", {KEY_REUSED}, body=body, headers=headers)

    # --- What it writes

    def _batch(self, context: Context) -> Batch:
        key = None if self.random.random() < 0.15 else self.next_id()
        mine = [call for to, call in self._open_calls if to is context]
        messages: list[Message] = []
        if mine:
            self._open_calls = [(to, call) for to, call in self._open_calls if to is not context]
            messages += [self._message("tool", toolCallId=call, toolName="look_up") for call in mine]
        for _ in range(self.random.randint(1, 3)):
            messages.append(self._message("user"))
            if self.random.random() < 0.4:
                calls = [self._call() for _ in range(self.random.randint(1, 3))]
                messages.append(self._message("assistant", content=None, toolCalls=calls))
                # Answers in a later batch: the writer comes back to them.
                if len(calls) == 1 and self.random.random() < 0.3:
                    break
                messages += [self._message("tool", toolCallId=call["id"], toolName="look_up") for call in calls]
            messages.append(self._message("assistant", model="a-model"))
        return Batch(context, key, messages)

    def _call(self) -> dict[str, Any]:
        arguments = json.dumps({"word": self.random.choice(WORDS)})
        return {"id": self.next_id(), "type": "function", "function": {"name": "look_up", "arguments": arguments}}

    def _message(self, role: str, **members: Any) -> Message:
        message: Message = {
            "role": role,
            "content": self._content(),
            "metadata": {"payload": self.next_id()},
            **members,
        }
        if self.random.random() < 0.8:
            message["tokenCount"] = self.random.randint(1, 400)
        return message

    def _content(self) -> str | list[dict[str, Any]]:
        # Now and then more than a TCP segment or a socket's buffer holds.
        count = self.random.choice((3, 10, 40, 100)) if self.random.random() < 0.98 else 20_000
        text = " ".join(self.random.choices(WORDS, k=count))
        return [{"type": "text", "text": text}, {"type": "x", "n": 1.5}] if self.random.random() < 0.1 else text


# --- Readers


class Reader(Client):
    """Reads contexts while they grow, and checks that what it reads is consistent."""

    async def work(self, number: int) -> None:  # noqa: ARG002 - each is alike
        """Reads one of the contexts that are known to be there."""
        known = [context for context in self.log.contexts if context.id]
        if known:
            read = self.random.choice((self.read_context, self.read_page, self.read_window, self.read_window))
            await read(self.random.choice(known))

    async def read_context(self, context: Context) -> None:
        """Reads the context; again, with its ETag, it is a 304 unless a version came."""
        least = context.latest_version
        answer = await self.insist("GET", context.path, {OK})
        if answer is None:
            return
        data = answer.json()["data"]
        right = data["latestVersion"] >= least and data["messageCount"] == data["latestVersion"]
        self.log.pages.expect(right and data["metadata"] == context.body["metadata"], f"{least}: {answer.text[:300]}")
        again = await self.insist("GET", context.path, {OK, NOT_MODIFIED}, headers={"if-none-match": data_etag(answer)})
        if again is not None and again.status_code == OK:
            self.log.pages.expect(
                again.json()["data"]["latestVersion"] > data["latestVersion"], f"{context.id}: no 304"
            )

    async def read_page(self, context: Context) -> None:
        """Reads a page."""
        least = context.latest_version
        limit = self.random.randint(1, 60)
        cursor = self.random.randint(0, max(0, least - limit // 2))
        answer = await self.insist("GET", f"{context.path}/messages?cursor={cursor}&limit={limit}", {OK})
        if answer is not None:
            page = answer.json()
            wrong = self.wrong_page(page, cursor, limit, least)
            self.log.pages.expect(not wrong, f"{context.id} after {cursor} limit {limit}: {wrong}")

    def wrong_page(self, page: dict[str, Any], cursor: int, limit: int, least: int) -> str:
        """What is wrong with a page; least is a version that the context had reached before."""
        data = page["data"]
        if [message["version"] for message in data] != list(range(cursor + 1, cursor + 1 + len(data))):
            return "versions with gaps"
        if len(data) < min(limit, least - cursor):
            return f"{len(data)} messages, although version {least} was acknowledged"
        if page["nextCursor"] != (data[-1]["version"] if page["hasMore"] else None):
            return "nextCursor and hasMore contradict the page"
        return self._wrong_content(data)

    async def read_window(self, context: Context) -> None:
        """Reads a window."""
        least = context.latest_version
        budget = self.random.choice((1, 300, 1000, 4000, 12_000))
        answer = await self.insist("GET", f"{context.path}/window?budget={budget}", {OK})
        if answer is not None:
            wrong = self.wrong_window(answer.json(), budget, least)
            if not wrong and answer.headers["etag"] != f'"{answer.json()["lastVersion"] or 0}"':
                wrong = f"ETag {answer.headers['etag']}"
            self.log.windows.expect(not wrong, f"{context.id} budget {budget}: {wrong}: {answer.text[:200]}")

    def wrong_window(self, window: dict[str, Any], budget: int, least: int) -> str:
        """What is wrong with a window; least is a version that the context had reached before."""
        data = window["data"]
        if not data:
            return "no messages, although some were acknowledged" if least else ""
        first, last = data[0]["version"], data[-1]["version"]
        used = sum(message["tokenCount"] for message in data)
        expected = {
            "budget": budget,
            "usedTokens": used,
            "overBudget": used > budget,
            "firstVersion": first,
            "lastVersion": last,
            "droppedCount": first - 1,
        }
        if {name: window[name] for name in expected} != expected:
            return f"figures are not {expected}"
        if (window["totalTokens"] == used) != (first == 1) or window["totalTokens"] < used:
            return f"totalTokens {window['totalTokens']}"
        if [message["version"] for message in data] != list(range(first, last + 1)) or last < least:
            return f"versions with gaps, or not up to {least}"
        calls: set[str] = set()
        for message in data:
            calls.update(call["id"] for call in message["toolCalls"] or ())
            if message["role"] == "tool" and message["toolCallId"] not in calls:
                return f"the call of version {message['version']} is missing"
        return self._wrong_content(data)

    def _wrong_content(self, data: Sequence[Message]) -> str:
        for message in data:
            sent = self.log.sent.get(payload_id(message))
            if sent is None or not is_as_sent(message, sent):
                return f"version {message['version']} is not as sent"
        return ""


def data_etag(answer: httpx.Response) -> str:
    """The ETag of an answer."""
    return str(answer.headers["etag"])
