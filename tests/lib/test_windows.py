"""Windows as PostgreSQL has them, held against the rule: on random histories, clean and hostile, and on real ones."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from psycopg import AsyncConnection

from lib import compactions, contexts, errors, messages, tokens, windows
from lib.models import MAX_BODY_BYTES, Append
from lib.runs import CLEARED, CLEARED_TOKENS
from scripts.chaos import rule
from scripts.chaos import windows as chaos

SHAPES = json.loads((Path(__file__).parent.parent / "data" / "transcript-shapes.json").read_text())

SEEDS = 30
WINDOWS_PER_SEED = 720
WINDOWS_PER_HISTORY = 40

PROMISE_SEEDS = 12
POLICIES_PER_SEED = 12

type Message = dict[str, Any]
type Run = Callable[[Awaitable[Any]], Any]


def said(role: str, token_count: int, **members: Any) -> Message:
    """A message as a client appends it. Its tokens are given beside it, as a client's own cannot be 0."""
    return {"role": role, "content": "x", "tokens": token_count, **members}


def calling(token_count: int, *ids: str) -> Message:
    calls = [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in ids]
    return said("assistant", token_count, toolCalls=calls)


def clean(random: Random, length: int) -> Iterator[Message]:
    """What a well-behaved agent says: each call is answered at once."""
    yield said("system", random.randint(1, 9))
    for number in range(length):
        if random.random() < 0.4:
            yield said("user", random.randint(1, 12))
        else:
            ids = [f"{number}-{each}" for each in range(random.randint(0, 3))]
            yield calling(random.randint(1, 9), *ids) if ids else said("assistant", random.randint(1, 9))
            yield from (said("tool", random.randint(1, 30), toolCallId=each) for each in ids)


def hostile(random: Random, length: int) -> Iterator[Message]:
    """Orphans, late answers, reused ids, calls made before others are answered, messages larger than any budget."""
    for place in range(length):
        size = random.choice([0, 1, 2, 3, 5, 8, 30, 90])
        kind = random.random()
        if kind < 0.3:
            yield said("tool", size, toolCallId=random.choice("abcdefgz"))
        elif kind < 0.6:
            yield calling(size, *random.choices("abcdefg", k=random.randint(1, 3)))
        else:
            leads = place < 3 and random.random() < 0.5
            yield said("system" if leads or kind > 0.95 else random.choice(["user", "assistant"]), size)


def transcript(shape: Sequence[Any]) -> Iterator[Message]:
    """A real transcript, of which tokens, calls and answers are kept; roles as they follow from these."""
    last = ""
    for token_count, *rest in shape:
        ids, answered = (*rest, [], None)[:2] if rest else ([], None)
        if answered:
            last = "tool"
            yield said("tool", token_count, toolCallId=answered)
        elif ids:
            last = "assistant"
            yield calling(token_count, *ids)
        else:
            last = "system" if not last else "user" if last in {"system", "assistant"} else "assistant"
            yield said(last, token_count)


async def stored(conn: AsyncConnection[Any], history: Sequence[Message], *batches: int) -> UUID:
    """A new context with that history, appended in batches of these sizes and the rest at once."""
    context = await contexts.create(conn, body="{}")
    left = list(history)
    for size in (*batches, len(left)):
        batch, left = left[:size], left[size:]
        if batch:
            sent = [{name: value for name, value in message.items() if name != "tokens"} for message in batch]
            body = json.dumps({"messages": sent})
            await messages.append(
                conn,
                context.id,
                body=body,
                batch=Append.model_validate_json(body).messages,
                token_counts=[message["tokens"] for message in batch],
            )
    return context.id


def history_of(sent: Sequence[Message]) -> list[rule.Message]:
    """What the rule sees of messages as they were sent."""
    empty = {"toolCalls": None, "toolCallId": None}
    return rule.history([{**empty, **message, "tokenCount": message["tokens"]} for message in sent])


def policy(random: Random) -> dict[str, Any]:
    """Any policy with a budget."""
    chances: dict[str, Callable[[], Any]] = {
        "keepPreamble": lambda: random.random() < 0.8,
        "keepRequest": lambda: random.random() < 0.8,
        "startOn": lambda: random.choice(["any", "user"]),
        "step": lambda: random.choice([0, 1, 5, 20, 50, 1000]),
        "clearToolResults": lambda: {"keepTokens": random.choice([0, 1, 5, 20, 100, 1000])},
        "compactionDue": lambda: {
            "threshold": random.choice([0.001, 0.1, 0.5, 0.8, 1]),
            "keepTokens": random.choice([0, 5, 30, 1000]),
        },
    }
    budget = random.choice([1, 3, 10, 20, 50, 100, 200, 400]) + random.randint(0, 9)
    return {"budget": budget} | {name: draw() for name, draw in chances.items() if random.random() < 0.5}


