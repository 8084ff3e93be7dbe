"""A session of the Agents SDK: items come back equal, the newest go first, and nothing is lost among writers."""

import asyncio
import random
from typing import Any

import pytest
from agents import SessionSettings
from agents.memory import Session

from kata_context import AsyncClient, Client, errors
from kata_context.openai_agents import KataSession
from tests.conftest import Stack
from tests.openai_agents.conftest import Open, Run


def said(number: int) -> Any:
    return {"role": "user", "content": str(number)}


def answer(call_id: str, *texts: str) -> list[Any]:
    """What a model answers in one go: reasoning, texts and a call."""
    reasoning = {"type": "reasoning", "id": f"rs_{call_id}", "summary": [], "encrypted_content": "gAAA"}
    call = {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}
    return [reasoning, *({"role": "assistant", "content": text} for text in texts), call]


def result(call_id: str) -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": "done"}


ITEMS = [said(1), *answer("call_1", "Let me look."), result("call_1"), {"role": "assistant", "content": "Done."}]

# What the service refuses as an item, or cannot have.
STRANGE: list[Any] = [
    {"type": "item_reference", "id": "msg_1"},
    {"role": "user"},
    {"role": "narrator", "content": "Meanwhile."},
    {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": {}},
    {"type": "reasoning", "summary": None},
    {"type": "opaque", "json": "no JSON"},
    {"type": "of tomorrow", "value": float("inf")},
    {"role": "user", "content": "half a character: \ud83d"},
    {"role": "user", "content": "nothing: \0"},
    {"é\0": 12345678901234567890123},
    {"role": "user", "content": "x", "openai-agents-js": {"type": "mine"}},
    "no object",
    {},
]


class TestItems:
    def test_a_session_is_one_of_theirs(self, session: KataSession) -> None:
        theirs: Session = session
        assert isinstance(theirs, Session)

    def test_a_new_session_has_no_items(self, run: Run, session: KataSession) -> None:
        assert run(session.get_items()) == []
        assert run(session.pop_item()) is None
        run(session.clear_session())
        run(session.add_items([]))
        assert run(session.get_items()) == []

    def test_items_of_every_kind_come_back_equal(
        self, run: Run, opened: Open, unique: str, constructs: dict[str, list[Any]]
    ) -> None:
        assert len(constructs) >= 20
        for name, items in constructs.items():
            session = opened(f"{unique} {name}")
            run(session.add_items(items))

            assert run(session.get_items()) == items, name

    def test_transcripts_come_back_equal_and_are_popped_equal(
        self, run: Run, opened: Open, unique: str, transcripts: list[list[Any]]
    ) -> None:
        for place, items in enumerate(transcripts):
            session = opened(f"{unique} {place}")
            run(session.add_items(items))

            assert run(session.get_items()) == items
        popped = [run(session.pop_item()) for _ in range(len(items) + 1)]
        assert popped == [*reversed(items), None]

    @pytest.mark.parametrize("item", STRANGE, ids=lambda item: repr(item)[:40])
    def test_what_the_service_does_not_take_comes_back_equal_as_well(
        self, run: Run, session: KataSession, item: Any
    ) -> None:
        run(session.add_items([said(1), item, *answer("call_1")]))

        assert run(session.get_items()) == [said(1), item, *answer("call_1")]
        assert run(session.get_items(3)) == [item, *answer("call_1")]

    def test_much_that_the_service_does_not_take_comes_back_equal(self, run: Run, session: KataSession) -> None:
        run(session.add_items(STRANGE * 10))

        assert run(session.get_items()) == STRANGE * 10

    def test_what_another_client_has_appended_is_items_too(
        self, run: Run, session: KataSession, kata: Client, unique: str
    ) -> None:
        calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        context = kata.create_context(external_id=unique)
        parts = [
            {"type": "text", "text": "Hi"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "video", "video": {}},
        ]
        kata.append(
            context["id"],
            [
                {"role": "user", "content": parts},
                {"role": "assistant", "content": "One moment.", "toolCalls": calls},
                {"role": "tool", "toolCallId": "call_1", "content": "done"},
                {"role": "tool", "toolCallId": "call_1", "content": [{"type": "text", "text": "again"}]},
            ],
        )
        thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
        said_so = [thinking, {"type": "text", "text": "It is done."}, {"type": "text", "text": "Really."}]
        kata.append(context["id"], [{"role": "assistant", "content": said_so}], format="anthropic")
        kata.append(context["id"], [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}])

        items = [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Hi"},
                    {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                ],
            },
            {"role": "assistant", "content": "One moment."},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            result("call_1"),
            {**result("call_1"), "output": [{"type": "input_text", "text": "again"}]},
            {"role": "assistant", "content": "It is done."},
            {"role": "assistant", "content": "Really."},
            {"role": "assistant", "content": "No."},
        ]
        assert run(session.get_items()) == items
        assert [run(session.pop_item()) for _ in items] == items[::-1]

    def test_items_of_javascript_are_read_without_what_its_sdk_had(
        self, run: Run, session: KataSession, kata: Client, unique: str
    ) -> None:
        context = kata.create_context(external_id=unique)
        kata.append(context["id"], [{**said(1), "openai-agents-js": {"type": "message"}}], format="openai-responses")

        assert run(session.get_items()) == [said(1)]
        assert run(session.pop_item()) == said(1)

    def test_what_others_call_opaque_is_an_item_as_any_other(
        self, run: Run, session: KataSession, kata: Client, unique: str
    ) -> None:
        items: list[Any] = [{"type": "opaque"}, {"type": "opaque", "json": 5}, {"type": "opaque", "json": "{"}]
        kata.append(kata.create_context(external_id=unique)["id"], items, format="openai-responses")

        assert run(session.get_items()) == items
        assert run(session.pop_item()) == items[-1]

    def test_more_than_an_append_takes_comes_back_equal(self, run: Run, session: KataSession) -> None:
        items = [said(number) for number in range(2500)] + [{"role": "assistant", "content": "x" * 1_900_000}] * 2
        run(session.add_items(items))

        assert run(session.get_items()) == items

    @pytest.mark.parametrize("session_id", ["../a b?c#d", "\n", "🙂" * 255])
    def test_any_text_is_a_session_id(self, run: Run, opened: Open, session_id: str) -> None:
        session = opened(session_id)
        run(session.clear_session())
        run(session.add_items(answer("call_1")))

        assert run(session.pop_item()) == answer("call_1")[-1]
        assert run(opened(session_id).get_items()) == answer("call_1")[:-1]

    @pytest.mark.parametrize("session_id", ["", "x" * 256, "\0"])
    def test_what_is_no_session_id_is_refused(self, run: Run, opened: Open, session_id: str) -> None:
        with pytest.raises(errors.InvalidRequest):
            run(opened(session_id).add_items([said(1)]))


