"""Writers of `make chaos`; what they sent and what was acknowledged goes to the log, which is checked at the end."""

import asyncio
import json
import time
from collections.abc import Sequence

import httpx

from scripts.chaos.batches import Author
from scripts.chaos.changers import Changer
from scripts.chaos.clients import (
    CONFLICT,
    CREATED,
    GIVE_UP,
    KEY_REUSED,
    OK,
    PRECONDITION_FAILED,
    Run,
)
from scripts.chaos.log import Batch, Context, digest, is_as_sent, payload_id
from scripts.chaos.windows import members

# Operations after which a writer makes another context of its own.
APPENDS_PER_CONTEXT = 40

# Seconds from one to the next append of a race, at most: about what one takes.
RACE = 0.01


class Writer(Changer):
    """Creates contexts, appends to them, and now and then changes how their windows are chosen."""

    def __init__(self, name: str, run: Run, shared: Sequence[Context] = ()) -> None:
        super().__init__(name, run)
        self._shared = shared
        self._own: list[Context] = []
        self._author = Author(self.random, self.next_id)

    async def work(self, number: int) -> None:
        """Appends, and now and then changes something, replays an earlier request or creates a context."""
        if number % APPENDS_PER_CONTEXT == 0 and (context := await self.create()):
            self._own.append(context)
        known = [context for context in (*self._own[-2:], *self._shared) if context.id]
        chance = self.random.random()
        if not known or chance < 0.1:
            await self.replay()
            return
        context = self.random.choice(known)
        if chance < 0.16:
            await self.set_policy(context)
        elif chance < 0.26:
            await self.compact(context)
        elif chance < 0.31:
            await self.undo(context)
        elif chance < 0.37:
            await self.race(context)
        else:
            await self.append(context)

    async def create(self) -> Context | None:
        """A new context; None where that was not acknowledged."""
        key = self.next_id()
        context = Context(key, {"name": f"{key} ünï", "metadata": {"payload": key}})
        if self.random.random() < 0.5:
            context.body["policy"] = members(self.random, 0.4)
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
        batch = self._author.batch(context)
        headers = self._begin(batch)
        chance = self.random.random()
        if chance < 0.04:
            body = batch.body
            await self.cut(f"{context.path}/messages", body, headers, self.random.randrange(len(body)))
            if self.random.random() < 0.5:
                return
        elif chance < 0.08:
            batch.complete = True
            await self.cut(f"{context.path}/messages", batch.body, headers, len(batch.body))
            if not batch.key or self.random.random() < 0.5:
                return
        await self._send(batch, headers, self.random.choice(("", "", "expectedVersion", "if-match")))

    async def race(self, context: Context) -> None:
        """Appends a call and at the same time its answers."""

        async def send(batch: Batch) -> None:
            headers = self._begin(batch)
            await asyncio.sleep(self.random.uniform(0, RACE))
            await self._send(batch, headers, "")

        await asyncio.gather(*map(send, self._author.race(context)))

    def _begin(self, batch: Batch) -> dict[str, str]:
        """Takes a batch to the log. Returns the headers that it is sent with."""
        batch.context.batches.append(batch)
        self.log.sent.update((payload_id(message), message) for message in batch.messages)
        return {"idempotency-key": batch.key} if batch.key else {}

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
        self._author.stored(batch)

    async def replay(self) -> None:
        """Sends an acknowledged append or creation again, or its key with another payload."""
        batches = [batch for batch in self.log.batches if batch.key and batch.acknowledged]
        compactions = [made for made in self.log.compactions if made.key and made.acknowledged]
        if not batches:
            return
        batch = self.random.choice(batches)
        chance = self.random.random()
        if compactions and self.random.random() < 0.3:
            again = self.reuse_compaction_key if chance < 0.3 else self.replay_compaction
            await again(self.random.choice(compactions))
        elif chance < 0.2:
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
        self.expect_replay(answer, batch.answer)

    async def replay_creation(self, context: Context) -> None:
        """Sends the creation of a context again."""
        body = json.dumps(context.body).encode()
        headers = {"idempotency-key": context.key}
        answer = await self.insist("POST", "/api/v1/contexts", {CREATED}, body=body, headers=headers)
        self.expect_replay(answer, context.answer)

    async def _reuse_key(self, batch: Batch) -> None:
        other = {"role": "user", "content": "other", "metadata": {"payload": self.next_id()}}
        self.log.unwanted.add(payload_id(other))
        body = json.dumps({"messages": [other]}).encode()
        headers = {"idempotency-key": batch.key or ""}
        await self.insist("POST", f"{batch.context.path}/messages", {KEY_REUSED}, body=body, headers=headers)
