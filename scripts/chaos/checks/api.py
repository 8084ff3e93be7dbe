"""The API's answers once all is quiet, held against rows, log and rule; and windows that were read meanwhile."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx

from scripts.chaos import rule
from scripts.chaos.checks.changes import UNSEEN
from scripts.chaos.checks.stored import Stored
from scripts.chaos.clients import CREATED, NOT_FOUND, OK
from scripts.chaos.log import Check, Context, Log, Post, Seen, is_as_sent
from scripts.chaos.readers import Reader
from scripts.chaos.windows import BUDGETS, Question, difference, expected, said, wrong_window
from scripts.chaos.writers import Writer

# Appends, compactions and forks without an acknowledgement that are tried again at the end, at most of each.
MAX_SETTLED = 200

# Windows of each context that are asked for with some policy, at the latest version and at some other one; and windows
# of all contexts, about, so that a run with many forks takes no longer.
ANY_NOW = 4
ANY_PAST = 4
WINDOWS = 1000

PAGE = 1000

# What a context's members are in its row.
COLUMNS = {
    "name": "name",
    "externalId": "external_id",
    "metadata": "metadata",
    "policy": "policy",
    "messageCount": "message_count",
    "totalTokens": "total_tokens",
    "latestVersion": "latest_version",
    "parentId": "parent_id",
    "forkVersion": "fork_version",
}


async def settle(log: Log, writer: Writer) -> Check:
    """Tries every other request again that was sent with a key and never acknowledged, as its client would."""
    check = Check("what was never acknowledged is stored by trying again, once")
    # However short the run was, there is something.
    for context in [context for context in log.contexts if context.is_there][:1]:
        await writer.leave(context)
    for batch in _open(batch for batch in log.batches if batch.context.is_there):
        answer = await writer.post(batch, {CREATED})
        right = answer is not None and all(map(is_as_sent, answer.json()["data"], batch.messages))
        check.expect(right, f"{batch.context.id} {batch.key}: {answer and answer.text[:300]}")
    refused = {refusal.sent for refusal in log.refusals}
    for made in _open(made for made in log.compactions if made.context.is_there and made not in refused):
        known = len(log.refusals)
        await writer.make_compaction(made)
        check.expect(made.acknowledged or len(log.refusals) > known, f"{made.target} {made.key}: {made.body}")
    refused_forks = {refusal.sent for refusal in log.refused_forks}
    forks = (fork for fork in log.forks if fork.parent and fork.parent.is_there and fork not in refused_forks)
    for fork in _open(forks):
        known = len(log.refused_forks)
        await writer.make_context(fork)
        check.expect(fork.acknowledged or len(log.refused_forks) > known, f"{fork.target} {fork.key}: {fork.body}")
    return check


def _open[Request: Post](sent: Iterable[Request]) -> list[Request]:
    """Every other request that may be stored and was never acknowledged, but not too many."""
    return [each for each in sent if each.key and each.complete and not each.acknowledged][::2][:MAX_SETTLED]


async def check_api(log: Log, stored: Stored, reader: Reader, writer: Writer, *, replays: int) -> list[Check]:
    """Holds the API's answers against the rows, the log and the rule, and replays keys, so many of each at most."""
    contexts = Check("the API's contexts and lists are those of PostgreSQL, and what was deleted is gone")
    pages = Check("the API's pages hold the same messages as PostgreSQL, context by context")
    windows = Check("the API's windows are those of the rule, context by context")
    for context in log.contexts:
        if context.id:
            wrong = await _wrong_context(context, stored, reader)
            contexts.expect(not wrong, f"{context.path}: {wrong}")
    living = [context for context in log.contexts if context.id and not stored.contexts[context.id]["deleted_at"]]
    for context in living:
        rows = [(row["id"], row["contextId"]) for row in stored.messages[context.id]]
        pages.expect(await _pages(context.path, reader) == rows, context.id)
        questions = [*_questions(stored.contexts[context.id], reader.random)]
        for question in reader.random.sample(questions, min(len(questions), 1 + WINDOWS // len(living))):
            wrong = await _wrong_answer(context, question, stored, reader)
            windows.expect(not wrong, f"{context.path}/window?{question.query}: {wrong}")
    for keyed in log.keyed:
        for sent in writer.random.sample(keyed, min(replays, len(keyed))):
            await writer.replay(sent)
    return [contexts, pages, windows, _meanwhile(log, stored)]


async def _wrong_context(context: Context, stored: Stored, reader: Reader) -> str:
    """What is wrong with what is answered of a context beside its messages, now that all is quiet."""
    row = stored.contexts[context.id]
    answer = await reader.insist("GET", context.path, {NOT_FOUND if row["deleted_at"] else OK})
    if answer is None or row["deleted_at"]:
        return "" if answer else "no answer"
    found = answer.json()["data"]
    wrong = {name: found[name] for name, column in COLUMNS.items() if found[name] != row[column]}
    made = await reader.insist("GET", f"{context.path}/compactions?limit={PAGE}", {OK})
    forks = await reader.insist("GET", f"{context.path}/forks?limit={PAGE}&order=asc", {OK})
    if made is None or forks is None:
        return "no answer"
    numbers = [(each["contextId"], each["number"]) for each in reversed(made.json()["data"])]
    if numbers != [(each["contextId"], each["number"]) for each in stored.compactions[context.id]]:
        wrong["compactions"] = numbers
    ids = [each["id"] for each in forks.json()["data"]]
    children = (each for each in stored.contexts.values() if each["parent_id"] == context.id)
    if ids != [each["id"] for each in children if not each["deleted_at"]]:
        wrong["forks"] = ids
    return f"{wrong}, not as in {row}" if wrong else ""


async def _pages(path: str, reader: Reader) -> list[tuple[str, str]] | str:
    """The ids of all messages and of their contexts, page by page; what is wrong with a page where something is."""
    found: list[tuple[str, str]] = []
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
        found += [(message["id"], message["contextId"]) for message in page["data"]]
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
    revision = stored.revision(context.id)
    etag = f'"{version}.{revision * 1000}"' if revision else f'"{version}"'
    if answer.headers["etag"] != etag:
        return f"ETag {answer.headers['etag']} and not {etag}"
    history = stored.history(context.id)[:version]
    compaction = rule.in_force(stored.ruled(context.id), version)
    right = expected(history, question.policy(row["policy"]), compaction)
    window = answer.json()
    rows = stored.messages[context.id]
    if any(message["id"] != rows[message["version"] - 1]["id"] for message in window["data"] if message["version"]):
        return f"messages of another history: {answer.text[:300]}"
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
        for made in stored.ruled(seen.context.id)
        if made.made <= seen.answered
        and (made.undone is None or made.undone >= seen.began - UNSEEN)
        and max(made.through, made.made_at) <= seen.version
    ]


def _is_certain(made: rule.Compaction, seen: Seen) -> bool:
    return made.made < seen.began - UNSEEN and (made.undone is None or made.undone > seen.answered)


def _rank(made: rule.Compaction) -> tuple[int, int]:
    return made.through, made.number