class TestLimits:
    @pytest.mark.parametrize("limit", range(-1, 9))
    def test_a_limit_gets_exactly_the_newest_items(self, run: Run, session: KataSession, limit: int) -> None:
        run(session.add_items(ITEMS))

        assert run(session.get_items(limit)) == (ITEMS[-limit:] if limit > 0 else [])

    def test_the_settings_have_a_limit_which_another_goes_before(self, run: Run, opened: Open) -> None:
        session = opened(session_settings={"limit": 2}, budget=1000)
        run(session.add_items(ITEMS))

        assert session.session_settings == SessionSettings(limit=2)
        assert run(session.get_items()) == ITEMS[-2:]
        assert run(session.get_items(3)) == ITEMS[-3:]
        assert run(session.get_items(0)) == []

    def test_a_limit_reaches_over_pages(self, run: Run, session: KataSession) -> None:
        items = [said(number) for number in range(2100)]
        run(session.add_items(items))

        assert run(session.get_items(2050)) == items[-2050:]
        assert run(session.get_items(5000)) == items


class TestPops:
    def test_items_of_one_answer_are_popped_one_by_one(self, run: Run, session: KataSession) -> None:
        run(session.add_items(ITEMS))
        items = [*ITEMS]
        while items:
            assert run(session.pop_item()) == items.pop()
            assert run(session.get_items()) == items
        assert run(session.pop_item()) is None

    def test_what_is_added_after_a_pop_stands_behind_what_was_left(self, run: Run, session: KataSession) -> None:
        run(session.add_items([said(1), *answer("call_1", "a", "b")]))
        assert run(session.pop_item()) == answer("call_1")[-1]
        assert run(session.pop_item()) == {"role": "assistant", "content": "b"}
        run(session.add_items([said(2)]))

        assert run(session.get_items()) == [said(1), *answer("call_1", "a")[:2], said(2)]

    def test_20_pops_at_once_get_20_items(self, run: Run, opened: Open) -> None:
        sessions = [opened() for _ in range(20)]
        items = [item for turn in range(5) for item in (said(turn), *answer(f"call_{turn}", f"{turn}"))]

        async def pops() -> list[Any]:
            await sessions[0].add_items(items)
            return await asyncio.gather(*(session.pop_item() for session in sessions))

        assert sorted(map(str, run(pops()))) == sorted(map(str, items))
        assert run(sessions[0].get_items()) == []

    def test_what_was_popped_can_still_be_read(self, run: Run, session: KataSession, kata: Client, unique: str) -> None:
        run(session.add_items([said(1), said(2)]))
        first = kata.create_context(external_id=unique)["id"]
        run(session.pop_item())

        assert [message["content"] for message in kata.messages(first)][:2] == ["1", "2"]
        assert kata.create_context(external_id=unique)["parentId"] == first

    def test_name_metadata_and_policy_stay(self, run: Run, opened: Open, kata: Client, unique: str) -> None:
        session = opened(policy={"budget": 500, "step": 50})
        run(session.add_items([said(1), *answer("call_1")]))
        before = kata.update_context(
            kata.create_context(external_id=unique)["id"], name="Mine", metadata={"a": {"b": 1.5}}
        )
        run(session.pop_item())
        after = kata.create_context(external_id=unique)

        assert after["id"] != before["id"]
        for member in ("name", "metadata", "policy"):
            assert after[member] == before[member]

    def test_after_hundreds_of_pops_the_history_is_copied(
        self, run: Run, session: KataSession, kata: Client, unique: str
    ) -> None:
        run(session.add_items([said(0), *answer("call_1", "a")]))
        for number in range(256):  # as many pops and adds would leave it
            context = kata.create_context(external_id=unique)
            kata.append(context["id"], [{"role": "user", "content": str(number)}])
            kata.fork(context["id"], move_external_id=True)
        run(session.add_items(answer("call_2", "b", "c")))
        items = [said(0), *answer("call_1", "a"), *map(said, range(256)), *answer("call_2", "b", "c")]
        assert run(session.get_items()) == items
        for _ in range(2):
            assert run(session.pop_item()) == items.pop()
            assert run(session.get_items()) == items
        run(session.add_items([said(1)]))

        assert run(session.get_items()) == [*items, said(1)]