async def check(
    conn: AsyncConnection[Any],
    context_id: UUID,
    history: Sequence[rule.Message],
    asked: dict[str, Any],
    *,
    at: int | None = None,
    made: Sequence[rule.Compaction] = (),
) -> None:
    """Holds one window, and its figures, against the rule."""
    seen = history[:at]
    compaction = rule.in_force(made, len(seen))
    window = await windows.read(conn, context_id, overrides=asked, at=at)
    shown = [json.loads(text) for text in window.texts]

    context = f"{asked} at {at} with {compaction}: {seen}"
    assert chaos.said({"data": shown, **window.figures}) == chaos.expected(seen, asked, compaction), context
    assert window.figures["usedTokens"] == sum(message["tokenCount"] for message in shown), context
    alone = await windows.read(conn, context_id, overrides=asked, at=at, content=False)
    assert (alone.texts, alone.figures) == ([], window.figures)


async def compacted(
    conn: AsyncConnection[Any], context_id: UUID, history: Sequence[rule.Message], random: Random
) -> list[rule.Compaction]:
    """Some compactions of a history, made where the rule has it that they can be, and refused where not."""
    made = []
    for number in range(random.randint(0, 3)):
        through, token_count = random.randint(1, len(history)), random.choice([1, 5, 40])
        making = compactions.make(
            conn, context_id, body="{}", through_version=through, summary="s", role="user", token_count=token_count
        )
        if rule.can_reach(history, through):
            row = await making
            made.append(rule.Compaction(row.number, through, len(history), token_count, number, None))
        else:
            with pytest.raises(errors.InvalidBody) as refused:
                await making
            near = [str(version) for version in rule.nearest(history, through)]
            assert [word for word in refused.value.places[0].detail.split() if word.isdecimal()] == near
    return made


class Seen:
    """A window as a caller sees it, for what is promised of it."""

    def __init__(self, window: windows.Window) -> None:
        self.figures = window.figures
        self.messages = [json.loads(text) for text in window.texts]
        self.versions = [message["version"] for message in self.messages]
        self.first = self.figures["firstVersion"]
        self.run = self.versions[self.versions.index(self.first) :] if self.first else []

    def holds_what_it_says(self, history: Sequence[rule.Message]) -> None:
        """No message twice, no answer without its call, no more tokens than the budget but for one unit's sake."""
        figures = self.figures
        assert len(set(self.versions)) == len(self.versions)
        assert all(history[v - 1].call in self.run for v in self.run if history[v - 1].role == "tool")
        assert figures["usedTokens"] == sum(message["tokenCount"] for message in self.messages)
        newest_alone = not any(history[version - 1].role != "tool" for version in self.run[1:])
        assert figures["usedTokens"] <= figures["budget"] or newest_alone

    def moves_on_from(self, before: "Seen", history: Sequence[rule.Message]) -> None:
        """The opening never moves back; it stays but for an edge, a unit over a step, or a user message to open on."""
        if not before.first or not self.first:
            return
        assert before.first <= self.first
        if before.first == self.first:
            assert self.run[: len(before.run)] == before.run
            return
        asked = self.figures["policy"]
        head = sum(message["tokenCount"] for message in self.messages[: self.figures["preambleCount"]])
        most = asked["step"] or asked["budget"] - head
        edge = self.figures["totalTokens"] - before.figures["totalTokens"] > before.figures["tokensToEdge"]
        dropped = units_of(history[before.first - 1 : self.first - 1])
        too_long = any(sum(message.tokens for message in unit) > most for unit in dropped)
        opens_on_user = asked["startOn"] == "user" and history[self.first - 1].role == "user"
        assert edge or too_long or (opens_on_user and history[before.first - 1].role != "user"), asked


def units_of(messages: Sequence[rule.Message]) -> Iterator[list[rule.Message]]:
    """Messages by units, from the first that is no tool message on."""
    unit: list[rule.Message] = []
    for message in messages:
        if message.role != "tool" and unit:
            yield unit
            unit = []
        unit.append(message)
    yield unit


