"""What others do in the moment between two requests is neither lost nor undone."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from kata_context import Client
from kata_context._requests import Request
from kata_context.errors import ConnectionFailed, InvalidRequest, PayloadTooLarge
from kata_context.langchain import KataChatMessageHistory, to_kata
from tests.conftest import Stack
from tests.langchain.fakes import Model, agent, ainvoke, calls, invoke, stored, texts


class Meddled(Client):
    """A client of which somebody takes advantage, once: just before a request of this method, to this place."""

    def __init__(self, url: str, method: str, place: str, meddle: Callable[[], object]) -> None:
        super().__init__(url)
        self.method, self.place, self.meddle = method, place, meddle

    def _send(self, request: Request[Any]) -> Any:
        if request.method == self.method and request.path.endswith(self.place):
            meddle, self.meddle = self.meddle, lambda: None
            meddle()
        return super()._send(request)


def session(kata: Client, unique: str) -> Any:
    """The context that has the session's id."""
    return kata.create_context(external_id=unique)


def note(kata: Client, unique: str) -> None:
    """Somebody else says something."""
    kata.append(session(kata, unique)["id"], [{"role": "user", "content": "It is urgent."}])


def move(kata: Client, unique: str, **arguments: Any) -> None:
    """Somebody else forks."""
    kata.fork(session(kata, unique)["id"], move_external_id=True, **arguments)


