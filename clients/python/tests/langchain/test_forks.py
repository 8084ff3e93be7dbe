"""Where the history of a state becomes another, the session goes on in a fork."""

import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from langchain.agents.middleware import AgentMiddleware, SummarizationMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from kata_context import Client
from kata_context.langchain import from_kata, to_kata
from tests.conftest import Stack
from tests.langchain.fakes import Model, agent, ainvoke, calls, invoke, stored, texts

Invoke = Callable[..., Any]


@pytest.fixture(params=[invoke, ainvoke], ids=["waits", "is awaited"])
def call(request: pytest.FixtureRequest) -> Invoke:
    """Both ways to run an agent."""
    run: Invoke = request.param
    return run


def parent(kata: Client, thread: str) -> list[str]:
    """What the context that the session was forked from says."""
    context = kata.create_context(external_id=thread)["parentId"]
    assert context
    return texts([from_kata(message) for message in kata.messages(context)])


class TestWithoutACheckpointer:
    def test_the_same_message_again_has_another_answer(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        question = HumanMessage("2?", id="q-2")
        call(agent(stack, Model()), unique, ("user", "1?"))
        call(agent(stack, Model(answers=[calls(2), AIMessage("I do not know.")])), unique, question)

        call(agent(stack, Model(answers=[AIMessage("Tomorrow.")])), unique, question)
        call(agent(stack, Model(answers=[AIMessage("On Monday.")])), unique, question)

        assert texts(stored(kata, unique)) == ["1?", "ok", "2?", "On Monday."]
        assert parent(kata, unique) == ["1?", "ok", "2?", "Tomorrow."]

    @pytest.mark.parametrize("later", [1, 150])
    def test_an_edited_message_begins_its_turn_anew(
        self, stack: Stack, kata: Client, unique: str, call: Invoke, later: int
    ) -> None:
        call(agent(stack, Model()), unique, ("user", "1?"))
        call(agent(stack, Model()), unique, HumanMessage("2?", id="q-2"))
        context = kata.create_context(external_id=unique)["id"]
        kata.append(context, [to_kata(HumanMessage(f"{number}", id=f"n{number}")) for number in range(later)])

        call(agent(stack, Model()), unique, HumanMessage("3?", id="q-2"))

        assert texts(stored(kata, unique)) == ["1?", "ok", "3?", "ok"]
        assert parent(kata, unique)[:4] == ["1?", "ok", "2?", "ok"]

    def test_a_second_run_wins_while_the_first_one_still_thinks(self, stack: Stack, kata: Client, unique: str) -> None:
        question = HumanMessage("1?", id="q-1")
        asked, answered = threading.Event(), threading.Event()

        def slow() -> AIMessage:
            asked.set()
            assert answered.wait(30)
            return AIMessage("Too late.")

        first = threading.Thread(target=invoke, args=(agent(stack, Model(answers=[calls(1), slow])), unique, question))
        first.start()
        assert asked.wait(30)

        invoke(agent(stack, Model(answers=[AIMessage("In time.")])), unique, question)
        answered.set()
        first.join()

        assert texts(stored(kata, unique)) == ["1?", "In time."]
        assert parent(kata, unique) == ["1?", "['call_1']", "order 1: shipped", "Too late."]


class TestWithACheckpointer:
    def test_time_travel(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        saver = InMemorySaver()
        model = Model(answers=[calls(1), AIMessage("a"), calls(2), AIMessage("b"), calls(3), AIMessage("c")])
        made = agent(stack, model, checkpointer=saver)
        for said in ("1?", "2?", "3?"):
            call(made, unique, ("user", said))
        config: Any = {"configurable": {"thread_id": unique}}
        history = list(made.get_state_history(config))
        generator = random.Random(1)

        for past in generator.sample(history[:-1], 6):  # the last one is older than the input
            made.invoke(None, past.config)
            said = call(made, unique, ("user", "And?"))["messages"]
            assert stored(kata, unique) == said

    def test_an_older_checkpoint_is_sent_what_was_said_then(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        model = Model()
        made = agent(stack, model, checkpointer=InMemorySaver())
        for said in ("1?", "2?"):
            call(made, unique, ("user", said))
        config: Any = {"configurable": {"thread_id": unique}}
        past = next(each for each in made.get_state_history(config) if each.next == ("model",))

        said = made.invoke(None, past.config)["messages"]

        assert texts(model.sent[-1]) == ["1?", "ok", "2?"]
        assert stored(kata, unique) == said

    def test_an_edited_state(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        made = agent(stack, Model(), checkpointer=InMemorySaver())
        for said in ("1?", "2?"):
            call(made, unique, ("user", said))
        config: Any = {"configurable": {"thread_id": unique}}
        past = next(each for each in made.get_state_history(config) if len(each.values["messages"]) == 3)
        edited = HumanMessage("3?", id=past.values["messages"][-1].id)

        said = made.invoke(None, made.update_state(past.config, {"messages": [edited]}))["messages"]

        assert texts(said) == ["1?", "ok", "3?", "ok"]
        assert stored(kata, unique) == said
        assert parent(kata, unique) == ["1?", "ok", "2?", "ok"]

    def test_messages_that_are_removed(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        made = agent(stack, Model(), checkpointer=InMemorySaver())
        for said in ("1?", "2?", "3?"):
            state = call(made, unique, ("user", said))["messages"]
        removed: list[Any] = [RemoveMessage(id=message.id) for message in state[2:4]]

        said = call(made, unique, *removed, ("user", "4?"))["messages"]

        assert texts(said) == ["1?", "ok", "3?", "ok", "4?", "ok"]
        assert stored(kata, unique) == said

    def test_a_state_that_begins_anew(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        model = Model()
        made = agent(stack, model, checkpointer=InMemorySaver())
        call(made, unique, ("user", "1?"))

        call(made, unique, RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("2?"))

        assert texts(model.sent[-1]) == ["2?"]
        assert texts(stored(kata, unique)) == ["2?", "ok"]

    def test_a_state_that_is_trimmed_has_all_of_its_history(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        class Trim(AgentMiddleware):
            def before_model(self, state: Any, runtime: Any) -> dict[str, Any]:
                return {"messages": [RemoveMessage(id=message.id) for message in state["messages"][:-2]]}

        model = Model()
        made = agent(stack, model, Trim(), checkpointer=InMemorySaver())
        for turn in range(5):
            said = call(made, unique, ("user", f"{turn}?"))["messages"]

        expected = [text for turn in range(5) for text in (f"{turn}?", "ok")]
        assert texts(stored(kata, unique)) == expected
        assert kata.create_context(external_id=unique)["parentId"] is None
        assert texts(model.sent[-1]) == expected[:-1]
        assert len(said) == 3

    def test_a_state_that_is_summarised(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        short = SummarizationMiddleware(Model(), trigger=("messages", 5), keep=("messages", 2))
        made = agent(stack, Model(), short, checkpointer=InMemorySaver())
        for turn in range(5):
            said = call(made, unique, ("user", f"{turn}?"))["messages"]

        assert stored(kata, unique) == said
        assert "summary" in texts(said)[0]

    def test_a_fork_that_would_be_too_deep_is_a_copy(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model(), policy={"budget": 99}), unique, ("user", "1?"))
        context: Any = kata.create_context(external_id=unique)
        for depth in range(256):
            context = kata.fork(context["id"], move_external_id=True)
            kata.append(context["id"], [to_kata(HumanMessage(f"{depth}", id=f"d{depth}"))])
        invoke(agent(stack, Model()), unique, HumanMessage("2?", id="q-2"))
        before = stored(kata, unique)

        invoke(agent(stack, Model(answers=[AIMessage("Another.")])), unique, HumanMessage("2?", id="q-2"))

        now = kata.create_context(external_id=unique)
        assert now["parentId"] is None
        assert now["policy"] == {"budget": 99}
        assert stored(kata, unique)[:-1] == before[:-1]
        assert texts(stored(kata, unique))[-1] == "Another."

    def test_two_runs_on_one_thread_lose_nothing(self, stack: Stack, kata: Client, unique: str) -> None:
        saver = InMemorySaver()
        invoke(agent(stack, Model(), checkpointer=saver), unique, ("user", "0?"))
        barrier = threading.Barrier(2)

        def run(name: int) -> None:
            barrier.wait()
            invoke(agent(stack, Model(answers=[calls(name), calls(name + 5)]), checkpointer=saver), unique, f"{name}?")

        threads = [threading.Thread(target=run, args=(name,)) for name in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        made = agent(stack, Model(), checkpointer=saver)

        said = invoke(made, unique, ("user", "3?"))["messages"]

        assert stored(kata, unique) == said


@pytest.mark.usefixtures("hasty")
def test_the_session_is_what_the_thread_is_whatever_happens(  # noqa: C901 - a machine has many rules
    stack: Stack, kata: Client
) -> None:
    """A differential machine beside LangGraph's own memory."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.saver = InMemorySaver()
            self.model = Model()
            self.thread = uuid4().hex
            self.made = agent(stack, self.model, checkpointer=self.saver)
            self.config: Any = {"configurable": {"thread_id": self.thread}}
            self.number = 0
            self.said: list[BaseMessage] = []

        @rule(tools=st.lists(st.integers(1, 3), max_size=3), awaited=st.booleans())
        def turn(self, tools: list[int], awaited: bool) -> None:
            self.number += 1
            self.model.answers = [calls(*range(count)) for count in tools]
            run = ainvoke if awaited else invoke
            self.said = run(self.made, self.thread, ("user", f"{self.number}?"))["messages"]

        @rule()
        def a_turn_that_fails(self) -> None:
            self.number += 1
            self.model.answers = [calls(1), RuntimeError("down")]
            with pytest.raises(RuntimeError):
                invoke(self.made, self.thread, ("user", f"{self.number}?"))
            self.said = self.made.invoke(None, self.config)["messages"]

        @rule()
        def a_new_process(self) -> None:
            self.made = agent(stack, self.model, checkpointer=self.saver)

        @precondition(lambda self: self.said)
        @rule(data=st.data())
        def remove(self, data: st.DataObject) -> None:
            human = [str(message.id) for message in self.said[1:] if isinstance(message, HumanMessage)]
            some = data.draw(st.sets(st.sampled_from(human)) if human else st.just(set[str]()))
            gone: list[Any] = [RemoveMessage(id=each) for each in sorted(some)]
            self.said = invoke(self.made, self.thread, *gone, ("user", "removed?"))["messages"]

        @precondition(lambda self: self.said)
        @rule(data=st.data())
        def edit(self, data: st.DataObject) -> None:
            place = data.draw(st.integers(0, len(self.said) - 1))
            edited = self.said[place].model_copy(update={"content": f"edited {self.number}"})
            self.number += 1
            self.said = invoke(self.made, self.thread, edited, ("user", "edited?"))["messages"]

        @precondition(lambda self: self.said)
        @rule(data=st.data())
        def travel(self, data: st.DataObject) -> None:
            history = list(self.made.get_state_history(self.config))[:-2]  # those from when nothing was stored yet
            self.model.answers = [calls(9)]
            self.made.invoke(None, history[data.draw(st.integers(0, len(history) - 1))].config)
            self.said = invoke(self.made, self.thread, ("user", "and?"))["messages"]

        @rule()
        def begin_anew(self) -> None:
            anew: list[Any] = [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("anew?")]
            self.said = invoke(self.made, self.thread, *anew)["messages"]

        @rule(faults=st.lists(st.sampled_from([None, "cut-after", "cut-before"]), max_size=2))
        def trouble(self, faults: list[Any]) -> None:
            stack.faults(*faults)

        @invariant()
        def they_are_the_same(self) -> None:
            if self.said:
                assert stored(kata, self.thread) == self.said

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=7, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
