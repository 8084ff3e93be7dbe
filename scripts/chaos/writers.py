"""Writers of `make chaos`; what they sent and what was acknowledged goes to the log, which is checked at the end."""

import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

from scripts.chaos.clients import (
    CONFLICT,
    CREATED,
    GIVE_UP,
    KEY_REUSED,
    OK,
    PRECONDITION_FAILED,
    Client,
    Run,
)
from scripts.chaos.log import Batch, Context, Message, digest, is_as_sent, payload_id

# Operations after which a writer makes another context of its own.
APPENDS_PER_CONTEXT = 40

WORDS = ("context", "budget", "version", "größer", "文脈", "🙂", "\\u0041", '"', "</script>", "<|endoftext|>", "a\nb")


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
