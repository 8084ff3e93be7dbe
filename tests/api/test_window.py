"""Windows over HTTP. What a window holds is specified in tests/lib/test_windows.py; here: the answer around it."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

TRANSCRIPTS = Path(__file__).parent.parent / "data" / "agent-transcripts.jsonl"


def append(api: httpx.Client, context_id: str, *messages: dict[str, Any]) -> None:
    answer = api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": messages})
    assert answer.status_code == 201, answer.text


def window(api: httpx.Client, context_id: str, budget: int, **params: Any) -> dict[str, Any]:
    answer = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": budget, **params})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def versions(body: dict[str, Any]) -> list[int]:
    return [message["version"] for message in body["data"]]


def user(tokens: int) -> dict[str, Any]:
    return {"role": "user", "content": "x", "tokenCount": tokens}


def system(tokens: int) -> dict[str, Any]:
    return {"role": "system", "content": "x", "tokenCount": tokens}


def calls(*ids: str, tokens: int = 10) -> dict[str, Any]:
    made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "toolCalls": made, "tokenCount": tokens}


def answer(call_id: str, tokens: int = 10) -> dict[str, Any]:
    return {"role": "tool", "content": "x", "toolCallId": call_id, "tokenCount": tokens}


BARE_FIGURES: dict[str, Any] = {
    "preambleCount": 0,
    "requestVersion": None,
    "compaction": None,
    "clearedCount": 0,
    "pendingCalls": [],
    "compactionDue": None,
}


def bare_policy(budget: int) -> dict[str, Any]:
    """The policy in effect where none is set."""
    return {
        "budget": budget,
        "keepPreamble": False,
        "keepRequest": False,
        "startOn": "any",
        "step": 0,
        "clearToolResults": None,
        "compactionDue": None,
    }


class TestRead:
    def test_answers_with_the_newest_messages_oldest_first_and_the_figures(
        self, api: httpx.Client, context_id: str
    ) -> None:
        append(api, context_id, user(10), user(20), user(30), user(40))
        stored = api.get(f"/api/v1/contexts/{context_id}/messages").json()["data"]

        assert window(api, context_id, 95) == {
            "data": stored[1:],
            "budget": 95,
            "usedTokens": 90,
            "overBudget": False,
            "totalTokens": 100,
            "firstVersion": 2,
            "lastVersion": 4,
            "droppedCount": 1,
            "tokensToEdge": 0,
            "policy": bare_policy(95),
            **BARE_FIGURES,
        }

    def test_fits_exactly(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10), user(20), user(30))

        assert versions(window(api, context_id, 60)) == [1, 2, 3]
        assert versions(window(api, context_id, 59)) == [2, 3]
        assert versions(window(api, context_id, 2**31 - 1)) == [1, 2, 3]

    def test_always_holds_the_newest_message(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10), user(20))

        body = window(api, context_id, 1)

        assert versions(body) == [2]
        assert (body["usedTokens"], body["overBudget"], body["droppedCount"]) == (20, True, 1)

    def test_of_an_empty_context_is_empty(self, api: httpx.Client, context_id: str) -> None:
        assert window(api, context_id, 5) == {
            "data": [],
            "budget": 5,
            "usedTokens": 0,
            "overBudget": False,
            "totalTokens": 0,
            "firstVersion": None,
            "lastVersion": None,
            "droppedCount": 0,
            "tokensToEdge": 5,
            "policy": bare_policy(5),
            **BARE_FIGURES,
        }

    def test_leaves_a_unit_out_whole(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10), calls("a", "b"), answer("a"), answer("b"), user(10))

        assert versions(window(api, context_id, 39)) == [5]
        assert versions(window(api, context_id, 40)) == [2, 3, 4, 5]

    def test_holds_the_newest_unit_even_over_budget(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10), calls("a", "b"), answer("a"), answer("b"))

        for budget in (1, 10, 29):
            body = window(api, context_id, budget)
            assert (versions(body), body["overBudget"]) == ([2, 3, 4], True)

    def test_leaves_out_an_answer_whose_call_lies_before_it(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, calls("a"), user(10), answer("a"), user(10))

        cut, whole = window(api, context_id, 30), window(api, context_id, 40)

        assert (versions(cut), cut["usedTokens"], cut["droppedCount"]) == ([2, 4], 20, 2)
        assert (versions(whole), whole["droppedCount"]) == ([1, 2, 3, 4], 0)

    def test_leaves_out_an_answer_to_no_call(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(1), answer("gone", 1), user(1), answer("gone", 1))

        body = window(api, context_id, 9)

        assert (versions(body), body["lastVersion"], body["usedTokens"], body["totalTokens"]) == ([1, 3], 3, 2, 4)

    def test_of_answers_alone_is_empty(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, answer("gone", 1), answer("gone", 1))

        body = window(api, context_id, 9)

        assert (body["data"], body["firstVersion"], body["droppedCount"]) == ([], None, 2)

    def test_says_which_calls_wait_for_an_answer(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, calls("a", "b"), answer("b"), calls("a", "c"), answer("c"))

        assert window(api, context_id, 100)["pendingCalls"] == ["a", "a"]
        assert window(api, context_id, 20)["pendingCalls"] == ["a"]

    def test_counts_messages_without_tokens(self, api: httpx.Client, context_id: str) -> None:
        empty = {"role": "user", "content": ""}
        append(api, context_id, user(5), empty, empty, user(5), empty)

        assert versions(window(api, context_id, 5)) == [2, 3, 4, 5]
        assert versions(window(api, context_id, 4)) == [5]
        assert versions(window(api, context_id, 10)) == [1, 2, 3, 4, 5]

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        assert api.get(f"/api/v1/contexts/{uuid4()}/window", params={"budget": 5}).status_code == 404

    @pytest.mark.parametrize("budget", ["0", "-1", "", "1.5", "x", "1e3", str(2**31), "9" * 400, None])
    def test_refuses_a_budget_that_is_none(self, api: httpx.Client, context_id: str, budget: str | None) -> None:
        refused = api.get(f"/api/v1/contexts/{context_id}/window", params={} if budget is None else {"budget": budget})

        assert refused.status_code == 400
        assert refused.json()["code"] == "invalid_parameter"
        assert refused.json()["errors"][0]["pointer"] == "/budget"


class TestHead:
    """Preamble, summary, request: what goes before the run, each message once."""

    def test_has_the_preamble_and_the_request(self, api: httpx.Client, context_id: str) -> None:
        loop = [message for number in range(4) for message in (calls(f"{number}"), answer(f"{number}"))]
        append(api, context_id, system(5), system(5), user(10), *loop)

        body = window(api, context_id, 60, keepPreamble="true", keepRequest="true")

        assert versions(body) == [1, 2, 3, 8, 9, 10, 11]
        assert (body["preambleCount"], body["requestVersion"], body["usedTokens"]) == (2, 3, 60)
        assert (body["firstVersion"], body["droppedCount"]) == (8, 4)

    def test_has_no_request_that_the_run_holds(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10), calls("a"), answer("a"), user(10), calls("b"), answer("b"))

        body = window(api, context_id, 40, keepRequest="true")

        assert (versions(body), body["requestVersion"]) == ([4, 5, 6], None)

    def test_leaves_the_request_out_where_the_newest_unit_would_not_fit(
        self, api: httpx.Client, context_id: str
    ) -> None:
        append(api, context_id, user(10), calls("a"), answer("a"))

        body = window(api, context_id, 25, keepRequest="true")

        assert (versions(body), body["requestVersion"], body["overBudget"]) == ([2, 3], None, False)

    def test_has_16_system_messages_at_most(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, *[system(1)] * 20, user(1))

        body = window(api, context_id, 17, keepPreamble="true")

        assert (versions(body), body["preambleCount"]) == ([*range(1, 17), 21], 16)

    def test_may_be_larger_than_the_budget(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, system(50), user(5), user(5))

        body = window(api, context_id, 10, keepPreamble="true", step=5, clearToolResults=3)

        assert (versions(body), body["usedTokens"], body["overBudget"]) == ([1, 3], 55, True)
        assert (body["policy"]["step"], body["policy"]["clearToolResults"]) == (0, {"keepTokens": 0})


class TestStep:
    def test_keeps_the_opening_until_the_edge(self, api: httpx.Client, context_id: str) -> None:
        openings = []
        for _ in range(12):
            append(api, context_id, user(10))
            body = window(api, context_id, 50, step=20)
            openings.append((body["firstVersion"], body["tokensToEdge"]))

        assert openings == [
            (1, 40),
            (1, 30),
            (1, 20),
            (1, 10),
            (1, 0),
            (3, 10),
            (3, 0),
            (5, 10),
            (5, 0),
            (7, 10),
            (7, 0),
            (9, 10),
        ]

    def test_and_clearing_leave_what_was_sent_as_it_was_until_the_edge(
        self, api: httpx.Client, context_id: str
    ) -> None:
        before: list[Any] = []
        moved = cleared = 0
        edge = 1000
        for number in range(30):
            append(api, context_id, calls(f"{number}"), answer(f"{number}", 30))
            body = window(api, context_id, 200, step=100, clearToolResults=50)
            assert body["usedTokens"] == sum(message["tokenCount"] for message in body["data"]) <= 200
            cleared += body["clearedCount"]
            if edge >= 40:
                assert body["data"][: len(before)] == before
            else:
                moved += 1
            before, edge = body["data"], body["tokensToEdge"]

        assert moved == 10
        assert cleared
        assert {message["content"] for message in before if "cleared" in message} == {"[cleared]"}


class TestBytes:
    """The platform carries 4.5 MB; what is counted is decided on before it is read."""

    def test_end_the_run_before_the_limit(self, api: httpx.Client, context_id: str) -> None:
        for _ in range(3):
            append(api, context_id, {"role": "user", "content": "é" * 1_000_000, "tokenCount": 1})

        body = window(api, context_id, 1000, step=10)

        assert (versions(body), body["droppedCount"], body["overBudget"]) == ([2, 3], 1, False)
        assert body["tokensToEdge"] is None

    def test_count_the_head_first(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, {"role": "system", "content": "é" * 1_000_000, "tokenCount": 1})
        for _ in range(2):
            append(api, context_id, {"role": "user", "content": "é" * 1_000_000, "tokenCount": 1})

        assert versions(window(api, context_id, 1000)) == [2, 3]
        assert versions(window(api, context_id, 1000, keepPreamble="true")) == [1, 3]

    def test_bring_a_request_back_that_they_cut_off(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(1))
        for number in range(4):
            append(api, context_id, calls(f"{number}"), {**answer(f"{number}", 1), "content": "x" * 1_500_000})

        body = window(api, context_id, 1000, keepRequest="true")

        assert (versions(body), body["requestVersion"], body["droppedCount"]) == ([1, 6, 7, 8, 9], 1, 4)

    def test_count_cleared_messages_as_they_are_sent(self, api: httpx.Client, context_id: str) -> None:
        for number in range(6):
            append(api, context_id, calls(f"{number}"), {**answer(f"{number}", 10), "content": "x" * 1_500_000})

        assert versions(window(api, context_id, 100)) == [9, 10, 11, 12]
        body = window(api, context_id, 100, clearToolResults=25)
        assert (versions(body), body["clearedCount"]) == ([*range(1, 13)], 4)

    def test_of_a_request_that_is_left_out_do_not_count(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, {**system(1), "content": "x" * 200_000})
        append(api, context_id, {"role": "user", "content": "x" * 4_390_000, "tokenCount": 2000})
        append(api, context_id, calls("a"), answer("a"))

        body = window(api, context_id, 1000, keepPreamble="true", keepRequest="true")

        assert (versions(body), body["requestVersion"]) == ([1, 3, 4], None)

    def test_of_answers_to_no_call_do_not_count(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(1))
        for _ in range(3):
            append(api, context_id, {**answer("gone", 1), "content": "x" * 4_000_000})

        assert versions(window(api, context_id, 1000)) == [1]

    def test_refuse_a_unit_that_is_larger(self, api: httpx.Client, context_id: str) -> None:
        call = calls("a")
        call["toolCalls"][0]["function"]["arguments"] = "x" * 3_000_000
        append(api, context_id, call)
        append(api, context_id, {**answer("a"), "content": "y" * 3_000_000})

        refused = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 5})
        figures = window(api, context_id, 5, include="figures")

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
        assert (figures["usedTokens"], figures["firstVersion"], "data" in figures) == (20, 1, False)


class TestFigures:
    def test_alone_are_those_of_the_window(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, system(1), user(10), calls("a"), answer("a", 50), calls("b"), user(3))
        policy = {"keepPreamble": "true", "keepRequest": "true", "step": 5, "clearToolResults": 5}

        whole = window(api, context_id, 40, compactionDue="0.5,10", **policy)
        alone = window(api, context_id, 40, compactionDue="0.5,10", include="figures", **policy)

        assert alone == {name: value for name, value in whole.items() if name != "data"}


class TestPointInTime:
    def test_answers_as_it_was_when_that_version_was_the_newest(self, api: httpx.Client, context_id: str) -> None:
        turns = [system(2), user(10), calls("a"), answer("a"), user(7), user(1)]
        policy = {"keepPreamble": "true", "keepRequest": "true", "step": 4, "clearToolResults": 3}
        then = []
        for turn in turns:
            append(api, context_id, turn)
            then.append([window(api, context_id, budget, **policy) for budget in (1, 15, 22, 100)])

        for version, bodies in enumerate(then, 1):
            assert [window(api, context_id, budget, at=version, **policy) for budget in (1, 15, 22, 100)] == bodies

    def test_version_0_is_empty(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10))

        body = window(api, context_id, 5, at=0)

        assert (body["data"], body["totalTokens"], body["firstVersion"]) == ([], 0, None)

    def test_refuses_a_version_to_come(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(10))

        refused = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 5, "at": 2})

        assert refused.status_code == 400
        assert refused.json()["errors"] == [
            {"pointer": "/at", "detail": "must be a version from 0 to the latest, which is 1"}
        ]


class TestErasure:
    def test_a_window_has_a_message_that_is_marked_as_erased(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        append(api, context_id, user(1), user(1), user(1))
        database.execute("UPDATE messages SET deleted_at = now() WHERE context_id = %s AND version = 2", [context_id])

        assert versions(window(api, context_id, 10)) == [1, 2, 3]


class TestTranscripts:
    """The main job, on real agents' conversations."""

    @pytest.mark.parametrize("line", TRANSCRIPTS.read_text().splitlines())
    def test_a_window_of_any_budget_is_fit_to_send(self, api: httpx.Client, context_id: str, line: str) -> None:
        renamed = {"tool_calls": "toolCalls", "tool_call_id": "toolCallId", "name": "toolName"}
        messages = [
            {renamed.get(key, key): value for key, value in message.items()} for message in json.loads(line)["messages"]
        ]
        append(api, context_id, *messages)
        total = window(api, context_id, 1)["totalTokens"]

        for budget in [*range(1, total, total // 60), total, total + 1]:
            body = window(api, context_id, budget, keepPreamble="true", keepRequest="true", step=budget // 4)
            sent = body["data"]
            assert sent[0]["role"] == "system"
            made: set[str] = set()
            for message in sent:
                made |= {call["id"] for call in message["toolCalls"] or ()}
                assert message["toolCallId"] is None or message["toolCallId"] in made
            assert body["usedTokens"] == sum(message["tokenCount"] for message in sent)
            assert body["overBudget"] == (body["usedTokens"] > budget)
            assert len(set(versions(body))) == len(sent)
