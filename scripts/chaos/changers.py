"""Clients of `make chaos` that change how windows are chosen: policies, compactions and their undoing."""

import json
import time
from typing import Any

import httpx

from scripts.chaos.clients import BAD_REQUEST, CONFLICT, CREATED, OK, Client
from scripts.chaos.log import Compaction, Context, Patch, Refusal, Undo, digest, is_summary_as_sent
from scripts.chaos.windows import Parts, Question, members, wrong_window

# Asked for before and after a change: whatever changes in it must come with another ETag.
LOOK = Question({"budget": 1000, "compactionDue": {"threshold": 0.3, "keepTokens": 500}})

SUMMARY = ("They asked", "größer", "文脈", "🙂", '"', "a\nb", "and it was done")


class Changer(Client):
    """Sets policies, compacts and undoes, and does it again as clients do."""

    async def set_policy(self, context: Context) -> None:
        """Patches the policy, now and then away."""
        patch = Patch(policy=None if self.random.random() < 0.1 else members(self.random, 0.4))
        context.patches.append(patch)
        await self._look(context)
        body = json.dumps({"policy": patch.policy}).encode()
        answer = await self.insist("PATCH", context.path, {OK}, body=body, sent=patch)
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
        compaction = Compaction(context=context, key=key, body=body)
        context.compactions.append(compaction)
        self.log.summaries[body["metadata"]["payload"]] = compaction
        if await self.goes_away(compaction):
            return
        await self.make_compaction(compaction)
        await self._look(context)

    async def make_compaction(self, compaction: Compaction) -> None:
        """Sends a compaction until it is acknowledged, refused or given up."""
        least = compaction.context.latest_version
        refusals = {BAD_REQUEST, CONFLICT} if "expectedNumber" in compaction.body else {BAD_REQUEST}
        answer = await self.post(compaction, {CREATED, *refusals})
        if answer is None:
            return
        if answer.status_code == CREATED:
            self._take(compaction, answer)
        else:
            refusal = Refusal(compaction, answer.json(), compaction.began[-1], time.time(), least)
            self.log.refusals.append(refusal)

    def _take(self, compaction: Compaction, answer: httpx.Response) -> None:
        compaction.acknowledged = time.time()
        compaction.answer = digest(answer.content)
        compaction.stored = made = answer.json()["data"]
        replayed = answer.headers.get("idempotent-replayed") == "true"
        right = (
            made["metadata"] == compaction.body["metadata"]
            and is_summary_as_sent(made, self.log)
            and made["undoneAt"] is None
            and answer.headers["location"] == f"{compaction.target}/{made['number']}"
            and (not replayed or len(compaction.began) > 1)
        )
        self.log.changes.expect(right, f"{compaction.context.id} {compaction.key}: {answer.text[:400]}")

    async def undo(self, context: Context) -> None:
        """Undoes one of the compactions that were acknowledged; again is the same. An ancestor's cannot be undone."""
        numbers = [made.stored["number"] for made in context.compactions if made.acknowledged]
        window = await self._look(context)
        summary = Parts.of(window).summary if window else None
        # Most often the one in force: else windows do not change.
        if summary and self.random.random() < 0.7:
            number = summary["compactionNumber"]
        elif numbers and window:
            number = self.random.choice(numbers)
        else:
            return
        path = f"{context.path}/compactions/{number}"
        if summary and number == summary["compactionNumber"] and summary["contextId"] != context.id:
            answer = await self.insist("DELETE", path, {CONFLICT})
            right = answer is None or answer.json()["code"] == "compaction_not_owned"
            self.log.changes.expect(right, f"{path}: {answer and answer.text[:400]}")
            return
        times = set()
        for _ in range(1 if self.random.random() < 0.7 else 2):
            undo = Undo(number=number)
            context.undos.append(undo)
            answer = await self.insist("DELETE", path, {OK}, sent=undo)
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