class TestClear:
    def test_a_cleared_session_begins_anew(self, run: Run, session: KataSession) -> None:
        run(session.add_items(ITEMS))
        run(session.clear_session())
        assert run(session.get_items()) == []
        assert run(session.pop_item()) is None
        run(session.add_items([said(1)]))

        assert run(session.get_items()) == [said(1)]

    def test_clearing_at_once_with_others_clears(self, run: Run, opened: Open) -> None:
        async def clears() -> None:
            await opened().add_items(ITEMS)
            await asyncio.gather(*(opened().clear_session() for _ in range(5)))

        run(clears())
        assert run(opened().get_items()) == []


class TestWriters:
    def test_20_who_begin_at_once_begin_one_session(self, run: Run, opened: Open, kata: Client, unique: str) -> None:
        async def begin() -> None:
            await asyncio.gather(*(opened().add_items([said(number)]) for number in range(20)))

        run(begin())
        found = run(opened().get_items())
        assert sorted(found, key=lambda item: int(item["content"])) == [said(number) for number in range(20)]
        assert len([*kata.contexts(external_id=unique)]) == 1

    def test_the_items_of_one_add_stay_together(self, run: Run, opened: Open) -> None:
        async def add() -> None:
            await asyncio.gather(*(opened().add_items(answer(f"call_{n}", str(n))) for n in range(10)))

        run(add())
        found = run(opened().get_items())
        adds = [found[place : place + 3] for place in range(0, 30, 3)]
        assert sorted(map(str, adds)) == sorted(str(answer(f"call_{n}", str(n))) for n in range(10))

    @pytest.mark.parametrize("seed", range(5))
    def test_among_adds_and_pops_no_item_is_lost_or_doubled(self, run: Run, opened: Open, seed: int) -> None:
        chance = random.Random(seed)

        async def write(number: int) -> list[Any]:
            popped = []
            session = opened()
            for turn in range(6):
                await asyncio.sleep(chance.random() / 50)
                if chance.random() < 0.5:
                    popped.append(await session.pop_item())
                await session.add_items(answer(f"call_{number}_{turn}", f"{number} {turn}"))
            return popped

        async def writes() -> list[list[Any]]:
            return await asyncio.gather(*(write(number) for number in range(5)))

        popped = [item for each in run(writes()) for item in each if item]
        stored = run(opened().get_items())
        added = [item for n in range(5) for turn in range(6) for item in answer(f"call_{n}_{turn}", f"{n} {turn}")]
        assert sorted(map(str, popped + stored)) == sorted(map(str, added))

    @pytest.mark.parametrize("taking", ["pop_item", "clear_session"])
    def test_an_add_that_comes_when_the_id_has_moved_is_stored_where_it_leads(
        self, run: Run, opened: Open, taking: str
    ) -> None:
        """Between the look of one who adds and the append, another takes an item back."""
        run(opened().add_items([said(0)]))
        slow = opened()
        run(slow.add_items([said(1)]))  # which knows the context from now on
        run(getattr(opened(), taking)())
        run(opened().add_items([said(2)]))
        run(slow.add_items([said(3)]))

        left = [said(0)] if taking == "pop_item" else []
        assert run(opened().get_items()) == [*left, said(2), said(3)]

    @pytest.mark.parametrize("name", ["fork", "update_context"])
    def test_what_is_added_while_somebody_takes_back_is_not_lost(
        self, run: Run, opened: Open, client: AsyncClient, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """Just before the first request that leaves something out, another adds."""
        call = getattr(client, name)

        async def add_first(*given: Any, **arguments: Any) -> Any:
            monkeypatch.undo()
            await opened().add_items([said(2)])
            return await call(*given, **arguments)

        run(opened().add_items([said(1), *answer("call_1", "a")]))
        monkeypatch.setattr(client, name, add_first)

        assert run(opened().pop_item()) == said(2)
        assert run(opened().get_items()) == [said(1), *answer("call_1", "a")]

    def test_a_draft_that_was_too_late_is_deleted(
        self, run: Run, opened: Open, kata: Client, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call = client.update_context

        async def pop_first(*given: Any, **arguments: Any) -> Any:
            monkeypatch.undo()
            assert await opened().pop_item() == answer("call_1")[-1]
            return await call(*given, **arguments)

        run(opened().add_items(answer("call_1", "a", "b")))
        first = kata.create_context(external_id=opened().session_id)["id"]
        monkeypatch.setattr(client, "update_context", pop_first)

        assert run(opened().pop_item()) == {"role": "assistant", "content": "b"}
        assert run(opened().get_items()) == answer("call_1", "a")[:-1]
        assert len([*kata.forks(first)]) == 1

    @pytest.mark.parametrize("name", ["messages", "fork", "append"])
    def test_a_session_that_is_deleted_meanwhile_begins_anew(
        self, run: Run, session: KataSession, kata: Client, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        call = getattr(session._client, name)

        def delete_first(*given: Any, **arguments: Any) -> Any:
            monkeypatch.undo()
            kata.delete_context(kata.create_context(external_id=session.session_id)["id"])
            return call(*given, **arguments)

        run(session.add_items(ITEMS))
        monkeypatch.setattr(session._client, name, delete_first)

        assert name == "append" or run(session.get_items(1) if name == "messages" else session.pop_item()) in (None, [])
        run(session.add_items([said(1)]))
        assert run(session.get_items()) == [said(1)]

    def test_one_session_is_used_from_several_event_loops(self, stack: Stack, unique: str) -> None:
        client = AsyncClient(stack.url)
        session = KataSession(unique, client)

        async def add(number: int) -> None:
            await session.add_items([said(number)])
            await client.close()

        async def threads() -> list[Any]:
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, add(number)) for number in range(3)))
            items = await session.get_items()
            await client.close()
            return items

        asyncio.run(add(3))
        items = asyncio.run(threads())
        assert items[0] == said(3)
        assert sorted(map(str, items[1:])) == [str(said(number)) for number in range(3)]


