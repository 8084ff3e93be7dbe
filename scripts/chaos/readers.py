"""Readers of `make chaos`: each page, window and compaction must be whole while contexts grow."""

import time
from typing import Any
from urllib.parse import urlencode

from scripts.chaos.clients import NOT_MODIFIED, OK, Client
from scripts.chaos.log import Context, Seen, is_summary_as_sent
from scripts.chaos.windows import Question, said, wrong_content, wrong_window

# Members of a context that nothing here changes.
UNCHANGED = ("id", "name", "metadata", "parentId", "forkVersion", "createdAt")


class Reader(Client):
    """Reads contexts while they grow, and checks that what it reads is consistent."""

    async def work(self, number: int) -> None:  # noqa: ARG002 - each is alike
        """Reads one of the contexts that are known to be there."""
        known = [context for context in self.log.contexts if context.is_there]
        if known:
            lists = (self.read_page, self.read_compactions, self.read_forks)
            windows = [self.read_window] * 4
            read = self.random.choice((self.read_context, self.read_named, *lists, *windows))
            await read(self.random.choice(known))

    async def read_context(self, context: Context) -> None:
        """Reads the context; again, with its ETag, it is a 304 unless a version or a change came."""
        least = context.latest_version
        answer = await self.insist("GET", context.path, {OK})
        if answer is None:
            return
        data = answer.json()["data"]
        right = data["latestVersion"] >= least and data["messageCount"] == data["latestVersion"]
        right = right and all(data[name] == context.stored[name] for name in UNCHANGED)
        self.log.pages.expect(right, f"{least}: {answer.text[:300]}")
        seen = {"if-none-match": answer.headers["etag"]}
        again = await self.insist("GET", context.path, {OK, NOT_MODIFIED}, headers=seen)
        if again is not None and again.status_code == OK:
            now = again.json()["data"]
            came = now["latestVersion"] > data["latestVersion"] or now["updatedAt"] > data["updatedAt"]
            self.log.pages.expect(came, f"{context.id}: no 304")

    async def read_named(self, context: Context) -> None:
        """Reads whom its external id names: always one, this context or a fork that it has moved to."""
        name = context.external_id
        if name is None:
            return
        answer = await self.insist("GET", f"/api/v1/contexts?{urlencode({'externalId': name})}", {OK})
        if answer is None:
            return
        known = [each for each in self.log.contexts if each.external_id == name]
        found = answer.json()["data"]
        right = len(found) == 1 or (not found and any(each.deletion for each in known))
        right = right and {each["name"] for each in found} <= {each.body["name"] for each in known}
        self.log.names.expect(
            right and all(each["externalId"] == name for each in found), f"{name}: {answer.text[:400]}"
        )

    async def read_forks(self, context: Context) -> None:
        """Reads some of its forks, by their time: none that was known is left out."""
        known = {fork.id: fork for fork in self.log.forks if fork.parent is context and fork.is_there}
        answer = await self.insist("GET", f"{context.path}/forks?order=asc&limit={self.random.randint(1, 5)}", {OK})
        if answer is None:
            return
        page = answer.json()
        times = {fork["id"]: fork["createdAt"] for fork in page["data"]}
        left_out = [fork for fork in known.values() if fork.is_there and fork.id not in times]
        right = [*times.values()] == sorted(times.values()) and len(times) == len(page["data"])
        right = right and all(fork["parentId"] == context.id for fork in page["data"])
        right = right and all(page["hasMore"] and fork.stored["createdAt"] >= max(times.values()) for fork in left_out)
        self.log.pages.expect(right, f"{context.id}, {[*known]} known: {answer.text[:400]}")

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
        return wrong_content(data, self.log)

    async def read_compactions(self, context: Context) -> None:
        """Reads the newest compactions."""
        least = max((made.stored["number"] for made in context.compactions if made.acknowledged), default=0)
        limit = self.random.randint(1, 20)
        answer = await self.insist("GET", f"{context.path}/compactions?limit={limit}", {OK})
        if answer is None:
            return
        data = answer.json()["data"]
        top = data[0]["number"] if data else 0
        numbers = list(range(top, max(0, top - limit), -1))
        right = top >= least and [made["number"] for made in data] == numbers
        right = right and all(is_summary_as_sent(made, self.log) for made in data)
        self.log.pages.expect(right, f"{context.id}, {least} known: {answer.text[:400]}")

    async def read_window(self, context: Context) -> None:
        """Reads a window; again, with its ETag, it is a 304 unless something came."""
        least = context.latest_version
        at = self.random.randint(0, least) if self.random.random() < 0.2 else None
        question = Question.of(self.random, at=at)
        path, began = f"{context.path}/window?{question.query}", time.time()
        answer = await self.insist("GET", path, {OK})
        if answer is None:
            return
        answered, window, etag = time.time(), answer.json(), answer.headers["etag"]
        wrong = wrong_window(window, etag, question, least if at is None else at, self.log)
        self.log.windows.expect(not wrong, f"{context.id} {question.query}: {wrong}: {answer.text[:200]}")
        if question.bare and not wrong:
            version = int(etag.strip('"').partition(".")[0])
            seen = Seen(context, question.policy({}), version, said(window), began, answered)
            self.log.seen.append(seen)
        if self.random.random() < 0.2:
            again = await self.insist("GET", path, {OK, NOT_MODIFIED}, headers={"if-none-match": etag})
            if again is not None and again.status_code == OK:
                self.log.etags.expect(again.headers["etag"] != etag, f"{path}: no 304 to {etag}")
