"""Clients of `make chaos` that create, fork and delete contexts."""

import asyncio
import time
from typing import Any

import httpx

from scripts.chaos.changers import Changer
from scripts.chaos.clients import BAD_REQUEST, CONFLICT, CREATED, NOT_FOUND, OK
from scripts.chaos.log import Context, Refusal, Sent, digest
from scripts.chaos.windows import members

# Versions above the latest that is known that a fork may ask for: too many, or written meanwhile.
ABOVE = 30


class Creator(Changer):
    """Creates, forks and deletes, and does it again as clients do."""

    async def create(self) -> Context | None:
        """A new context; None where that was not acknowledged."""
        key = self.next_id()
        context = Context(key=key, body={"name": f"{key} ünï", "metadata": {"payload": key}})
        if self.random.random() < 0.5:
            context.body["policy"] = members(self.random, 0.4)
        if self.random.random() < 0.7:
            context.body["externalId"] = f"{key}/session"
        self.log.contexts.append(context)
        await self.make_context(context)
        return context if context.is_there else None

    async def fork(self, parent: Context) -> Context | None:
        """A fork; None where that was refused or not acknowledged."""
        fork = self.begin_fork(parent)
        fork.body |= self._asked(parent)
        if self.random.random() < 0.15:
            fork.key = None
        if await self.goes_away(fork):
            return None
        # Now and then without waiting for an answer: the key has both make the same.
        times = 2 if fork.key and self.random.random() < 0.2 else 1
        await asyncio.gather(*(self.make_context(fork) for _ in range(times)))
        return fork if fork.is_there else None

    def _asked(self, parent: Context) -> dict[str, Any]:
        """What a fork may be asked for beside its name."""
        latest, name = parent.latest_version, self.next_id()
        # The latest, one that is written meanwhile or never, one within the preamble or before it, any.
        early, above = self.random.randint(0, min(3, latest)), latest + self.random.randint(1, ABOVE)
        version = self.random.choices((None, above, early, self.random.randint(0, latest)), (4, 1, 1, 4))
        # None, a new one, some context's, which still has it or not.
        external_ids = (None, f"{name}/session", self.random.choice(self.log.contexts).external_id)
        moves = self.random.random() < 0.4
        asked = {
            "version": version[0],
            "metadata": self.random.choice((None, {"payload": name})),
            "policy": self.random.choice((None, None, members(self.random, 0.4))),
            "moveExternalId": moves or None,
            "externalId": None if moves else self.random.choices(external_ids, (4, 2, 1))[0],
        }
        return {member: value for member, value in asked.items() if value is not None}

    def begin_fork(self, parent: Context) -> Context:
        """Takes a fork at the latest version to the log."""
        key = self.next_id()
        calls = [*parent.calls]
        fork = Context(key=key, body={"name": f"{key} ünï"}, parent=parent, least=parent.latest_version, calls=calls)
        self.log.contexts.append(fork)
        return fork

    async def make_context(self, context: Context) -> None:
        """Sends a creation or a fork until it is acknowledged, refused or given up."""
        refusals = set()
        if context.body.get("version", 0) > context.least:
            refusals.add(BAD_REQUEST)
        if context.parent and (context.body.get("externalId") or context.body.get("moveExternalId")):
            refusals.add(CONFLICT)
        answer = await self.post(context, {CREATED, *refusals})
        if answer is None:
            return
        if answer.status_code == CREATED:
            self._take_context(context, answer)
        else:
            refusal = Refusal(context, answer.json(), context.began[0], time.time(), context.least)
            self.log.refused_forks.append(refusal)

    def _take_context(self, context: Context, answer: httpx.Response) -> None:
        first, body, parent = context.answer, context.body, context.parent
        context.acknowledged = time.time()
        context.answer = digest(answer.content)
        context.stored = made = answer.json()["data"]
        context.latest_version = max(context.latest_version, made["latestVersion"])
        at = made["forkVersion"]
        right = (
            (made["name"], made["metadata"]) == (body["name"], context.metadata)
            and made["externalId"] == context.external_id
            and made["parentId"] == (parent.id if parent else None)
            and (at == body["version"] if "version" in body else (at or 0) >= context.least)
            and made["messageCount"] == made["latestVersion"] == (at or 0)
            # That of its parent is looked at in the end.
            and (made["policy"] == _without_nulls(body) or (parent is not None and "policy" not in body))
            and answer.headers["location"] == context.path
            and answer.headers["etag"].startswith(f'"{made["latestVersion"]}.')
            and ("idempotent-replayed" not in answer.headers or len(context.began) > 1)
            and first in {"", context.answer}
        )
        self.log.creations.expect(right, f"{context.target} {body} from {context.least}: {answer.text[:400]}")

    async def delete(self, context: Context) -> None:
        """Deletes a context for good."""
        context.deletion = deletion = Sent()
        answer = await self.insist("DELETE", context.path, {OK, NOT_FOUND}, sent=deletion)
        if answer is None:
            return
        deletion.acknowledged = time.time()
        # Gone already by an attempt that was not answered.
        right = len(deletion.began) > 1 if answer.status_code == NOT_FOUND else answer.json()["data"]["deletedAt"]
        self.log.changes.expect(right, f"DELETE {context.path}: {answer.text[:400]}")


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.get("policy", {}).items() if value is not None}
