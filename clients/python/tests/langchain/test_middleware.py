"""What an agent says is stored as it is said, once, and its model is sent windows."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from kata_context import Client
from kata_context.errors import ConnectionFailed
from kata_context.langchain import KataMiddleware, to_kata
from tests.conftest import Stack
from tests.langchain.fakes import Model, agent, ainvoke, assert_valid, calls, invoke, stored, texts

Invoke = Callable[..., Any]


@pytest.fixture(params=[invoke, ainvoke], ids=["waits", "is awaited"])
def call(request: pytest.FixtureRequest) -> Invoke:
    """Both ways to run an agent."""
    run: Invoke = request.param
    return run


class TestWithoutACheckpointer:
    def test_the_context_is_the_memory_of_a_new_process(self, stack: Stack, unique: str, call: Invoke) -> None:
        call(agent(stack, Model(answers=[calls(1, 2), AIMessage("Both shipped.")])), unique, ("user", "1 and 2?"))
        model = Model()

        call(agent(stack, model, system_prompt="Be brief."), unique, ("user", "Sure?"))

        assert [type(message) for message in model.sent[0]] == [
            SystemMessage,
            HumanMessage,
            AIMessage,
            ToolMessage,
            ToolMessage,
            AIMessage,
            HumanMessage,
        ]
        assert texts(model.sent[0])[3:] == ["order 1: shipped", "order 2: shipped", "Both shipped.", "Sure?"]

    def test_what_is_stored_is_what_was_said(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        answer = AIMessage(
            [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Shipped."}],
            usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            additional_kwargs={"refusal": None},
            response_metadata={"model_name": "gpt-4o"},
        )
        picture: list[str | dict[Any, Any]] = [
            {"type": "text", "text": "And this?"},
            {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        ]

        said = call(agent(stack, Model(answers=[calls(1, 2), answer])), unique, HumanMessage(picture))["messages"]

        assert stored(kata, unique) == said
        context = kata.create_context(external_id=unique)
        assert [message["model"] for message in kata.messages(context["id"])][-1] == "gpt-4o"

    def test_each_step_is_stored_before_the_next(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        seen: list[int] = []

        def look() -> AIMessage:
            seen.append(len(stored(kata, unique)))
            return calls(len(seen)) if len(seen) < 3 else AIMessage("Done.")

        call(agent(stack, Model(answers=[look, look, look])), unique, ("user", "Where is it?"))

        assert seen == [1, 3, 5]

    def test_a_call_is_stored_before_its_tool_runs(self, stack: Stack, kata: Client, unique: str) -> None:
        seen: list[list[BaseMessage]] = []

        @tool
        def look() -> str:
            """Look."""
            seen.append(stored(kata, unique))
            return "seen"

        class WithLook(KataMiddleware):
            tools = (look,)

        of = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c"}])
        invoke(create_agent(Model(answers=[of]), middleware=[WithLook(budget=1000, client=kata)]), unique, "Look!")

        assert texts(seen[0]) == ["Look!", "['c']"]

    def test_a_simple_turn_takes_four_requests(self, stack: Stack, unique: str, call: Invoke) -> None:
        call(agent(stack, Model()), unique, ("user", "Hi"))

        assert [(each["method"], each["path"].partition("?")[0].rpartition("/")[2]) for each in stack.seen()] == [
            ("POST", "contexts"),
            ("POST", "messages"),
            ("GET", "window"),
            ("POST", "messages"),
        ]

    def test_the_same_input_again_is_stored_once(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        question = HumanMessage("Where is it?", id="request-1")
        with pytest.raises(RuntimeError, match="down"):
            call(agent(stack, Model(answers=[RuntimeError("the model is down")])), unique, question)

        call(agent(stack, Model()), unique, question)

        assert texts(stored(kata, unique)) == ["Where is it?", "ok"]

    def test_a_run_that_ended_within_its_tools_does_no_harm(self, stack: Stack, unique: str, call: Invoke) -> None:
        with pytest.raises(RuntimeError, match="no such order"):
            call(agent(stack, Model(answers=[calls(1, -1)])), unique, ("user", "1?"))
        model = Model()

        call(agent(stack, model), unique, ("user", "Hello?"))

        none = "There is no result: the run ended before the tool did."
        assert texts(model.sent[0]) == ["1?", "['call_1', 'call_-1']", none, none, "Hello?"]

    def test_the_whole_history_given_again_is_stored_once(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        history: list[Any] = []
        for turn in range(4):
            history = call(agent(stack, Model(answers=[calls(turn)])), unique, *history, ("user", "?"))["messages"]

        assert stored(kata, unique) == history
        assert kata.create_context(external_id=unique)["parentId"] is None

    def test_what_others_append_is_sent_too(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        context = kata.create_context(external_id=unique)["id"]

        def note() -> AIMessage:
            kata.append(context, [{"role": "user", "content": "Note: it is urgent."}])
            return calls(1)

        model = Model(answers=[note])

        call(agent(stack, model), unique, ("user", "1?"))

        assert texts(model.sent[1]) == ["1?", "Note: it is urgent.", "['call_1']", "order 1: shipped"]
        assert texts(stored(kata, unique))[-1] == "ok"

    def test_a_session_id_counts_before_the_thread(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model(), session_id=unique), "thread", ("user", "Hi"))

        assert texts(stored(kata, unique)) == ["Hi", "ok"]

    def test_it_says_that_it_needs_a_session(self, stack: Stack) -> None:
        with pytest.raises(ValueError, match="session_id, or a thread_id"):
            agent(stack, Model()).invoke({"messages": ["Hi"]})

    def test_a_client_that_is_given_is_the_only_one_asked(self, stack: Stack, unique: str) -> None:
        waits: dict[str, Any] = {"async_client": None}
        awaited: dict[str, Any] = {"client": None}

        assert invoke(agent(stack, Model(), **waits), unique, "Hi")["messages"][-1].text == "ok"
        assert ainvoke(agent(stack, Model(), **awaited), unique, "Hi")["messages"][-1].text == "ok"
        with pytest.raises(ValueError, match="async_client="):
            ainvoke(agent(stack, Model(), **waits), unique, "Hi")
        with pytest.raises(ValueError, match="client="):
            invoke(agent(stack, Model(), **awaited), unique, "Hi")

    def test_an_etag_that_a_proxy_has_dropped_is_looked_for_elsewhere(self, stack: Stack, unique: str) -> None:
        class Dropped(httpx2.HTTPTransport):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                response = super().handle_request(request)
                response.headers.pop("etag", None)
                return response

        client = Client(stack.proxy, http_client=httpx2.Client(transport=Dropped()))
        model = Model()
        invoke(agent(stack, model, client=client), unique, "Hi")

        assert texts(model.sent[0]) == ["Hi"]

    def test_an_empty_input_asks_the_model_again(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        kata.append(kata.create_context(external_id=unique)["id"], [to_kata(HumanMessage("Hi"))])
        model = Model()

        call(agent(stack, model), unique)

        assert texts(model.sent[0]) == ["Hi"]
        assert texts(stored(kata, unique)) == ["Hi", "ok"]

    def test_a_context_that_is_deleted_meanwhile_is_made_again(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        def delete() -> AIMessage:
            kata.delete_context(kata.create_context(external_id=unique)["id"])
            return calls(1)

        said = call(agent(stack, Model(answers=[delete])), unique, ("user", "1?"))["messages"]

        assert stored(kata, unique) == said


class TestWindows:
    def test_at_every_budget_the_model_gets_what_is_valid(self, stack: Stack, unique: str, call: Invoke) -> None:
        invoke(agent(stack, Model(answers=[calls(*range(1, 7)), calls(7), calls(8, 9)])), unique, ("user", "1 to 9?"))
        sizes = set()
        for budget in (1, 5, 10, 20, 35, 50, 80, 120, 200, 1000):
            model = Model(answers=[calls(budget + 100)])
            call(agent(stack, model, budget=budget, system_prompt="Be brief."), unique, ("user", f"And {budget}?"))
            for sent in model.sent:  # which the model itself has found to be valid
                assert sent[0] == SystemMessage("Be brief.")
            assert f"And {budget}?" in texts(model.sent[0])
            sizes.add(len(model.sent[0]))
        assert len(sizes) > 4

    def test_the_request_stays_while_tools_fill_the_window(self, stack: Stack, unique: str) -> None:
        model = Model(answers=[calls(number) for number in range(30)])

        invoke(agent(stack, model, budget=60), unique, ("user", "Find all thirty orders."))

        assert all(texts(sent)[0] == "Find all thirty orders." for sent in model.sent)
        assert max(len(sent) for sent in model.sent) < 12

    def test_a_policy_is_given_to_the_context(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model(), budget=None, policy={"budget": 50, "startOn": "user"}), unique, ("user", "Hi"))

        assert kata.create_context(external_id=unique)["policy"] == {"budget": 50, "startOn": "user"}

    def test_a_budget_alone_makes_a_policy(self, stack: Stack, kata: Client, unique: str) -> None:
        invoke(agent(stack, Model(), budget=800), unique, ("user", "Hi"))

        policy = {"budget": 800, "keepPreamble": True, "keepRequest": True, "step": 200}
        assert kata.create_context(external_id=unique)["policy"] == policy

    def test_results_are_cleared_by_the_policy(self, stack: Stack, kata: Client, unique: str) -> None:
        policy: Any = {"budget": 60, "keepRequest": True, "clearToolResults": {"keepTokens": 10}}
        model = Model(answers=[calls(number) for number in range(8)])

        said = invoke(agent(stack, model, budget=None, policy=policy), unique, ("user", "All?"))["messages"]

        assert "[cleared]" in texts(model.sent[-1])
        assert stored(kata, unique) == said

    def test_a_summary_stands_for_what_it_covers(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        said = call(agent(stack, Model()), unique, ("user", "Hi"))["messages"]
        kata.compact(kata.create_context(external_id=unique)["id"], len(said), "They said hello.")
        model = Model()

        call(agent(stack, model), unique, ("user", "And?"))

        assert texts(model.sent[0]) == ["They said hello.", "And?"]


class Order(BaseModel):
    """An order."""

    number: int


class TestWhatAgentsDo:
    def test_structured_output(self, stack: Stack, kata: Client, unique: str, call: Invoke) -> None:
        of = AIMessage("", tool_calls=[{"name": "Order", "args": {"number": 7}, "id": "c"}])

        result = call(agent(stack, Model(answers=[of]), response_format=ToolStrategy(Order)), unique, ("user", "7"))
        model = Model()
        call(agent(stack, model), unique, ("user", "Thanks"))

        assert result["structured_response"] == Order(number=7)
        assert model.sent[0][:-1] == result["messages"]

    @pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["without", "with a checkpointer"])
    def test_arguments_that_are_no_json(self, stack: Stack, unique: str, call: Invoke, saver: Any) -> None:
        broken = invalid_tool_call(name="find_order", args='{"number":', id="c", error="cut")
        model = Model(answers=[AIMessage("", invalid_tool_calls=[broken])])
        made = agent(stack, model, checkpointer=saver)

        for said in ("1?", "2?", "3?"):
            call(made, unique, ("user", said))

        assert [said for said in texts(model.sent[-1]) if "?" in said] == ["1?", "2?", "3?"]

    @pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
    def test_a_person_decides(self, stack: Stack, kata: Client, unique: str, call: Invoke, decision: str) -> None:
        person = HumanInTheLoopMiddleware(interrupt_on={"find_order": True})
        saver = InMemorySaver()
        call(agent(stack, Model(answers=[calls(1)]), person, checkpointer=saver), unique, ("user", "1?"))
        edited = {"edited_action": {"name": "find_order", "args": {"number": 5}}} if decision == "edit" else {}
        resume: Any = Command(resume={"decisions": [{"type": decision, **edited}]})
        made = agent(stack, Model(), person, checkpointer=saver)

        config = {"configurable": {"thread_id": unique}}
        said = made.invoke(resume, config)["messages"]

        assert stored(kata, unique) == said
        assert_valid(said)
        assert kata.create_context(external_id=unique)["parentId"] is None

    def test_what_is_stored_twice_over_a_checkpointer_is_stored_once(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        made = agent(
            stack, Model(answers=[calls(1), AIMessage("a"), calls(2, 3), AIMessage("b")]), checkpointer=InMemorySaver()
        )

        call(made, unique, ("user", "1?"))
        said = call(made, unique, ("user", "2?"))["messages"]

        assert stored(kata, unique) == said
        assert len(said) == 9

    def test_a_checkpointer_that_has_forgotten_does_no_harm(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        call(agent(stack, Model(), checkpointer=InMemorySaver()), unique, ("user", "1?"))
        model = Model()

        call(agent(stack, model, checkpointer=InMemorySaver()), unique, ("user", "2?"))

        assert texts(model.sent[0]) == ["1?", "ok", "2?"]

    def test_a_thread_that_was_there_before_is_taken_over(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        saver = InMemorySaver()
        call(create_agent(Model(), checkpointer=saver), unique, ("user", "1?"))

        said = call(agent(stack, Model(), checkpointer=saver), unique, ("user", "2?"))["messages"]

        assert texts(said) == ["1?", "ok", "2?", "ok"]
        assert stored(kata, unique) == said


def kill_while_it_thinks(stack: Stack, turn: int) -> AIMessage:
    """An answer, and no service to store it."""
    stack.kill(0.2)
    return calls(turn)


class TestFaults:
    @pytest.mark.parametrize(
        "fault", ["cut-before", "cut-after", "cut-within", {"status": 503, "body": "{}", "after": True}]
    )
    @pytest.mark.usefixtures("hasty")
    def test_no_fault_loses_or_doubles(self, stack: Stack, kata: Client, unique: str, call: Invoke, fault: Any) -> None:
        stack.faults(*[fault, None] * 7)

        said = call(agent(stack, Model(answers=[calls(1, 2)])), unique, ("user", "1 and 2?"))["messages"]

        assert stored(kata, unique) == said

    def test_a_hundred_turns_through_kills(self, stack: Stack, kata: Client, unique: str) -> None:
        expected: list[str] = []
        few = {"budget": 500}  # or else it is long windows that take the time
        for turn in range(100):
            if turn % 50 == 10:
                answers: list[Any] = [partial(kill_while_it_thinks, stack, turn), AIMessage(f"Answer {turn}.")]
            elif turn % 20 == 15:  # the process itself ends, and its caller asks again
                answers = [calls(turn), RuntimeError("killed")]
                with pytest.raises(RuntimeError):
                    invoke(
                        agent(stack, Model(answers=answers), **few),
                        unique,
                        HumanMessage(f"{turn}?", id=f"{unique}{turn}"),
                    )
                answers = [calls(turn), AIMessage(f"Answer {turn}.")]
            else:
                answers = [calls(turn), AIMessage(f"Answer {turn}.")]
            invoke(agent(stack, Model(answers=answers), **few), unique, HumanMessage(f"{turn}?", id=f"{unique}{turn}"))
            expected += [f"{turn}?", f"['call_{turn}']", f"order {turn}: shipped", f"Answer {turn}."]

        assert texts(stored(kata, unique)) == expected

    def test_a_graph_that_resumes_stores_nothing_twice(
        self, stack: Stack, kata: Client, unique: str, call: Invoke
    ) -> None:
        saver = InMemorySaver()
        stack.faults(None, None, None, "cut-after", "cut-after")  # the model's call is stored, and nobody is told
        with pytest.raises(ConnectionFailed):
            call(agent(stack, Model(answers=[calls(1)]), checkpointer=saver, retries=1), unique, ("user", "1?"))
        stack.faults()

        config = {"configurable": {"thread_id": unique}}
        said = agent(stack, Model(), checkpointer=saver).invoke(None, config)["messages"]

        assert texts(said) == ["1?", "['call_1']", "order 1: shipped", "ok"]
        assert stored(kata, unique) == said
        assert kata.create_context(external_id=unique)["parentId"] is None


class TestTwoWriters:
    def test_both_are_kept_and_each_is_sent_what_is_valid(self, stack: Stack, kata: Client, unique: str) -> None:
        barrier = threading.Barrier(2)

        def run(name: int) -> list[BaseMessage]:
            answers: list[Any] = [calls(name * 10 + step, name * 10 + step + 5) for step in range(4)]
            barrier.wait()
            said: list[BaseMessage] = invoke(agent(stack, Model(answers=answers)), unique, f"I am {name}.")["messages"]
            return said

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(run, [1, 2])

        both = stored(kata, unique)
        assert [message for message in both if message in first] == first
        assert [message for message in both if message in second] == second
        assert len(both) == len(first) + len(second)
        model = Model()
        invoke(agent(stack, model), unique, "And?")
        assert len(model.sent[0]) == len(both) + 1

    def test_twenty_first_turns_at_once_make_one_session(self, stack: Stack, kata: Client, unique: str) -> None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda name: invoke(agent(stack, Model()), unique, f"I am {name}."), range(20)))

        assert len(stored(kata, unique)) == 40
