"""A store that keeps conversations as pydantic-ai's own does, and what is its own: requests, races, faults, sizes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryImage,
    ImageUrl,
    InstructionDeltaPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    RetryFeedbackPart,
    RetryInfo,
    SpeechPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

from kata_context import AsyncClient, Client
from kata_context.errors import KataError
from kata_context.pydantic_ai import KataConversationStore, KataWindow
from tests.conftest import Stack

T = TypeVar("T")

# --- Messages of every kind. Texts have what JSON, jsonb or a careless mapping might trip over.

long = st.just("x").map(lambda text: text * 3000)
odd = st.sampled_from(["", "hi", "\0", '{"a": 1e400}', "é\u2028\U0001f600", "<|endoftext|>"])
texts = st.one_of(odd, long, st.text(st.characters(codec="utf-8"), max_size=9))
ids = st.sampled_from(["call_1", "call_2", "call_3"])
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=4,
)
pictures = st.builds(BinaryImage, data=st.binary(max_size=9), media_type=st.just("image/png"))
links = st.just(ImageUrl(url="https://example.com/a.png"))
prompts = st.one_of(texts, st.lists(st.one_of(texts, pictures, links), max_size=3))
names = st.one_of(st.just("find_order"), long)
request_parts = st.one_of(
    st.builds(SystemPromptPart, texts),
    st.builds(UserPromptPart, prompts),
    st.builds(ToolReturnPart, tool_name=names, content=values, tool_call_id=ids),
    st.builds(RetryFeedbackPart, texts, retry=st.just(RetryInfo("model_retry", attempt=1))),
    st.just(InstructionDeltaPart(content="Be brief.", id=None)),
    st.builds(SpeechPart, speaker=st.just("user"), transcript=texts),
)
response_parts: st.SearchStrategy[Any] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ThinkingPart, texts, signature=st.none() | texts),
    st.builds(
        ToolCallPart,
        names,
        args=st.one_of(st.none(), texts, st.dictionaries(texts, values, max_size=2)),
        tool_call_id=ids,
    ),
    st.builds(NativeToolCallPart, names, args=st.just({"q": 1}), tool_call_id=ids),
    st.builds(NativeToolReturnPart, tool_name=names, content=values, tool_call_id=ids),
)
requests = st.builds(
    ModelRequest, parts=st.lists(request_parts, max_size=4), instructions=st.none() | texts, run_id=st.none() | texts
)
responses = st.builds(ModelResponse, parts=st.lists(response_parts, max_size=4), model_name=st.none() | long)
histories = st.lists(st.one_of(requests, responses), max_size=4)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def user(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(text)])


def said(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def turns(count: int, start: int = 0) -> list[ModelMessage]:
    return [each for n in range(start, start + count) for each in (user(f"question {n}"), said(f"answer {n}"))]


def heard() -> tuple[list[list[ModelMessage]], Callable[[list[ModelMessage], AgentInfo], ModelResponse]]:
    """What a model is sent, and that model."""
    seen: list[list[ModelMessage]] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(messages)
        return said("done")

    return seen, model


async def stored(store: ConversationStore, name: str, messages: list[ModelMessage]) -> Conversation:
    """A conversation that has been saved."""
    conversation = Conversation(conversation_id=name, messages=list(messages))
    await store.save(conversation)
    return conversation


async def texts_of(store: KataConversationStore, name: str) -> list[Any]:
    """What the context with this id has, as others than pydantic-ai read it."""
    [context] = [context async for context in store.client.contexts(external_id=name)]
    return [message["content"] async for message in store.client.messages(context["id"])]


# --- Beside their own.


class Beside(RuleBasedStateMachine):
    """Whatever is done to their store and to ours, both answer the same."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.runner = asyncio.Runner()
        self.theirs, self.ours = InMemoryConversationStore(), KataConversationStore(AsyncClient(url))
        self.entries: dict[str | None, str | None] = {None: None}  # theirs to ours
        self.names: list[str] = []
        self.held: dict[str, tuple[Conversation, Conversation]] = {}
        self.prefix, self.count = uuid4().hex, 0

    def teardown(self) -> None:
        for name in self.names:
            self.runner.run(self.ours.delete(name))
        self.runner.run(self.ours.client.close())
        self.runner.close()

    def both(self, work: Callable[[ConversationStore, int], Awaitable[T]]) -> tuple[T, T] | None:
        """What both answer, or None where both refuse, in the same way."""
        outcomes: list[Any] = []
        for which, store in enumerate((self.theirs, self.ours)):
            try:
                outcomes.append(self.runner.run(work(store, which)))  # type: ignore[arg-type]  # async lambdas
            except UserError as error:
                outcomes.append(error)
        first, second = outcomes
        if isinstance(first, UserError):
            assert type(first) is type(second)
            return None
        assert not isinstance(second, UserError)
        return first, second

    def name(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.names))

    def paired(self, entries: tuple[list[ConversationEntry], list[ConversationEntry]]) -> None:
        first, second = entries
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            self.entries.setdefault(one.id, other.id)
            assert self.entries[one.id] == other.id
            assert self.entries[one.parent_id] == other.parent_id
            assert one.message == other.message

    def same(self, first: Conversation | None, second: Conversation | None) -> None:
        assert (first is None) == (second is None)
        if first and second:
            assert first.messages == second.messages
            assert (first.usage, first.deferred_tool_requests) == (second.usage, second.deferred_tool_requests)
            assert first.new_message_index == second.new_message_index

    def mapped(self, record: ConversationRecord) -> ConversationRecord:
        """Their record as ours should be."""
        return replace(
            record,
            head_id=self.entries[record.head_id],
            forked_at=self.entries[record.forked_at],
            branches=[str(self.entries[tip]) for tip in record.branches],
        )

    @rule()
    def another_process(self) -> None:
        self.ours = KataConversationStore(self.ours.client)

    @rule(messages=histories, scope=st.sampled_from([None, "ann"]), data=st.data())
    def begin(self, messages: list[ModelMessage], scope: str | None, data: st.DataObject) -> None:
        again = bool(self.names) and data.draw(st.integers(0, 3)) == 0
        self.count += 1
        name = self.name(data) if again else f"{self.prefix}-{self.count}"
        new = tuple(Conversation(conversation_id=name, messages=list(messages)) for _ in range(2))
        if saved := self.both(lambda store, which: store.save(new[which], scope=scope)):
            self.paired(saved)
            self.names.append(name)
            self.held[name] = new  # type: ignore[assignment]

    @precondition(lambda self: self.names)
    @rule(data=st.data(), limit=st.one_of(st.none(), st.integers(-1, 5)), scope=st.sampled_from([None, "ann"]))
    def load(self, data: st.DataObject, limit: int | None, scope: str | None) -> None:
        name = self.name(data)
        if loaded := self.both(lambda store, _: store.load(name, limit=limit, scope=scope)):
            self.same(*loaded)
            if loaded[0] and loaded[1]:
                self.held[name] = loaded[0], loaded[1]
        if read := self.both(lambda store, _: store.load_entries(name, limit=limit, scope=scope)):
            self.paired((read[0] or [], read[1] or []))
        if records := self.both(lambda store, _: store.read_record(name)):
            first, second = records
            assert (first is None) == (second is None)
            if first and second:
                assert replace(self.mapped(first), revision="", updated_at=second.updated_at) == replace(
                    second, revision=""
                )

    @precondition(lambda self: self.held)
    @rule(data=st.data(), messages=histories, deferred=st.booleans())
    def go_on(self, data: st.DataObject, messages: list[ModelMessage], deferred: bool) -> None:
        """As it was last loaded, which may be long ago."""
        name = data.draw(st.sampled_from(sorted(self.held)))
        call = DeferredToolRequests(approvals=[ToolCallPart("send", {"to": "x"})]) if deferred else None
        for conversation in self.held[name]:
            conversation.messages.extend(messages)
            conversation.usage = conversation.usage + RunUsage(requests=1, details={"n": len(messages)})
            conversation.deferred_tool_requests = call
        if saved := self.both(lambda store, which: store.save(self.held[name][which])):
            self.paired(saved)
        else:
            del self.held[name]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), messages=histories, keep=st.integers(0, 6))
    def rewrite(self, data: st.DataObject, messages: list[ModelMessage], keep: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        for conversation in self.held[name]:
            conversation.messages[keep:] = messages
            conversation.new_message_index = None
        if saved := self.both(lambda store, which: store.save(self.held[name][which])):
            self.paired(saved)
        else:
            del self.held[name]

    def chosen(self, data: st.DataObject) -> list[dict[str, Any]]:
        """Where to branch or fork: for theirs and for ours."""
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, 5))
            return [{"at": at}] * 2
        entry = data.draw(st.sampled_from(sorted(filter(None, self.entries)) or ["unknown"]))
        return [{"from_entry": entry}, {"from_entry": self.entries.get(entry, entry)}]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def branch(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        where, held = self.chosen(data), self.held[name]
        branched = self.both(
            lambda store, which: store.branch(name, **where[which], expected_revision=held[which].revision)
        )
        if branched:
            self.same(*branched)
            self.held[name] = branched

    @precondition(lambda self: self.names)
    @rule(data=st.data(), taken=st.booleans(), scope=st.sampled_from([None, "ann"]))
    def fork(self, data: st.DataObject, taken: bool, scope: str | None) -> None:
        name, where = self.name(data), self.chosen(data)
        self.count += 1
        new = self.name(data) if taken else f"{self.prefix}-{self.count}"
        forked = self.both(
            lambda store, which: store.fork(name, **where[which], new_conversation_id=new, source_scope=scope)
        )
        if forked:
            self.same(*forked)
            self.names.append(new)
            self.held[new] = forked

    @precondition(lambda self: self.names)
    @rule(data=st.data(), scope=st.sampled_from([None, "ann"]))
    def delete(self, data: st.DataObject, scope: str | None) -> None:
        name = self.name(data)
        self.both(lambda store, _: store.delete(name, scope=scope))

    @rule(scope=st.sampled_from([None, "ann"]), limit=st.one_of(st.none(), st.integers(-1, 3)))
    def list_all(self, scope: str | None, limit: int | None) -> None:
        own = f"{self.prefix}-"
        listed = self.both(lambda store, _: store.list_conversations(scope=scope))
        assert listed
        first, second = ([r.conversation_id for r in each if r.conversation_id.startswith(own)] for each in listed)
        assert first == second
        if limit is None or limit < 0:
            self.both(lambda store, _: store.list_conversations(limit=limit))


class TestBesideTheirOwnStore:
    def test_both_answer_the_same(self, stack: Stack) -> None:
        run_state_machine_as_test(
            lambda: Beside(stack.url),  # type: ignore[arg-type]  # a factory will do
            settings=settings(
                max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


# --- Races: each request of each writer is a step, and the steps come in any order; a writer may die at any of them.


class Gate(httpx2.AsyncBaseTransport):
    """Lets a writer's requests through one by one, as it is told."""

    def __init__(self) -> None:
        self.inner = httpx2.AsyncHTTPTransport()
        self.waiting: asyncio.Future[str] | None = None
        self.arrived = asyncio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.waiting = asyncio.get_running_loop().create_future()
        self.arrived.set()
        told = await self.waiting
        if told == "die before":
            raise asyncio.CancelledError
        response = await self.inner.handle_async_request(request)
        await response.aread()
        if told == "die after":
            raise asyncio.CancelledError
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


Work = Callable[[KataConversationStore], Awaitable[Any]]


async def interleaved(url: str, works: list[Work], data: st.DataObject, *, deaths: bool) -> list[Any]:
    """What came of each work: its answer, the UserError that refused it, or CancelledError if it died."""
    gates = [Gate() for _ in works]
    https = [httpx2.AsyncClient(transport=gate) for gate in gates]
    tasks = [
        asyncio.ensure_future(work(KataConversationStore(AsyncClient(url, http_client=http))))
        for work, http in zip(works, https, strict=True)
    ]
    told = st.sampled_from(["go"] * 8 + ["die before", "die after"] if deaths else ["go"])
    try:
        while True:
            for task, gate in zip(tasks, gates, strict=True):
                arrival = asyncio.ensure_future(gate.arrived.wait())
                await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
                arrival.cancel()
            alive = [index for index, task in enumerate(tasks) if not task.done()]
            if not alive:
                break
            gate = gates[data.draw(st.sampled_from(alive))]
            gate.arrived.clear()
            assert gate.waiting
            gate.waiting.set_result(data.draw(told))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    finally:  # also where Hypothesis has had enough of an example
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for http in https:
            await http.aclose()
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, (UserError, asyncio.CancelledError)):
            raise outcome
    return outcomes


async def check_line(store: KataConversationStore, name: str) -> None:
    """The context with the conversation's id has its history, and nothing else."""
    [home] = [context async for context in store.client.contexts(external_id=name)]
    found = [message["metadata"]["pydanticAi"]["entry"] async for message in store.client.messages(home["id"])]
    entries = await store.load_entries(name)
    assert entries is not None
    assert list(dict.fromkeys(found)) == [entry.id for entry in entries]


class TestRaces:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_of_writers_who_have_read_the_same_one_wins(self, running: Stack, data: st.DataObject) -> None:
        run(self.race(running.url, data, deaths=False))

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_a_writer_who_dies_leaves_what_was_or_what_it_wrote(self, running: Stack, data: st.DataObject) -> None:
        run(self.race(running.url, data, deaths=True))

    async def race(self, url: str, data: st.DataObject, *, deaths: bool) -> None:
        async with AsyncClient(url) as client:
            store, name = KataConversationStore(client), uuid4().hex
            await stored(store, name, turns(3))
            await store.branch(name, at=4, expected_revision=(await self.read(store, name)).revision)
            for _ in range(2 if deaths else 1):
                before = await self.read(store, name)
                if data.draw(st.booleans()):
                    await store.save(replace(before, messages=[*before.messages, *turns(1, 10)]))
                    before = await self.read(store, name)
                await self.round(url, data, store, before, deaths=deaths)
            after = await self.read(store, name)
            after.messages.extend(turns(1, 20))
            await store.save(after)
            assert (await self.read(store, name)).messages == after.messages
            await check_line(store, name)
            await store.delete(name)
            left = [c async for c in client.contexts(metadata={"pydanticAi": {"conversation": name}})]
            assert left == []

    async def round(
        self, url: str, data: st.DataObject, store: KataConversationStore, before: Conversation, *, deaths: bool
    ) -> None:
        name = before.conversation_id
        record = await store.read_record(name)
        assert record
        goals: list[list[ModelMessage]] = []
        works: list[Work] = []
        for index in range(data.draw(st.integers(2, 3))):
            kinds = ["extend", "rewrite", "branch", "touch", *(["branch back"] if record.branches else [])]
            kind = data.draw(st.sampled_from(kinds))
            keep = data.draw(st.integers(0, len(before.messages)))
            new = turns(1, 100 + index)
            if kind == "extend":
                goal = [*before.messages, *new]
            elif kind == "rewrite":
                goal = [*before.messages[:keep], *new]
            elif kind == "branch":
                goal = before.messages[:keep]
            elif kind == "touch":
                goal = before.messages
            else:
                goal = [entry.message for entry in await store.read_history(record.branches[-1])]
            goals.append(list(goal))
            works.append(self.work(kind, before, goal, keep, record))
        outcomes = await interleaved(url, works, data, deaths=deaths)
        won = [goal for goal, outcome in zip(goals, outcomes, strict=True) if not isinstance(outcome, BaseException)]
        died = [
            goal for goal, outcome in zip(goals, outcomes, strict=True) if isinstance(outcome, asyncio.CancelledError)
        ]
        now = (await self.read(store, name)).messages
        assert len(won) <= 1
        assert won or died
        assert now in (won or [before.messages, *died])

    def work(
        self, kind: str, before: Conversation, goal: list[ModelMessage], keep: int, record: ConversationRecord
    ) -> Work:
        name, revision = before.conversation_id, before.revision
        if kind == "branch":
            return lambda store: store.branch(name, at=keep, expected_revision=revision)
        if kind == "branch back":
            return lambda store: store.branch(name, from_entry=record.branches[-1], expected_revision=revision)
        return lambda store: store.save(Conversation(conversation_id=name, messages=goal, revision=revision))

    async def read(self, store: KataConversationStore, name: str) -> Conversation:
        loaded = await store.load(name)
        assert loaded
        return loaded


# --- What is ours alone.


def weather_agent(model: Any = None, **arguments: Any) -> Agent[None, Any]:
    agent: Agent[None, Any] = Agent(model or TestModel(), system_prompt="Be brief.", **arguments)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"sunny in {city}"

    return agent


class TestSave:
    def test_an_agent_goes_on_for_many_turns_and_others_read_its_messages(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            agent = weather_agent()
            async with AsyncClient(stack.url) as client:
                for turn in range(10):
                    store = KataConversationStore(client)
                    conversation = await store.load(unique) or Conversation(conversation_id=unique)
                    result = await agent.run(f"question {turn}", conversation=conversation)
                    await store.save(result)
                loaded = await store.load(unique)
                assert loaded
                assert loaded.messages == result.all_messages()
                assert loaded.usage == result.usage
                assert (await texts_of(store, unique))[:5] == [
                    "Be brief.",
                    "question 0",
                    "",
                    "sunny in a",
                    '{"weather":"sunny in a"}',
                ]
                await check_line(store, unique)

        run(work())

    def test_a_turn_costs_two_requests_to_load_and_two_to_save(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.proxy) as client:
                store = KataConversationStore(client)
                await stored(store, unique, turns(5))
                stack.faults()
                loaded = await store.load(unique)
                assert loaded
                assert len(stack.seen()) == 2
                loaded.messages.extend(turns(1, 5))
                stack.faults()
                await store.save(loaded)
                assert [seen["method"] for seen in stack.seen()] == ["GET", "POST"]
                stack.faults()
                await store.branch(unique, at=2, expected_revision=loaded.revision)
                assert [seen["method"] for seen in stack.seen()] == ["GET", "GET", "POST"]

        run(work())

    def test_a_context_with_a_policy_may_be_there_before(self, kata: Client, stack: Stack, unique: str) -> None:
        async def work() -> None:
            kata.create_context(external_id=unique, policy={"budget": 77})
            store = KataConversationStore(AsyncClient(stack.url))
            assert await store.load(unique) is None
            await stored(store, unique, turns(1))
            await store.save(Conversation(conversation_id=f"{unique}-empty"))
            assert kata.create_context(external_id=unique)["policy"] == {"budget": 77}
            assert await store.load(f"{unique}-empty") == Conversation(
                conversation_id=f"{unique}-empty", revision=(await store.list_conversations(limit=1))[0].revision
            )
            await store.client.close()

        run(work())

    def test_a_history_of_many_appends_is_stored_once(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                history = turns(1100)
                await stored(store, unique, history)
                loaded = await KataConversationStore(client).load(unique)
                assert loaded
                assert loaded.messages == history
                last = await store.load(unique, limit=3)
                assert last
                assert last.messages == loaded.messages[-3:]

        run(work())

    def test_a_record_that_no_metadata_takes_comes_back(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                large = DeferredToolRequests(approvals=[ToolCallPart("write", {"text": "x" * 200_000})])
                conversation = Conversation(conversation_id=unique, messages=turns(2), deferred_tool_requests=large)
                await store.save(conversation)
                for _ in range(2):
                    loaded = await KataConversationStore(client).load(unique)
                    assert loaded
                    assert loaded.deferred_tool_requests == large
                    await store.save(loaded)  # nothing new: the record alone
                forked = await store.fork(unique)
                assert forked.deferred_tool_requests == large
                again = await KataConversationStore(client).load(forked.conversation_id)
                assert again == forked
                empty = Conversation(deferred_tool_requests=large)
                await store.save(empty)
                assert await KataConversationStore(client).load(empty.conversation_id) == empty

        run(work())

    def test_records_about_as_large_as_metadata_takes_come_back(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                carried = set[bool]()
                for size in range(45_000, 48_200, 200):
                    text = DeferredToolRequests(approvals=[ToolCallPart("write", {"text": "x" * size})])
                    name = f"{unique} {size}"
                    conversation = Conversation(conversation_id=name, messages=turns(1), deferred_tool_requests=text)
                    await KataConversationStore(client).save(conversation)
                    assert await KataConversationStore(client).load(name) == conversation
                    context = await client.create_context(external_id=name)
                    carried.add(context["metadata"]["pydanticAi"].get("record") is None)
                assert carried == {False, True}

        run(work())

    def test_where_a_fork_would_be_too_deep_the_history_is_copied(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = Conversation(conversation_id=unique)
                for turn in range(257):
                    conversation.messages.append(user(f"question {turn}"))
                    await store.save(conversation)
                    context = await client.create_context(external_id=unique)
                    if turn < 256:
                        await client.fork(context["id"], move_external_id=True)
                history = list(conversation.messages)
                forked = await store.fork(unique, new_conversation_id=f"{unique}-fork")
                branched = await store.branch(unique, at=257, expected_revision=conversation.revision)
                for name in (unique, f"{unique}-fork"):
                    loaded = await KataConversationStore(client).load(name)
                    assert loaded
                    assert loaded.messages == branched.messages == forked.messages == history
                    assert (await client.create_context(external_id=name))["forkVersion"] in (0, None)
                    await check_line(store, name)

        run(work())


FAULTS: list[Any] = [
    "cut-before", "cut-after", "cut-within",
    {"status": 503, "headers": {"Retry-After": "0"}, "body": "{}"},
    {"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<html>", "after": True},
]  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS, ids=str)
    @pytest.mark.parametrize("place", range(6))
    def test_whatever_breaks_nothing_is_lost_or_doubled(
        self, stack: Stack, unique: str, fault: Any, place: int
    ) -> None:
        async def work() -> None:
            async with AsyncClient(stack.proxy) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(2))
                stack.faults(*[None] * place, fault)
                conversation = await store.branch(unique, at=2, expected_revision=conversation.revision)
                conversation.messages.extend(turns(1, 7))
                await store.save(conversation)
                stack.faults()
                loaded = await KataConversationStore(client).load(unique)
                assert loaded
                assert loaded.messages == conversation.messages
                await check_line(store, unique)
                stack.faults(fault)
                await store.delete(unique)
                assert await store.load(unique) is None

        run(work())

    def test_a_service_that_is_killed_again_and_again_has_all_of_a_hundred_turns(
        self, stack: Stack, unique: str
    ) -> None:
        async def work() -> None:
            async with AsyncClient(stack.proxy, max_retries=20) as client:
                store = KataConversationStore(client)
                conversation = Conversation(conversation_id=unique)
                for turn in range(100):
                    if turn % 33 == 10:
                        stack.kill(0.2)
                    conversation.messages.extend(turns(1, turn))
                    await store.save(conversation)
                loaded = await KataConversationStore(client).load(unique)
                assert loaded
                assert loaded.messages == conversation.messages
                assert len(await texts_of(store, unique)) == 200

        run(work())

    def test_what_is_left_of_a_save_in_several_requests_is_taken_back(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.proxy, max_retries=0) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(2))
                longer = replace(conversation, messages=[*conversation.messages, *turns(600, 9)])
                stack.faults(None, None, None, "cut-before")
                with pytest.raises(KataError):
                    await store.save(longer)
                assert len(await texts_of(store, unique)) == 1004
                loaded = await store.load(unique)
                assert loaded
                assert loaded.messages == conversation.messages
                loaded.messages.extend(turns(1, 7))
                await store.save(loaded)
                assert len(await texts_of(store, unique)) == 6
                await check_line(store, unique)

        run(work())

    def test_what_the_service_refuses_is_not_stored_and_said(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                for before in ([], turns(1)):
                    messages = [*before, user("x" * 5_000_000)]
                    with pytest.raises(KataError):
                        await store.save(Conversation(conversation_id=unique, messages=messages))
                    assert await store.load(unique) is None
                await stored(store, unique, turns(1))
                await check_line(store, unique)
                with pytest.raises(KataError):
                    await store.save(Conversation(conversation_id="x" * 256, messages=turns(1)))

        run(work())


class TestEntries:
    def test_heads_and_branches_are_found_by_a_new_process_and_others_are_not(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = Conversation(conversation_id=unique, messages=turns(2))
                entries = await store.save(conversation)
                await store.branch(unique, at=1, expected_revision=conversation.revision)
                for entry in entries:
                    assert await store.read_entry(entry.id) == entry
                store = KataConversationStore(client)
                assert await store.read_entry(entries[0].id) == entries[0]
                assert await store.read_entry(entries[3].id) == entries[3]
                with pytest.raises(LookupError):
                    await KataConversationStore(client).read_entry(entries[1].id)

        run(work())

    def test_an_entry_that_is_not_stored_is_no_head(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                for head in ("unknown", None):
                    record = ConversationRecord(conversation_id=unique, head_id=head)
                    entry = ConversationEntry(parent_id="unknown", message=user("hi"))
                    with pytest.raises(ConversationConflict if head else ValueError):
                        await store.write_record(record, new_entries=[] if head else [entry], expected_revision=None)
                assert await store.read_record(unique) is None

        run(work())


class TestWindow:
    def test_in_a_long_loop_a_model_sees_a_valid_window_in_the_budget(self, stack: Stack, unique: str) -> None:
        seen: list[list[ModelMessage]] = []

        def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            seen.append(messages)
            if len(seen) % 12:
                return ModelResponse(parts=[ToolCallPart("weather", {"city": f"Berlin {n}"}) for n in range(2)])
            return said("done")

        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                policy: Any = {"budget": 120, "keepPreamble": True, "keepRequest": True}
                store = KataConversationStore(client, policy=policy)
                agent = weather_agent(FunctionModel(model), capabilities=[KataWindow(store)])
                for turn in range(3):
                    conversation = await store.load(unique) or Conversation(conversation_id=unique)
                    result = await agent.run(f"question {turn}", conversation=conversation)
                    await store.save(result)
                loaded = await store.load(unique)
                assert loaded
                assert loaded.messages == result.all_messages()
                assert len(loaded.messages) == 3 * 24
                drafts = [c async for c in client.contexts(metadata={"pydanticAi": {"draft": unique}})]
                assert drafts == []

        run(work())
        assert len(seen) == 36
        for call, messages in enumerate(seen):
            parts = [part for message in messages for part in message.parts]
            calls = {part.tool_call_id for part in parts if isinstance(part, ToolCallPart)}
            results = {part.tool_call_id for part in parts if isinstance(part, ToolReturnPart)}
            assert calls == results
            assert isinstance(parts[0], SystemPromptPart)
            assert any(isinstance(part, UserPromptPart) and part.content == f"question {call // 12}" for part in parts)
            assert len(messages) < 16

    def test_what_is_cleared_or_summed_up_is_so_for_the_model(self, stack: Stack, kata: Client, unique: str) -> None:
        seen, model = heard()

        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                result = ToolReturnPart("weather", "sunny " * 40, tool_call_id="call_1")
                history = [
                    *turns(2),
                    user("and?"),
                    ModelResponse(parts=[ToolCallPart("weather", {}, tool_call_id="call_1")]),
                    ModelRequest(parts=[result]),
                    *turns(3, 7),
                ]
                await stored(store, unique, history)
                context = kata.create_context(external_id=unique)
                kata.update_context(context["id"], policy={"budget": 60, "clearToolResults": {"keepTokens": 5}})
                kata.compact(context["id"], 4, "Two questions.")
                agent = weather_agent(FunctionModel(model), capabilities=[KataWindow(store)])
                loaded = await store.load(unique)
                assert loaded
                await agent.run("thanks", conversation=loaded)
                await agent.run("thanks", message_history=turns(1), conversation_id=unique)

        run(work())
        first, second = seen
        parts = [part for message in first for part in message.parts]
        assert parts[0].content == "Two questions."  # type: ignore[union-attr]  # a user's part
        assert [part.content for part in parts if isinstance(part, ToolReturnPart)] == ["[cleared]"]
        assert [part.content for message in second for part in message.parts if isinstance(part, UserPromptPart)] == [
            "question 0", "thanks"
        ]  # fmt: skip

    def test_a_draft_that_cannot_be_deleted_fails_no_run(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.proxy, max_retries=0) as client:
                store = KataConversationStore(client, policy={"budget": 99})
                agent = Agent(TestModel(), capabilities=[KataWindow(store)])
                stack.faults(None, None, None, None, "cut-before")
                result = await agent.run("hi", conversation=Conversation(conversation_id=unique))
                assert [seen["method"] for seen in stack.seen()][-1] == "DELETE"
                assert len(result.all_messages()) == 2

        run(work())

    def test_a_cancelled_run_leaves_no_draft_and_nothing_stored(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            asked = asyncio.Event()

            async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
                asked.set()
                await asyncio.Event().wait()
                raise AssertionError

            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client, policy={"budget": 99})
                conversation = await stored(store, unique, turns(1))
                agent = Agent(FunctionModel(model), capabilities=[KataWindow(store)])
                running = asyncio.ensure_future(agent.run("hi", conversation=conversation))
                await asked.wait()
                assert [c async for c in client.contexts(metadata={"pydanticAi": {"draft": unique}})]
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                assert [c async for c in client.contexts(metadata={"pydanticAi": {"draft": unique}})] == []
                assert len(await texts_of(store, unique)) == 2

        run(work())

    def test_instructions_reach_the_model_though_the_window_begins_within_their_message(
        self, stack: Stack, unique: str
    ) -> None:
        seen, model = heard()

        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                agent = Agent(
                    FunctionModel(model),
                    system_prompt="You answer for a shop. " * 9,
                    instructions="Be brief.",
                    capabilities=[KataWindow(store, budget=9)],
                )
                await agent.run("hi", conversation=Conversation(conversation_id=unique))

        run(work())
        [[message]] = seen
        assert isinstance(message, ModelRequest)
        assert [part.content for part in message.parts if isinstance(part, UserPromptPart)] == ["hi"]
        assert len(message.parts) == 1
        assert message.instructions == "Be brief."


class TestOthers:
    """Clients that know nothing of pydantic-ai, in the same contexts."""

    def test_what_they_append_stays_where_it_is_and_models_see_it(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        seen, model = heard()

        call = {"id": "call_9", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        others: list[dict[str, Any]] = [
            {"role": "system", "content": "A note."},
            {"role": "assistant", "content": None, "toolCalls": [call], "metadata": {"pydanticAi": 7}},
            {"role": "tool", "toolCallId": "call_9", "content": "found"},
            {"role": "user", "content": [{"type": "text", "text": "a part"}], "metadata": {"mine": 1}},
        ]

        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client, policy={"budget": 999})
                agent = Agent(FunctionModel(model), capabilities=[KataWindow(store)])
                conversation = await stored(store, unique, turns(1))
                kata.append(kata.create_context(external_id=unique)["id"], others)
                result = await agent.run("and?", conversation=conversation)
                await store.save(result)
                contents = ["question 0", "answer 0", *(each["content"] for each in others), "and?", "done"]
                assert await texts_of(store, unique) == contents
                loaded = await KataConversationStore(client).load(unique)
                assert loaded
                assert loaded.messages == result.all_messages()
                kata.append(kata.create_context(external_id=unique)["id"], others)
                await store.save(loaded)  # nothing new: the record alone
                assert len(await texts_of(store, unique)) == len(contents) + len(others)
                branched = await store.branch(unique, at=2, expected_revision=loaded.revision)
                assert branched.messages == loaded.messages[:2]
                assert len(await texts_of(store, unique)) == 2
                record = await store.read_record(unique)
                assert record
                back = await store.branch(unique, from_entry=record.branches[-1], expected_revision=branched.revision)
                assert back.messages == loaded.messages

        run(work())
        parts = [part for message in seen[0] for part in message.parts]
        kinds = [UserPromptPart, ToolCallPart, ToolReturnPart, UserPromptPart, UserPromptPart]
        assert [type(part) for part in parts[2:]] == kinds
        assert getattr(parts[2], "content", None) == "<system>A note.</system>"  # pydantic-ai does this for most models
        assert getattr(parts[5], "content", None) == "a part"

    def test_their_policy_and_compaction_hold_after_a_branch(self, stack: Stack, kata: Client, unique: str) -> None:
        seen, model = heard()

        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(4))
                branched = await store.branch(unique, at=6, expected_revision=conversation.revision)
                context = kata.create_context(external_id=unique)
                kata.update_context(context["id"], policy={"budget": 500})
                kata.compact(context["id"], 4, "Two questions.")
                agent = Agent(FunctionModel(model), capabilities=[KataWindow(store)])
                await agent.run("and?", conversation=branched)

        run(work())
        [messages] = seen
        said_by_users = [part.content for each in messages for part in each.parts if isinstance(part, UserPromptPart)]
        assert said_by_users == ["Two questions.", "question 2", "and?"]

    def test_a_fork_of_theirs_with_an_id_is_a_conversation_of_its_own(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(2))
                kata.fork(kata.create_context(external_id=unique)["id"], external_id=f"{unique}-copy")
                copy = await store.load(f"{unique}-copy")
                assert copy
                assert (copy.conversation_id, copy.messages) == (f"{unique}-copy", conversation.messages)
                copy.messages.extend(turns(1, 9))
                await store.save(copy)
                await store.delete(unique)
                assert await store.load(unique) is None
                again = await KataConversationStore(client).load(f"{unique}-copy")
                assert again
                assert again.messages == copy.messages

        run(work())

    def test_a_large_record_is_the_forks_that_took_the_id(self, stack: Stack, kata: Client, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                large = DeferredToolRequests(approvals=[ToolCallPart("write", {"text": "x" * 200_000})])
                conversation = Conversation(conversation_id=unique, messages=turns(2), deferred_tool_requests=large)
                await store.save(conversation)
                home = kata.create_context(external_id=unique)
                kata.fork(home["id"], move_external_id=True)
                kata.delete_context(home["id"])
                assert await KataConversationStore(client).load(unique) == conversation
                assert unique in [record.conversation_id for record in await store.read_records()]
                await store.delete(unique)
                assert await store.load(unique) is None

        run(work())

    @pytest.mark.parametrize("cut", [1, 2, 3])
    def test_a_deletion_that_was_cut_off_can_be_done_again(
        self, stack: Stack, kata: Client, unique: str, cut: int
    ) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client, AsyncClient(stack.proxy, max_retries=0) as cutting:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(2))
                for at in (3, 2):
                    conversation = await store.branch(unique, at=at, expected_revision=conversation.revision)
                stack.faults(*[None] * (3 + cut), "cut-within")  # the answer to a deletion
                with suppress(KataError):
                    await KataConversationStore(cutting).delete(unique)
                stack.faults()
                await store.delete(unique)
                assert [*kata.contexts(metadata={"pydanticAi": {"conversation": unique}})] == []

        run(work())

    @pytest.mark.parametrize("how", ["branch", "fork"])
    def test_who_takes_the_id_within_a_deletion_is_deleted(
        self, stack: Stack, unique: str, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client, AsyncClient(stack.url) as other:
                store, theirs = KataConversationStore(client), KataConversationStore(other)
                conversation = await stored(store, unique, turns(2))
                read = client.get_context

                async def meanwhile(context_id: str) -> Any:
                    monkeypatch.setattr(client, "get_context", read)
                    if how == "branch":
                        await theirs.branch(unique, at=2, expected_revision=conversation.revision)
                    else:
                        await other.fork(context_id, version=1, move_external_id=True)
                    return await read(context_id)

                monkeypatch.setattr(client, "get_context", meanwhile)
                await store.delete(unique)
                assert await theirs.load(unique) is None

        run(work())

    def test_who_deletes_the_context_is_noticed(self, stack: Stack, kata: Client, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(1))
                held = await store.load(unique)
                kata.delete_context(kata.create_context(external_id=unique)["id"])
                for each in (conversation, held):
                    assert each
                    each.messages.extend(turns(1, 1))
                    with pytest.raises(ConversationConflict):
                        await store.save(each)
                await stored(store, unique, turns(1))
                assert len(await texts_of(store, unique)) == 2

        run(work())


class TestOddInput:
    @pytest.mark.parametrize("name", ["a/b?c#d&e=%2F", " ", "é\u2028\U0001f600", "..", '"', "x" * 218])
    def test_any_id_of_a_context_names_a_conversation(self, stack: Stack, unique: str, name: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, f"{unique}{name}", turns(1))
                await store.branch(f"{unique}{name}", at=1, expected_revision=conversation.revision)
                loaded = await KataConversationStore(client).load(f"{unique}{name}")
                assert loaded
                assert loaded.messages == conversation.messages[:1]

        run(work())

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 256])
    def test_what_is_no_such_id_is_refused(self, stack: Stack, name: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                with pytest.raises(KataError):
                    await store.load(name)
                with pytest.raises(KataError):
                    await stored(store, name, turns(1))

        run(work())

    def test_half_a_surrogate_is_refused_and_nothing_stored(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                store = KataConversationStore(client)
                conversation = await stored(store, unique, turns(1))
                conversation.messages.append(user("\ud800"))
                with pytest.raises(ValueError, match="surrogate"):
                    await store.save(conversation)
                assert len(await texts_of(store, unique)) == 2

        run(work())

    def test_of_20_branches_at_once_one_wins(self, stack: Stack, unique: str) -> None:
        async def work() -> None:
            async with AsyncClient(stack.url) as client:
                conversation = await stored(KataConversationStore(client), unique, turns(3))
                branches = (
                    KataConversationStore(client).branch(unique, at=at % 6, expected_revision=conversation.revision)
                    for at in range(20)
                )
                outcomes = await asyncio.gather(*branches, return_exceptions=True)
                [won] = [each for each in outcomes if isinstance(each, Conversation)]
                assert sum(isinstance(each, ConversationConflict) for each in outcomes) == 19
                loaded = await KataConversationStore(client).load(unique)
                assert loaded
                assert loaded.messages == won.messages
                await check_line(KataConversationStore(client), unique)

        run(work())
