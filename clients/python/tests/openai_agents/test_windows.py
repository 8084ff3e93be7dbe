"""What a run begins with: a window in the budget, which OpenAI takes as it is."""

from typing import Any

import pytest

from kata_context import Client
from kata_context.openai_agents import KataSession
from tests.openai_agents.conftest import Open, Run, of_root
from tests.openai_agents.test_session import ITEMS, answer, result, said

BUDGETS = [1, 10, 50, 100, 200, 400, 800, 1500, 3000, 6000, 100_000]

JUDGE = """from tests.formats.rules.openai_responses import broken
print(json.dumps([broken({"input": items}, natives=True) for items in json.load(sys.stdin)]))"""


def parted(window: list[Any]) -> list[Any]:
    """Calls and outputs without each other, and reasoning without what it led to."""
    calls = {item["call_id"] for item in window if item.get("type") == "function_call"}
    outputs = {item["call_id"] for item in window if item.get("type") == "function_call_output"}
    led = [
        item
        for item, following in zip(window, [*window[1:], {}], strict=True)
        if item.get("type") == "reasoning" and following.get("type") not in {"message", "function_call"}
    ]
    return [*(calls ^ outputs), *led]


class TestBudget:
    def test_windows_of_transcripts_are_valid_in_every_budget(
        self, run: Run, opened: Open, unique: str, transcripts: list[list[Any]]
    ) -> None:
        windows = []
        for place, items in enumerate(transcripts):
            for budget in BUDGETS:
                session = opened(f"{unique} {place}", budget=budget)
                if budget == BUDGETS[0]:
                    run(session.add_items(items))
                windows.append(run(session.get_items()))
                assert parted(windows[-1]) == []
            assert windows[-1] == items
            assert len(windows[-len(BUDGETS)]) < len(items)

        assert of_root(JUDGE, windows) == [[]] * len(windows)

    def test_windows_of_constructs_are_valid_in_every_budget(
        self, run: Run, opened: Open, unique: str, constructs: dict[str, list[Any]]
    ) -> None:
        windows = []
        for name, items in constructs.items():
            for budget in BUDGETS[:4]:
                session = opened(f"{unique} {name}", budget=budget)
                if budget == BUDGETS[0]:
                    run(session.add_items([*items, said(1), *items]))
                windows.append(run(session.get_items()))

        assert of_root(JUDGE, windows) == [[]] * len(windows)

    def test_a_new_session_begins_with_nothing(self, run: Run, opened: Open) -> None:
        assert run(opened(budget=100).get_items()) == []

    def test_the_items_of_one_answer_and_their_results_are_never_parted(self, run: Run, opened: Open) -> None:
        session = opened(budget=20)
        run(session.add_items([said(1), *answer("call_1", "a long story " * 20), result("call_1")]))

        assert run(session.get_items()) == [*answer("call_1", "a long story " * 20), result("call_1")]

    def test_system_items_that_a_session_begins_with_stay(self, run: Run, opened: Open) -> None:
        session = opened(budget=10)
        system: Any = {"role": "system", "content": "Be brief."}
        run(session.add_items([system, *map(said, range(100))]))
        window = run(session.get_items())

        assert window[0] == system
        assert window[1:] == [said(number) for number in range(100)][-len(window) + 1 :]
        assert len(window) < 12

    def test_what_the_service_does_not_take_is_in_windows_as_it_was_given(self, run: Run, opened: Open) -> None:
        session = opened(budget=1000)
        run(session.add_items([said(1), {"type": "item_reference", "id": "msg_1"}, said(2)]))

        assert run(session.get_items()) == [said(1), {"type": "item_reference", "id": "msg_1"}, said(2)]

    def test_a_policy_says_more(self, run: Run, opened: Open) -> None:
        session = opened(policy={"budget": 60, "clearToolResults": {"keepTokens": 0}})
        long: Any = {**result("call_1"), "output": "a long story " * 100}
        run(session.add_items([said(1), *answer("call_1"), long, said(2)]))

        cleared = {**long, "output": "[cleared]"}
        assert run(session.get_items()) == [said(1), *answer("call_1"), cleared, said(2)]
        assert run(session.get_items(2)) == [long, said(2)]

    def test_a_context_that_has_a_budget_needs_no_other(
        self, run: Run, session: KataSession, kata: Client, unique: str
    ) -> None:
        kata.create_context(external_id=unique, policy={"budget": 2})
        run(session.add_items([said(1), said(2), said(3)]))

        assert run(session.get_items()) == [said(2), said(3)]
        assert run(session.get_items(100)) == [said(1), said(2), said(3)]

    def test_a_summary_stands_for_what_it_covers(self, run: Run, opened: Open, kata: Client, unique: str) -> None:
        session = opened(budget=1000)
        run(session.add_items(ITEMS))
        context = kata.create_context(external_id=unique)
        kata.compact(context["id"], 3, "One was asked for.")

        assert run(session.get_items()) == [{"role": "user", "content": "One was asked for."}, ITEMS[-1]]
        assert run(session.get_items(100)) == ITEMS

    @pytest.mark.parametrize("pops", range(5))
    def test_what_was_taken_back_is_in_no_window(self, run: Run, opened: Open, pops: int) -> None:
        session = opened(budget=1000)
        run(session.add_items([said(1), *answer("call_1", "a", "b"), result("call_1")]))
        for _ in range(pops):
            run(session.pop_item())
        run(session.add_items([said(2)]))
        kept = [said(1), {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
        texts = [item["content"] for item in run(session.get_items()) if "content" in item]

        assert texts == [item["content"] for item in kept[: 5 - pops]] + ["2"]
