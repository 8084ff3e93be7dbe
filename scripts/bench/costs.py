"""The bench's section on what windows cost their user: transcripts replayed as one thread.

A call costs the tokens of its window, those of the longest beginning that it shares with the window before at a tenth.
Beside our policies stands LangChain's trim_messages, on the same history with the same counts of tokens; it is
installed for that alone.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage, convert_to_messages, trim_messages
from psycopg import AsyncConnection

from lib import contexts, jsontext, messages, windows
from lib.models import Append
from scripts import load, replay
from scripts.bench.report import Report
from scripts.replay import CACHED, TRANSCRIPTS, Sent, Thread, alike

BUDGETS = (4000, 8000, 32_000)

# The transcripts follow each other, and again, until the thread has so many tokens: two of the largest windows.
THREAD_TOKENS = 2 * max(BUDGETS)

# How many times cheaper a step of 2,000 makes windows of 8,000, at least.
GOAL_BUDGET, GOAL = 8000, 3.0


def refused(thread: Thread, window: Sequence[Sent]) -> bool:
    """Whether a provider would refuse it: a tool's result is in it whose call is not."""
    called: set[str] = set()
    for message in (thread.messages[sent.version - 1] for sent in window):
        called.update(call["id"] for call in message.get("tool_calls") or ())
        if message["role"] == "tool" and message["tool_call_id"] not in called:
            return True
    return False


async def measure(report: Report, url: str, file: Path = TRANSCRIPTS) -> None:
    """Prints the section, on the transcripts of a file in OpenAI's chat shape; url is a migrated database.

    Raises LoadError for a file that is none.
    """
    thread = await replay.thread(file, THREAD_TOKENS)
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        await _measure(report, conn, thread)


async def _measure(report: Report, conn: AsyncConnection[Any], thread: Thread) -> None:
    context_id = await _store(conn, thread)
    ends = [0, *accumulate(thread.token_counts)]
    columns = "messages", "fill", "repeated", "refused", "cost", "cheaper", "goal", ""
    report.section("What a window costs its user, budget and policy", *columns)
    for budget in BUDGETS:
        step, head = {"step": budget // 4}, {"keepPreamble": True, "keepRequest": True}
        policies: dict[str, dict[str, Any]] = {
            "no policy": {},
            f"step {budget // 4:,}": step,
            f"step {budget // 4:,}, keepPreamble, keepRequest": {**step, **head},
            "  and clearToolResults": {**step, **head, "clearToolResults": {"keepTokens": budget // 4}},
        }
        replays = {
            name: await _replay(conn, context_id, {"budget": budget, **policy}, thread.calls)
            for name, policy in policies.items()
        }
        replays["LangChain's trim_messages, include_system"] = _trimmed(thread, budget)
        replays["  and start_on human"] = _trimmed(thread, budget, start_on="human")

        full = [place for place, call in enumerate(thread.calls) if ends[call] > budget]
        dearest = 0.0
        for name, replayed in replays.items():
            cost, cells = _figures(thread, replayed, full, budget)
            dearest = dearest or cost
            if budget == GOAL_BUDGET and policies.get(name) == step:
                report.at_least(f"{budget:,}: {name}", *cells, measured=dearest / cost, limit=GOAL)
            else:
                report.row(f"{budget:,}: {name}", *cells, f"{dearest / cost:.2f}")
    report.row(f"  the thread: {len(thread.messages):,} messages, {ends[-1]:,} tokens, {len(thread.calls):,} calls")
    report.row("  counted are the calls at which it is larger than the budget; messages: of a window")
    report.row("  fill: tokens of a window beside the budget; repeated: share of them that a cache would have")
    report.row("  refused: share of windows with a tool's result without its call")
    report.row(f"  cost: tokens of a window, repeated ones at {CACHED:g}; cheaper: no policy's cost beside it")


def _append(body: str) -> Append:
    return Append.model_validate(jsontext.parse(body))


async def _store(conn: AsyncConnection[Any], thread: Thread) -> UUID:
    """The context that holds the thread."""
    context = await contexts.create(conn, body="{}")
    left = list(thread.token_counts)
    for body in load.batches([dict(message) for message in thread.messages]):
        batch = _append(body).messages
        counts, left = left[: len(batch)], left[len(batch) :]
        await messages.append(conn, context.id, body=body, batch=batch, token_counts=counts)
    return context.id


async def _replay(
    conn: AsyncConnection[Any], context_id: UUID, policy: Mapping[str, Any], calls: Sequence[int]
) -> list[list[Sent]]:
    """The window of each call."""
    replayed = []
    for call in calls:
        window = await windows.read(conn, context_id, overrides=policy, at=call)
        sent = [jsontext.parse(text) for text in window.texts]
        replayed.append([Sent(each["version"], each["tokenCount"], each.get("cleared", False)) for each in sent])
    return replayed


def _trimmed(thread: Thread, budget: int, start_on: str | None = None) -> list[list[Sent]]:
    """What trim_messages sends at each call, set as its documents recommend, but for start_on where that is None."""
    history = convert_to_messages([dict(message) for message in thread.messages])
    for version, message in enumerate(history, 1):
        message.id = str(version)

    def sent(message: BaseMessage) -> Sent:
        version = int(message.id or 0)
        return Sent(version, thread.token_counts[version - 1], cleared=False)

    def count(some: list[BaseMessage]) -> int:
        return sum(sent(message).tokens for message in some)

    return [
        [
            sent(message)
            for message in trim_messages(
                history[:call],
                strategy="last",
                max_tokens=budget,
                token_counter=count,
                include_system=True,
                start_on=start_on,
            )
        ]
        for call in thread.calls
    ]


def _figures(
    thread: Thread, replayed: Sequence[Sequence[Sent]], full: Sequence[int], budget: int
) -> tuple[float, list[str]]:
    """Tokens that a call costs, and the cells of a row up to there; of the calls at these places."""
    used = [sum(message.tokens for message in replayed[place]) for place in full]
    repeated = [_repeated(replayed[place - 1] if place else (), replayed[place]) for place in full]
    broken = mean(refused(thread, replayed[place]) for place in full)
    cost = (sum(used) - (1 - CACHED) * sum(repeated)) / len(full)
    return cost, [
        f"{mean(len(replayed[place]) for place in full):.0f}",
        f"{mean(used) / budget:.0%}",
        f"{sum(repeated) / sum(used):.0%}",
        f"{broken:.0%}",
        f"{cost:,.0f}",
    ]


def _repeated(before: Sequence[Sent], window: Sequence[Sent]) -> int:
    """Tokens of the longest beginning that two windows share."""
    return sum(message.tokens for message in window[: alike(before, window)])
