"""Readers of `make chaos`: each page and window must be whole while contexts grow."""

from collections.abc import Sequence
from typing import Any

import httpx

from scripts.chaos.clients import NOT_MODIFIED, OK, Client
from scripts.chaos.log import Context, Message, is_as_sent, payload_id


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
