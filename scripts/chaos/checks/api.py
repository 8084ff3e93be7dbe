"""The API's answers once all is quiet, held against rows, log and rule; and windows that were read meanwhile."""

import json
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import httpx

from scripts.chaos import rule
from scripts.chaos.checks.changes import UNSEEN
from scripts.chaos.checks.stored import Stored
from scripts.chaos.clients import CREATED, OK
from scripts.chaos.log import Check, Context, Log, Seen, is_as_sent
from scripts.chaos.readers import Reader
from scripts.chaos.windows import BUDGETS, Question, difference, expected, said, wrong_window
from scripts.chaos.writers import Writer

# Appends and compactions without an acknowledgement that are tried again at the end, at most of each.
MAX_SETTLED = 200

# Windows of each context that are asked for with some policy, at the latest version and at some other one.
ANY_NOW = 4
ANY_PAST = 4

PAGE = 1000


async def settle(log: Log, writer: Writer) -> Check:
    """Tries every other request again that was sent with a key and never acknowledged, as its client would."""
    check = Check("what was never acknowledged is stored by trying again, once")
    open_batches = [batch for batch in log.batches if batch.key and batch.complete and not batch.acknowledged]
    for batch in open_batches[::2][:MAX_SETTLED]:
        answer = await writer.insist(
            "POST",
            f"{batch.context.path}/messages",
            {CREATED},
            body=batch.body,
            headers={"idempotency-key": batch.key or ""},
        )
        right = answer is not None and all(map(is_as_sent, answer.json()["data"], batch.messages))
        check.expect(right, f"{batch.context.id} {batch.key}: {answer and answer.text[:300]}")
    refused = {id(refusal.compaction) for refusal in log.refusals}
    open_compactions = [
        made
        for made in log.compactions
        if made.key and made.complete and not made.acknowledged and id(made) not in refused
    ]
    for made in open_compactions[::2][:MAX_SETTLED]:
        known = len(log.refusals)
        await writer.make(made)
        check.expect(made.acknowledged or len(log.refusals) > known, f"{made.context.id} {made.key}: {made.body}")
    return check


async def check_api(log: Log, stored: Stored, reader: Reader, writer: Writer, *, replays: int) -> list[Check]:
    """Holds the API's answers against the rows, the log and the rule, and replays keys, so many of each at most."""
    pages = Check("the API's pages hold the same messages as PostgreSQL, context by context")
    windows = Check("the API's windows are those of the rule, context by context")
    for context in log.contexts:
        if context.id:
            rows = stored.messages[context.id]
            pages.expect(await _pages(context.path, reader) == [row["id"] for row in rows], context.id)
            for question in _questions(stored.contexts[context.id], reader.random):
                wrong = await _wrong_answer(context, question, stored, reader)
                windows.expect(not wrong, f"{context.path}/window?{question.query}: {wrong}")
    keyed = [batch for batch in log.batches if batch.key and batch.acknowledged]
    for batch in writer.random.sample(keyed, min(replays, len(keyed))):
        await writer.replay_append(batch)
    made = [compaction for compaction in log.compactions if compaction.key and compaction.acknowledged]
    for compaction in writer.random.sample(made, min(replays, len(made))):
        await writer.replay_compaction(compaction)
    for context in log.contexts:
        if context.id:
            await writer.replay_creation(context)
    return [pages, windows, _meanwhile(log, stored)]


async def _pages(path: str, reader: Reader) -> list[str] | str:
    """The ids of all messages, page by page; what is wrong with a page where something is."""
    found: list[str] = []
    more = True
    while more:
        answer: httpx.Response | None = await reader.insist(
            "GET", f"{path}/messages?cursor={len(found)}&limit={PAGE}", {OK}
        )
        if answer is None:
            return "no answer"
        page = json.loads(answer.content)
        if wrong := reader.wrong_page(page, len(found), PAGE, 0):
            return wrong
        found += [message["id"] for message in page["data"]]
        more = page["hasMore"]
    return found


# --- Windows


def _questions(context: Mapping[str, Any], chance: random.Random) -> Iterator[Question]:
    """What a context's windows are asked for: its policy, none and others, now and in the past."""
    if "budget" in context["policy"]:
        yield Question({})
    for budget in BUDGETS:
        yield Question({"budget": budget})
    yield Question({"budget": chance.choice(BUDGETS)}, bare=True)
    for _ in range(ANY_NOW):
        yield Question.of(chance)
    for _ in range(ANY_PAST):
        yield Question.of(chance, at=chance.randint(0, context["latest_version"]))


async def _wrong_answer(context: Context, question: Question, stored: Stored, reader: Reader) -> str:
    """What is wrong with the answer, now that all is quiet."""
    answer = await reader.insist("GET", f"{context.path}/window?{question.query}", {OK})
    if answer is None:
        return "no answer"
    row = stored.contexts[context.id]
    version = row["latest_version"] if question.at is None else question.at
    etag = f'"{version}.{row["revision"] * 1000}"' if row["revision"] else f'"{version}"'
    if answer.headers["etag"] != etag:
        return f"ETag {answer.headers['etag']} and not {etag}"
    history = stored.history(context.id)[:version]
    compaction = rule.in_force(stored.made(context.id), version)
    right = expected(history, question.policy(row["policy"]), compaction)
    window = answer.json()
    return difference(said(window), right) or wrong_window(window, etag, question, version, reader.log)


def _meanwhile(log: Log, stored: Stored) -> Check:
    check = Check("windows read meanwhile are those of the rule, by their version and compaction")
    for seen in log.seen:
        named = (seen.said["compaction"] or {"number": 0})["number"]
        possible = {made.number: made for made in _possible(seen, stored)}
        certain = max(map(_rank, filter(partial(_is_certain, seen=seen), possible.values())), default=(0, 0))
        compaction = possible.get(named)
        current = _rank(compaction) >= certain if compaction else not named and not any(certain)
        where = f"{seen.context.id} version {seen.version} {seen.policy}"
        check.expect(current, f"{where}: {named} is in force, of {possible}, at least {certain}")
        right = expected(stored.history(seen.context.id)[: seen.version], seen.policy, compaction)
        check.expect(not difference(seen.said, right), f"{where}: {difference(seen.said, right)}")
    return check


def _possible(seen: Seen, stored: Stored) -> list[rule.Compaction]:
    """The compactions that may have been in force when a window was read."""
    return [
        made
        for made in stored.made(seen.context.id)
        if made.made <= seen.answered
        and (made.undone is None or made.undone >= seen.began - UNSEEN)
        and max(made.through, made.made_at) <= seen.version
    ]


def _is_certain(made: rule.Compaction, seen: Seen) -> bool:
    return made.made < seen.began - UNSEEN and (made.undone is None or made.undone > seen.answered)


def _rank(made: rule.Compaction) -> tuple[int, int]:
    return made.through, made.number