class TestFailures:
    @pytest.mark.parametrize("fault", ["cut-before", "cut-after", "cut-within", {"status": 503, "body": "{}"}])
    @pytest.mark.parametrize("place", range(4))
    def test_a_pop_that_is_cut_pops_one_item(
        self, run: Run, stack: Stack, opened: Open, fault: Any, place: int
    ) -> None:
        run(opened().add_items([said(1), *answer("call_1", "a")]))
        stack.faults(*[None] * place, fault)

        assert run(opened(client=AsyncClient(stack.proxy)).pop_item()) == answer("call_1")[-1]
        assert run(opened().get_items()) == [said(1), *answer("call_1", "a")[:-1]]

    @pytest.mark.parametrize("place", range(2))
    def test_an_add_that_is_cut_adds_once(self, run: Run, stack: Stack, opened: Open, place: int) -> None:
        stack.faults(*[None] * place, "cut-after", "cut-before")
        run(opened(client=AsyncClient(stack.proxy)).add_items(ITEMS))

        assert run(opened().get_items()) == ITEMS

    def test_an_add_that_was_stored_and_popped_before_its_answer_came_is_not_stored_again(
        self, run: Run, stack: Stack, opened: Open
    ) -> None:
        async def add() -> Any:
            await opened().add_items([said(1)])
            stack.faults(None, "cut-after")
            adding = asyncio.create_task(opened(client=AsyncClient(stack.proxy)).add_items([said(2)]))
            while await opened().get_items(1) != [said(2)]:
                pass
            popped = await opened().pop_item()
            await adding
            return popped

        assert run(add()) == said(2)
        assert run(opened().get_items()) == [said(1)]

    @pytest.mark.parametrize("place", range(2, 5))
    def test_a_pop_that_dies_has_popped_nothing(self, run: Run, stack: Stack, opened: Open, place: int) -> None:
        """Before the draft is made, filled, or has the session's id."""
        items = [said(1), *answer("call_1", "a", "b")]
        run(opened().add_items(items))
        stack.faults(*[None] * place, "cut-before")

        with pytest.raises(errors.ConnectionFailed):
            run(opened(client=AsyncClient(stack.proxy, max_retries=0)).pop_item())
        assert run(opened().get_items()) == items
        assert run(opened().pop_item()) == items.pop()
        assert run(opened().get_items()) == items

    def test_a_pop_of_which_an_answer_was_lost_pops_one_item_though_another_pops_meanwhile(
        self, run: Run, opened: Open, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The draft had the session's id, and has it no more when it is asked for again."""
        call = client.update_context

        async def ask_twice(*given: Any, **arguments: Any) -> Any:
            monkeypatch.undo()
            await call(*given, **arguments)
            assert await opened().pop_item() == {"role": "assistant", "content": "b"}
            return await call(*given, **arguments)

        run(opened().add_items(answer("call_1", "a", "b")))
        monkeypatch.setattr(client, "update_context", ask_twice)

        assert run(opened().pop_item()) == answer("call_1")[-1]
        assert run(opened().get_items()) == answer("call_1", "a")[:-1]

    def test_a_pop_without_an_answer_has_popped_or_not(self, run: Run, stack: Stack, opened: Open) -> None:
        run(opened().add_items([said(1), said(2)]))
        for fault, left in (("cut-before", [said(1), said(2)]), ("cut-after", [said(1)])):
            stack.faults(None, None, fault)
            with pytest.raises(errors.ConnectionFailed):
                run(opened(client=AsyncClient(stack.proxy, max_retries=0)).pop_item())
            assert run(opened().get_items()) == left

    @pytest.mark.parametrize("seed", range(2))
    def test_a_pop_that_is_cancelled_pops_one_item_or_none(self, run: Run, opened: Open, seed: int) -> None:
        chance = random.Random(seed)
        items = [said(1), *answer("call_1", *"abcdefghijkl")]

        async def cancel() -> None:
            session = opened()
            await session.add_items(items)
            for pops in range(1, 11):
                task = asyncio.create_task(session.pop_item())
                await asyncio.sleep(chance.random() / 25)
                task.cancel()
                await asyncio.wait([task])
                found = await session.get_items()
                assert found == items[: len(found)]
                assert len(found) >= len(items) - pops

        run(cancel())
