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


def calls(*ids: str, tokens: int = 10) -> dict[str, Any]:
    made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "toolCalls": made, "tokenCount": tokens}


def answer(call_id: str, tokens: int = 10) -> dict[str, Any]:
    return {"role": "tool", "content": "x", "toolCallId": call_id, "tokenCount": tokens}


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

    def test_finds_a_call_far_before_the_budget(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(1), calls("a"), *[user(1)] * 600, answer("a"), user(1))

        assert versions(window(api, context_id, 5)) == [604]
        assert versions(window(api, context_id, 620)) == [604]
        assert versions(window(api, context_id, 621)) == list(range(2, 605))

        append(api, context_id, calls("b"), *[user(1)] * 600, answer("b"))
        assert versions(window(api, context_id, 5)) == list(range(605, 1207))

    def test_takes_an_answer_to_no_call_for_a_message_that_cannot_open(
        self, api: httpx.Client, context_id: str
    ) -> None:
        append(api, context_id, user(1), answer("gone", 1), user(1), answer("gone", 1), user(1))

        assert versions(window(api, context_id, 2)) == [5]
        assert versions(window(api, context_id, 3)) == [3, 4, 5]
        assert versions(window(api, context_id, 4)) == [3, 4, 5]
        assert versions(window(api, context_id, 5)) == [1, 2, 3, 4, 5]

    def test_opens_with_an_answer_to_no_call_where_nothing_else_fits(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, user(50), *[answer("gone", 1)] * 10)

        assert versions(window(api, context_id, 59)) == list(range(2, 12))
        assert versions(window(api, context_id, 60)) == list(range(1, 12))

    def test_of_a_unit_larger_than_can_be_answered_is_refused(self, api: httpx.Client, context_id: str) -> None:
        call = calls("a")
        call["toolCalls"][0]["function"]["arguments"] = "x" * 3_000_000
        append(api, context_id, call)
        append(api, context_id, {**answer("a"), "content": "y" * 3_000_000})

        refused = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 5})

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")

    def test_finds_out_about_many_missing_calls_at_once(self, api: httpx.Client, context_id: str) -> None:
        orphans = [answer(f"gone {n}", 1) for n in range(998)]
        append(api, context_id, calls("a"), *orphans, answer("a"))

        assert versions(window(api, context_id, 1)) == list(range(1, 1001))

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
        refused = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": budget} if budget else {})

        assert refused.status_code == 400
        assert refused.json()["code"] == "invalid_parameter"
        assert refused.json()["errors"][0]["pointer"] == "/budget"

    def test_stops_before_the_platforms_limit(self, api: httpx.Client, context_id: str) -> None:
        for _ in range(3):
            append(api, context_id, {"role": "user", "content": "é" * 1_000_000, "tokenCount": 1})

        body = window(api, context_id, 1000)

        assert (versions(body), body["droppedCount"], body["overBudget"]) == ([2, 3], 1, False)


class TestPointInTime:
    def test_answers_as_it_was_when_that_version_was_the_newest(self, api: httpx.Client, context_id: str) -> None:
        turns = [user(10), calls("a"), answer("a"), user(7), user(1)]
        then = []
        for turn in turns:
            append(api, context_id, turn)
            then.append([window(api, context_id, budget) for budget in (1, 15, 22, 100)])

        for version, bodies in enumerate(then, 1):
            assert [window(api, context_id, budget, at=version) for budget in (1, 15, 22, 100)] == bodies

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
            body = window(api, context_id, budget)
            sent = body["data"]
            assert sent
            assert sent[0]["role"] != "tool"
            open_calls: set[str] = set()
            for message in sent:
                open_calls |= {call["id"] for call in message["toolCalls"] or ()}
                assert message["toolCallId"] is None or message["toolCallId"] in open_calls
            assert body["usedTokens"] == sum(message["tokenCount"] for message in sent)
            assert body["overBudget"] == (body["usedTokens"] > budget)
            assert versions(body) == list(range(body["firstVersion"], len(messages) + 1))
