"""Clients of `make chaos` that change how windows are chosen: policies, compactions and their undoing."""

import json
import time
from typing import Any

import httpx

from scripts.chaos.clients import (
    BAD_REQUEST,
    CONFLICT,
    CREATED,
    GIVE_UP,
    KEY_REUSED,
    OK,
    UNAVAILABLE,
    Client,
)
from scripts.chaos.log import Compaction, Context, Patch, Refusal, Undo, digest, is_summary_as_sent
from scripts.chaos.stack import COMPACTIONS
from scripts.chaos.windows import Question, members, wrong_window

# Asked for before and after a change: whatever changes in it must come with another ETag.
LOOK = Question({"budget": 1000, "compactionDue": {"threshold": 0.3, "keepTokens": 500}})

SUMMARY = ("They asked", "größer", "文脈", "🙂", '"', "a\nb", "and it was done")


class Changer(Client):
    """Sets policies, compacts and undoes, and does it again as clients do."""

    async def set_policy(self, context: Context) -> None:
        """Patches the policy, now and then away."""
        patch = Patch(context, policy=None if self.random.random() < 0.1 else members(self.random, 0.4))
        context.patches.append(patch)
        await self._look(context)
        body = json.dumps({"policy": patch.policy}).encode()
        answer = await self.insist("PATCH", context.path, {OK}, body=body, began=patch.began)
        if answer is None:
            return
        patch.acknowledged = time.time()
        shown = answer.json()["data"]["policy"]
        named = shown if patch.policy is None else {name: shown.get(name) for name in patch.policy}
        self.log.changes.expect(named == (patch.policy or {}), f"{context.id} {patch.policy}: {answer.text[:400]}")
        await self._look(context)

    async def compact(self, context: Context) -> None:
        """Makes a compaction: where one is due, or where it likes."""
        window = await self._look(context)
        if window is None:
            return
        in_force = window["compaction"]["number"] if window["compaction"] else 0
        if window["compactionDue"] and self.random.random() < 0.6:
            through = window["compactionDue"]["throughVersion"]
        else:
            through = self.random.randint(1, context.latest_version + 2)
        body: dict[str, Any] = {
            "throughVersion": through,
            "summary": " ".join(self.random.choices(SUMMARY, k=self.random.randint(1, 40))),
            "metadata": {"payload": self.next_id()},
        }
        if self.random.random() < 0.5:
            body["role"] = self.random.choice(("user", "assistant", "system"))
        if self.random.random() < 0.6:
            body["tokenCount"] = self.random.randint(1, 150)
        if self.random.random() < 0.5:
            body["expectedNumber"] = in_force if self.random.random() < 0.7 else self.random.randint(0, 5)
        key = None if self.random.random() < 0.15 else self.next_id()
        compaction = Compaction(context, key=key, body=body)
        context.compactions.append(compaction)
        self.log.summaries[body["metadata"]["payload"]] = compaction
        if await self._cut(compaction):
            return
        await self.make(compaction)
        await self._look(context)

    async def _cut(self, compaction: Compaction) -> bool:
        """Goes away in the middle of some. Returns whether for good."""
        chance = self.random.random()
        if chance > 0.1:
            return False
        body = json.dumps(compaction.body).encode()
        compaction.complete = chance < 0.07
        sent = len(body) if compaction.complete else self.random.randrange(len(body))
        if compaction.complete:
            compaction.began.append(time.time())
        await self.cut(f"{compaction.context.path}/compactions", body, _headers(compaction), sent, COMPACTIONS)
        return not compaction.key or self.random.random() < 0.5

    async def make(self, compaction: Compaction) -> None:
        """Sends a compaction until it is acknowledged, refused or given up."""
        context, path = compaction.context, f"{compaction.context.path}/compactions"
        body = json.dumps(compaction.body).encode()
        least, until = context.latest_version, time.monotonic() + GIVE_UP
        refusals = {BAD_REQUEST, CONFLICT} if "expectedNumber" in compaction.body else {BAD_REQUEST}
        while time.monotonic() < until:
            compaction.began.append(time.time())
            compaction.complete = True
            answer = await self.attempt("POST", path, {CREATED, *refusals}, body=body, headers=_headers(compaction))
            if answer is not None and answer.status_code != UNAVAILABLE:
                self.log.patience.expect(True, "")
                if answer.status_code == CREATED:
                    self._take(compaction, answer)
                else:
                    refusal = Refusal(compaction, answer.json(), compaction.began[-1], time.time(), least)
                    self.log.refusals.append(refusal)
                return
            nothing_stored = answer is not None and answer.json()["code"] == "pool_exhausted"
            if self.refused or not (compaction.key or nothing_stored):
                return
            await self.pause_before_retry(answer)
        self.log.patience.expect(False, f"POST {path}: not within {GIVE_UP:.0f} s")

    def _take(self, compaction: Compaction, answer: httpx.Response) -> None:
        compaction.acknowledged = time.time()
        compaction.answer = digest(answer.content)
        compaction.stored = made = answer.json()["data"]
        replayed = answer.headers.get("idempotent-replayed") == "true"
        right = (
            made["metadata"] == compaction.body["metadata"]
            and is_summary_as_sent(made, self.log)
            and made["contextId"] == compaction.context.id
            and made["undoneAt"] is None
            and answer.headers["location"] == f"{compaction.context.path}/compactions/{made['number']}"
            and (not replayed or len(compaction.began) > 1)
        )
        self.log.changes.expect(right, f"{compaction.context.id} {compaction.key}: {answer.text[:400]}")

    async def undo(self, context: Context) -> None:
        """Undoes one of the compactions that were acknowledged; again is the same."""
        numbers = [made.stored["number"] for made in context.compactions if made.acknowledged]
        window = await self._look(context)
        if not numbers or window is None:
            return
        # Most often the one in force: else windows do not change.
        number = self.random.choice(numbers)
        if window["compaction"] and self.random.random() < 0.7:
            number = window["compaction"]["number"]
        times = set()
        for _ in range(1 if self.random.random() < 0.7 else 2):
            undo = Undo(context, number=number)
            context.undos.append(undo)
            path = f"{context.path}/compactions/{number}"
            answer = await self.insist("DELETE", path, {OK}, began=undo.began)
            if answer is None:
                return
            undo.acknowledged = time.time()
            undone = answer.json()["data"]
            undo.undone_at = undone["undoneAt"]
            times.add(undo.undone_at)
            right = undone["number"] == number and undone["undoneAt"] and len(times) == 1
            self.log.changes.expect(right, f"{path}: {answer.text[:400]}")
        window = await self._look(context)
        gone = window is None or not window["compaction"] or window["compaction"]["number"] != number
        self.log.changes.expect(gone, f"{context.id}: {number} is in force although it was undone")

    async def replay_compaction(self, compaction: Compaction) -> None:
        """Sends an acknowledged compaction again: whatever came since, the first answer."""
        path = f"{compaction.context.path}/compactions"
        body = json.dumps(compaction.body).encode()
        answer = await self.insist("POST", path, {CREATED}, body=body, headers=_headers(compaction))
        self.expect_replay(answer, compaction.answer)

    async def reuse_compaction_key(self, compaction: Compaction) -> None:
        """Sends another compaction under the key of one that was acknowledged."""
        other = {**compaction.body, "metadata": {"payload": self.next_id()}}
        self.log.unwanted.add(other["metadata"]["payload"])
        body = json.dumps(other).encode()
        path = f"{compaction.context.path}/compactions"
        await self.insist("POST", path, {KEY_REUSED}, body=body, headers=_headers(compaction))

    def expect_replay(self, answer: httpx.Response | None, first: str) -> None:
        """Holds a replayed answer against the digest of the first one."""
        if answer is not None:
            same = answer.headers.get("idempotent-replayed") == "true" and digest(answer.content) == first
            self.log.replays.expect(same, f"{answer.request.url.path}: {answer.text[:400]}")

    async def _look(self, context: Context) -> dict[str, Any] | None:
        """The window as the stored policy has it, but for a budget and when a compaction is due."""
        least = context.latest_version
        answer = await self.insist("GET", f"{context.path}/window?{LOOK.query}", {OK})
        if answer is None:
            return None
        window: dict[str, Any] = answer.json()
        wrong = wrong_window(window, answer.headers["etag"], LOOK, least, self.log)
        self.log.windows.expect(not wrong, f"{context.id} {LOOK.query}: {wrong}: {answer.text[:200]}")
        return window


def _headers(compaction: Compaction) -> dict[str, str]:
    return {"idempotency-key": compaction.key} if compaction.key else {}