class TestRule:
    """Each window that is read equals the definition, on 21,600 windows of random histories and on real transcripts."""

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_holds_for_any_history_policy_and_version(self, connect: Callable[[], Any], run: Run, seed: int) -> None:
        random = Random(seed)

        async def compare() -> int:
            count = 0
            async with connect() as conn:
                while count < WINDOWS_PER_SEED:
                    make = random.choice([clean, hostile, hostile])
                    sent = list(make(random, random.choice([3, 6, 12, 25, 60])))
                    grown = random.randint(1, len(sent))
                    context_id = await stored(conn, sent[:grown], random.randint(1, 5), random.randint(1, 20))
                    history = history_of(sent)
                    made = await compacted(conn, context_id, history[:grown], random)
                    for _ in range(WINDOWS_PER_HISTORY):
                        at = random.choice([None, random.randint(0, grown)])
                        await check(conn, context_id, history[:grown], policy(random), at=at, made=made)
                    count += WINDOWS_PER_HISTORY
            return count

        assert run(compare()) == WINDOWS_PER_SEED

    @pytest.mark.parametrize("number", range(len(SHAPES)), ids=lambda number: f"transcript {number}")
    def test_holds_for_a_real_transcript(self, connect: Callable[[], Any], run: Run, number: int) -> None:
        sent = list(transcript(SHAPES[number]))
        history = history_of(sent)
        recommended = {"keepPreamble": True, "keepRequest": True}
        clearing = {"clearToolResults": {"keepTokens": 500}}
        due = {"compactionDue": {"threshold": 0.8, "keepTokens": 1000}}

        async def compare() -> None:
            async with connect() as conn:
                context_id = await stored(conn, sent)
                for budget in (500, 1600, 3000, 6000):
                    stepped = {**recommended, "step": budget // 4}
                    for asked in (
                        {},
                        recommended,
                        stepped,
                        {**stepped, **clearing},
                        {**stepped, "startOn": "user", **due},
                    ):
                        for at in (None, *range(len(sent) // 3, len(sent), 7)):
                            await check(conn, context_id, history, {"budget": budget, **asked}, at=at)

        run(compare())


class TestPromises:
    """What a caller relies on, whatever the rule: held on the windows of a history at each of its versions."""

    @pytest.mark.parametrize("seed", range(PROMISE_SEEDS))
    def test_hold_as_a_history_grows(self, connect: Callable[[], Any], run: Run, seed: int) -> None:
        random = Random(seed)
        sent = list(random.choice([clean, hostile])(random, 25))
        history = history_of(sent)

        async def grown(asked: dict[str, Any]) -> list[windows.Window]:
            async with connect() as conn:
                context_id = await stored(conn, sent)
                return [
                    await windows.read(conn, context_id, overrides=asked, at=version)
                    for version in range(len(sent) + 1)
                ]

        for _ in range(POLICIES_PER_SEED):
            asked = policy(random)
            seen = [Seen(window) for window in run(grown(asked))]
            for window in seen:
                window.holds_what_it_says(history)
            for before, after in pairwise(seen):
                if not asked.get("keepRequest") and not asked.get("clearToolResults"):
                    after.moves_on_from(before, history)


class TestBytes:
    """Of large contents a window has as much of the rule's run as can be carried, and nothing is read beyond that."""

    @pytest.mark.parametrize("seed", range(4))
    def test_end_a_run_and_nothing_else(self, connect: Callable[[], Any], run: Run, seed: int) -> None:
        random = Random(seed)

        def sized(message: Message) -> Message:
            return {**message, "content": random.choice("xé\n") * random.choice([1, 1, 300_000, 700_000, 1_400_000])}

        async def compare() -> None:
            async with connect() as conn:
                for _ in range(4):
                    sent = [sized(message) for message in hostile(random, 16)]
                    context_id = await stored(conn, sent, *[1] * len(sent))
                    history = history_of(sent)
                    for _ in range(25):
                        asked = policy(random)
                        expected = rule.window(history, asked, None)
                        alone = await windows.read(conn, context_id, overrides=asked, content=False)
                        try:
                            window = await windows.read(conn, context_id, overrides=asked)
                        except errors.PayloadTooLarge:
                            continue
                        assert window.figures == alone.figures
                        assert sum(len(text.encode()) for text in window.texts) <= MAX_BODY_BYTES
                        shown = [json.loads(text) for text in window.texts]
                        first = window.figures["firstVersion"]
                        whole = first == (expected.run[0] if expected.run else None)
                        assert whole or window.figures["tokensToEdge"] is None
                        assert [each["version"] for each in shown if not first or each["version"] >= first] == [
                            version
                            for version in expected.run
                            if version >= first and (history[version - 1].call or version) >= first
                        ]

        run(compare())


class TestLimits:
    """Each at what it takes, and one more."""

    @pytest.mark.parametrize(("more", "versions"), [(0, [1, 2]), (1, [2])])
    def test_a_run_has_4_400_000_bytes(
        self, connect: Callable[[], Any], run: Run, more: int, versions: list[int]
    ) -> None:
        window = run(read(connect, sized("user", 2_200_000 + more), sized("user", 2_200_000)))

        assert [json.loads(text)["version"] for text in window.texts] == versions
        assert window.figures["tokensToEdge"] == (None if more else 998)

    def test_head_and_newest_unit_have_4_500_000_bytes(self, connect: Callable[[], Any], run: Run) -> None:
        window = run(read(connect, sized("system", 2_250_000), sized("user", 2_250_000), keepPreamble=True))

        assert len(window.texts) == 2
        with pytest.raises(errors.PayloadTooLarge):
            run(read(connect, sized("system", 2_250_001), sized("user", 2_250_000), keepPreamble=True))

    def test_a_run_has_11_000_messages(self, connect: Callable[[], Any], run: Run) -> None:
        """Answers to no call are counted, though not shown, and have no bytes."""
        unit = [said("user", 1), *[said("tool", 1, toolCallId="gone")] * 999]

        async def read(*more: Message) -> Mapping[str, Any]:
            async with connect() as conn:
                context_id = await stored(conn, [*unit * 11, *more], *[1000] * 11)
                return (await windows.read(conn, context_id, overrides={"budget": 20_000}, content=False)).figures

        assert {name: run(read())[name] for name in ("firstVersion", "tokensToEdge")} == {
            "firstVersion": 1,
            "tokensToEdge": 9_000,
        }
        assert {name: run(read(said("user", 1)))[name] for name in ("firstVersion", "tokensToEdge")} == {
            "firstVersion": 1001,
            "tokensToEdge": None,
        }

    @pytest.mark.parametrize(("more", "shown"), [(0, 16), (1, 15)])
    def test_pending_calls_have_65_536_bytes(self, connect: Callable[[], Any], run: Run, more: int, shown: int) -> None:
        """As JSON, quotes included; of a call that would exceed it, and of all behind it, none is named."""
        ids = [f"{number:02}" + "x" * 4092 for number in range(15)]

        window = run(read(connect, calling(1, *ids, "y" * (4094 + more), "z")))

        assert len(window.figures["pendingCalls"]) == shown


def sized(role: str, size: int) -> Message:
    """A message that counts so many bytes: its content and its metadata as JSON, and 400."""
    return said(role, 1, content="x" * (size - 404))


async def read(connect: Callable[[], Any], *sent: Message, **policy: Any) -> windows.Window:
    """The window of 1,000 tokens of a new history."""
    async with connect() as conn:
        context_id = await stored(conn, sent, *[1] * len(sent))
        return await windows.read(conn, context_id, overrides={"budget": 1000, **policy})


class TestCleared:
    def test_takes_as_many_tokens_as_are_counted(self) -> None:
        assert tokens.count([CLEARED]) == CLEARED_TOKENS


class TestStatement:
    def test_has_a_row_of_a_unit_that_lies_far_back(self, connect: Callable[[], Any], run: Run) -> None:
        """1,001 messages are the longest unit; behind it answers belong to no unit."""
        sent = [said("user", 1), calling(1, "a"), *[said("tool", 1, toolCallId="a")] * 1000]

        async def read(history: Sequence[Message]) -> Mapping[str, Any]:
            async with connect() as conn:
                context_id = await stored(conn, history, 1000)
                return (await windows.read(conn, context_id, overrides={"budget": 5})).figures

        assert run(read(sent))["firstVersion"] == 2
        assert run(read(sent))["usedTokens"] == 1001
        assert run(read([*sent, said("tool", 1, toolCallId="a")]))["firstVersion"] is None