class TestAgents:
    def test_a_note_that_comes_while_a_turn_is_begun_anew_stays(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model()), unique, ("user", "1?"))
        question = HumanMessage("2?", id="q")
        invoke(agent(stack, Model()), unique, question)
        meddled = Meddled(stack.proxy, "PATCH", "", lambda: note(kata, unique))

        invoke(agent(stack, Model(answers=[AIMessage("Tomorrow.")]), client=meddled), unique, question)

        # It is behind the turn that is begun anew, so it is in what that leaves behind, and nowhere else.
        now = session(kata, unique)
        assert texts(stored(kata, unique)) == ["1?", "ok", "2?", "Tomorrow."]
        assert [message["content"] for message in kata.messages(now["parentId"])] == [
            "1?",
            "ok",
            "2?",
            "ok",
            "It is urgent.",
        ]

    @pytest.mark.parametrize("place", ["/contexts", "/messages"])
    def test_an_input_goes_where_the_session_has_gone(
        self, stack: Stack, kata: Client, unique: str, place: str
    ) -> None:
        invoke(agent(stack, Model()), unique, ("user", "1?"))
        meddled = Meddled(stack.proxy, "POST", place, lambda: move(kata, unique, version=0))

        invoke(agent(stack, Model(), client=meddled), unique, ("user", "2?"))

        assert texts(stored(kata, unique)) == ["2?", "ok"]

    def test_an_answer_goes_where_the_session_has_gone_with_its_question(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        def moved() -> AIMessage:
            move(kata, unique)
            return calls(1)

        said = invoke(agent(stack, Model(answers=[moved])), unique, ("user", "1?"))["messages"]

        assert stored(kata, unique) == said
        assert len(said) == 4

    def test_an_answer_to_what_was_taken_back_stays_where_it_was_asked(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        invoke(agent(stack, Model()), unique, ("user", "1?"))

        def rewound() -> AIMessage:
            move(kata, unique, version=2)
            return calls(2)

        said = invoke(agent(stack, Model(answers=[rewound])), unique, ("user", "2?"))["messages"]

        now = session(kata, unique)
        assert texts(stored(kata, unique)) == ["1?", "ok"]
        left = [message["content"] or "" for message in kata.messages(now["parentId"])]
        assert left[2:] == [message.text for message in said]

    def test_a_run_goes_on_where_it_is_if_its_session_is_renamed(self, stack: Stack, kata: Client, unique: str) -> None:
        def renamed() -> AIMessage:
            kata.update_context(session(kata, unique)["id"], external_id=f"{unique}-old")
            return calls(1)

        said = invoke(agent(stack, Model(answers=[renamed])), unique, ("user", "1?"))["messages"]

        assert stored(kata, f"{unique}-old") == said
        assert stored(kata, unique) == []

    @pytest.mark.parametrize("fault", ["cut-before", "cut-after"])
    def test_who_ends_while_a_turn_is_begun_anew_has_changed_all_or_nothing(
        self, stack: Stack, kata: Client, unique: str, fault: str
    ) -> None:
        question = HumanMessage("1?", id="q")
        invoke(agent(stack, Model()), unique, question)
        edited = HumanMessage("2?", id="q")
        for requests in range(6):
            stack.faults(*[None] * requests, fault)
            with pytest.raises(ConnectionFailed):
                invoke(agent(stack, Model(), retries=0), unique, edited)

            # The old turn, the input alone, or the input with its answer, of which nobody was told.
            assert texts(stored(kata, unique)) in (["1?", "ok"], ["2?"], ["2?", "ok"])
            stack.faults()

        invoke(agent(stack, Model(answers=[AIMessage("Yes.")])), unique, edited)
        assert texts(stored(kata, unique)) == ["2?", "Yes."]

    def test_ten_who_begin_a_turn_anew_leave_one_turn(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model()), unique, ("user", "1?"))
        barrier = threading.Barrier(10)

        def run(number: int) -> None:
            made = agent(stack, Model(answers=[AIMessage(f"Answer {number}.")]))
            barrier.wait()
            invoke(made, unique, HumanMessage("2?", id="q"))

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(run, range(10)))

        said = texts(stored(kata, unique))
        assert said[:3] == ["1?", "ok", "2?"]
        assert len(said) == 4
        assert said[3].startswith("Answer")

    def test_the_same_history_given_by_two_at_once_is_stored_once(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        history = [HumanMessage("1?", id="a"), AIMessage("ok", id="b"), HumanMessage("2?", id="c")]
        meddled = Meddled(
            stack.proxy,
            "POST",
            "/messages",
            lambda: kata.append(session(kata, unique)["id"], [to_kata(message) for message in history[:2]]),
        )

        invoke(agent(stack, Model(), client=meddled), unique, *history)

        assert texts(stored(kata, unique)) == ["1?", "ok", "2?", "ok"]

    def test_a_run_that_is_cancelled_poisons_nothing(self, stack: Stack, kata: Client, unique: str) -> None:
        async def cancelled() -> None:
            thinking = asyncio.Event()

            class Slow(Model):
                async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
                    if any(isinstance(message, AIMessage) for message in args[0]):
                        thinking.set()
                        await asyncio.Event().wait()
                    return await super()._agenerate(*args, **kwargs)

            run = asyncio.create_task(
                agent(stack, Slow(answers=[calls(1)])).ainvoke(
                    {"messages": ["1?"]}, {"configurable": {"thread_id": unique}}
                )
            )
            await asyncio.wait_for(thinking.wait(), 30)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

        asyncio.run(cancelled())

        ainvoke(agent(stack, Model()), unique, ("user", "Hello?"))

        assert texts(stored(kata, unique)) == ["1?", "['call_1']", "order 1: shipped", "Hello?", "ok"]

    def test_a_compaction_and_a_policy_of_others_hold_at_once(self, stack: Stack, kata: Client, unique: str) -> None:
        def compacted() -> AIMessage:
            kata.compact(session(kata, unique)["id"], 2, "They said hello.")
            return calls(1)

        def hurried() -> AIMessage:
            kata.update_context(session(kata, unique)["id"], policy={"budget": 10, "keepRequest": False})
            return calls(2)

        invoke(agent(stack, Model(), policy={"budget": 1000, "keepRequest": True}), unique, ("user", "Hello."))
        model = Model(answers=[compacted, hurried])

        invoke(agent(stack, model, budget=None), unique, ("user", "1 and 2?"))

        assert texts(model.sent[1])[:2] == ["They said hello.", "1 and 2?"]
        assert texts(model.sent[2]) == ["They said hello.", "['call_2']", "order 2: shipped"]


class TestHostileInput:
    @pytest.mark.parametrize("thread", [0, "a/b?c#d %00", "\U0001f600" * 100, "..", " "])
    def test_ids_of_sessions(self, stack: Stack, kata: Client, unique: str, thread: Any) -> None:
        thread = thread if thread == 0 else (unique + thread)[:255]
        before = len(stored(kata, str(thread)))
        for said in ("1?", "2?"):
            invoke(agent(stack, Model()), thread, ("user", said))

        assert texts(stored(kata, str(thread)))[before:] == ["1?", "ok", "2?", "ok"]

    @pytest.mark.parametrize("thread", ["a\0b", "x" * 256])
    def test_ids_that_the_service_does_not_take_are_refused(self, stack: Stack, thread: str) -> None:
        with pytest.raises(InvalidRequest, match="externalId"):
            invoke(agent(stack, Model()), thread, ("user", "1?"))

    @pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 10_000, "\n", "\U0001f600"])
    def test_ids_of_messages(self, stack: Stack, kata: Client, unique: str, name: str) -> None:
        saver = InMemorySaver()
        for answer in ("Hm.", "Yes."):
            said = HumanMessage(f"{answer}?", id=f"{unique}{name}")
            invoke(agent(stack, Model(answers=[AIMessage(answer)])), unique, said)
            made = agent(stack, Model(answers=[AIMessage(answer)]), checkpointer=saver)
            thread = invoke(made, f"{unique}-thread", said)["messages"]

        assert texts(stored(kata, unique)) == ["Yes.?", "Yes."]
        assert texts(stored(kata, f"{unique}-thread")) == texts(thread)

    def test_what_is_too_large_is_refused_and_nothing_of_it_stored(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        with pytest.raises(PayloadTooLarge):
            invoke(agent(stack, Model()), unique, ("user", "x" * 5_000_000))

        invoke(agent(stack, Model()), unique, ("user", "1?"))
        assert texts(stored(kata, unique)) == ["1?", "ok"]

    def test_calls_of_one_id_and_none(self, stack: Stack, kata: Client, unique: str) -> None:
        of = {"name": "find_order", "args": {"number": 1}}
        same = AIMessage("", tool_calls=[{**of, "id": "c"}, {**of, "id": "c"}])
        nameless = AIMessage("", tool_calls=[{"name": "x" * 300, "args": {"a": "\0"}, "id": ""}])
        for answer in (same, nameless):
            said: list[BaseMessage] = invoke(agent(stack, Model(answers=[answer])), unique, ("user", "1?"))["messages"]
            assert len(stored(kata, unique)) >= len(said)
        model = Model()

        invoke(agent(stack, model), unique, ("user", "And?"))

        assert texts(model.sent[0])[-1] == "And?"


class TestHistories:
    def test_more_than_one_request_stores_goes_where_the_session_has_gone(
        self, stack: Stack, kata: Client, unique: str
    ) -> None:
        sent: list[int] = []

        class Twice(Client):
            def _send(self, request: Request[Any]) -> Any:
                if request.path.endswith("/messages"):
                    sent.append(1)
                    if len(sent) == 2:
                        move(kata, unique)
                return super()._send(request)

        said: list[BaseMessage] = [HumanMessage(f"{number}") for number in range(1500)]

        KataChatMessageHistory(unique, client=Twice(stack.proxy)).add_messages(said)

        assert texts(stored(kata, unique)) == texts(said)

    def test_clear_clears_what_the_session_is_by_then(self, stack: Stack, kata: Client, unique: str) -> None:
        note(kata, unique)
        meddled = Meddled(stack.proxy, "DELETE", "", lambda: move(kata, unique))

        KataChatMessageHistory(unique, client=meddled).clear()

        assert stored(kata, unique) == []
