"""Writers of `make chaos`; what they sent and what was acknowledged goes to the log, which is checked at the end."""

import asyncio
import json
import time

import httpx

from scripts.chaos.batches import Author
from scripts.chaos.clients import CONFLICT, CREATED, GIVE_UP, OK, PRECONDITION_FAILED, Run
from scripts.chaos.creators import Creator
from scripts.chaos.log import Batch, Context, digest, is_as_sent, payload_id

# Operations after which a writer makes another context of its own.
APPENDS_PER_CONTEXT = 40

# Seconds from one to the next append of a race, at most: about what one takes.
RACE = 0.01


class Writer(Creator):
    """Appends to contexts and forks them, and now and then changes how their windows are chosen, or deletes one."""

    def __init__(self, name: str, run: Run, shared: list[Context]) -> None:
        """Shared are contexts that all writers append to; one changes them where it has forked one."""
        super().__init__(name, run)
        self._shared = shared
        self._own: list[Context] = []
        self._author = Author(self.random, self.next_id)

    async def work(self, number: int) -> None:
        """Appends, and now and then forks or changes something, replays an earlier request or creates a context."""
        if number % APPENDS_PER_CONTEXT == 0 and (context := await self.create()):
            self._own.append(context)
        known = [context for context in (*self._own[-3:], *self._shared) if context.is_there]
        chance = self.random.random()
        if not known or chance < 0.1:
            await self.replay_any()
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
        elif chance < 0.43:
            await self.go_on_with_fork(context)
        else:
            await self.append(context)

    async def go_on_with_fork(self, context: Context) -> None:
        """Forks a context of its own or another's, and goes on with that; now and then alone, or with all others."""
        if self.random.random() < 0.3:
            context = self.random.choice([each for each in self.log.contexts if each.is_there])
        meanwhile = self.random.choice((self.append, self.compact, self.compact, self.undo, self.set_policy))
        if self.random.random() < 0.5:
            fork, _ = await asyncio.gather(self.fork(context), meanwhile(context))
        else:
            fork = await self.fork(context)
        if fork is None:
            return
        self._own.append(fork)
        self._author.forked(fork, context)
        moved = fork.body.get("moveExternalId") or self.random.random() < 0.2
        if context in self._shared:
            if moved:
                self._shared[self._shared.index(context)] = fork
        elif context.is_there and self.random.random() < 0.25:
            await self.delete(context)

    async def append(self, context: Context) -> None:
        """Appends a batch, in one of the ways that clients do."""
        batch = self._author.batch(context)
        self._begin(batch)
        if not await self.goes_away(batch):
            await self._send(batch, self.random.choice(("", "", "expectedVersion", "if-match")))

    async def leave(self, context: Context) -> None:
        """Appends and forks, each once without waiting for the answer, and once not even to the end of the body."""
        for whole in (True, False):
            batch = self._author.batch(context)
            batch.key = self.next_id()
            self._begin(batch)
            await self.cut(batch, whole=whole)
            await self.cut(self.begin_fork(context), whole=whole)

    async def race(self, context: Context) -> None:
        """Appends a call and at the same time its answers."""

        async def send(batch: Batch) -> None:
            self._begin(batch)
            await asyncio.sleep(self.random.uniform(0, RACE))
            await self._send(batch, "")

        await asyncio.gather(*map(send, self._author.race(context)))

    def _begin(self, batch: Batch) -> None:
        """Takes a batch to the log."""
        batch.context.batches.append(batch)
        self.log.sent.update((payload_id(message), message) for message in batch.messages)

    async def _send(self, batch: Batch, condition: str) -> None:
        """Sends until it is acknowledged or given up."""
        context = batch.context
        began = time.monotonic()
        version: int | None = None
        while time.monotonic() < began + GIVE_UP:
            if condition and version is None and (version := await self._latest_version(context)) is None:
                return
            content, headers = batch.content, batch.headers
            if condition == "expectedVersion":
                content = json.dumps({**batch.body, "expectedVersion": version}).encode()
            elif condition:
                headers["if-match"] = f'"{version}"'
            conflict = {"expectedVersion": {CONFLICT}, "if-match": {PRECONDITION_FAILED}}.get(condition, set())
            batch.began.append(time.time())
            batch.complete = True
            answer = await self.attempt("POST", batch.target, {CREATED, *conflict}, body=content, headers=headers)
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
            if self.is_over(batch, answer):
                return
            await self.pause_before_retry(answer)
        self.log.patience.expect(False, f"POST {batch.target}: not within {GIVE_UP:.0f} s")

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
            and answer.headers["etag"] == f'"{versions[-1]}"'
            and (expected_version is None or replayed or first == expected_version + 1)
            and (not replayed or len(batch.began) > 1)
        )
        self.log.appends.expect(right, f"{batch.context.id} {batch.key}: {answer.text[:400]}")
        batch.acknowledged = time.time()
        batch.first_version = first
        batch.message_ids = [message["id"] for message in stored]
        batch.answer = digest(answer.content)
        batch.context.latest_version = max(batch.context.latest_version, versions[-1])
        self._author.stored(batch)

    async def replay_any(self) -> None:
        """Sends something acknowledged again, or its key with another payload."""
        [keyed] = self.random.choices(self.log.keyed, (2, 1, 1))
        if keyed:
            again = self.reuse_key if self.random.random() < 0.25 else self.replay
            await again(self.random.choice(keyed))
