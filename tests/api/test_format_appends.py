"""Appends in providers' formats: what each gave becomes messages of ours, and is kept; what is wrong is pointed at.

What comes of each construct is specified in tests/formats; here: the request and the answer around it.
"""

import json
from typing import Any

import httpx
import pytest

from tests.formats.windowed import FORMATS, turns

CONTEXTS = "/api/v1/contexts"
JSON = {"content-type": "application/json"}
MOST = 2**31 - 1

type Turns = list[dict[str, Any]]


def path(context_id: str) -> str:
    return f"{CONTEXTS}/{context_id}/messages"


def post(api: httpx.Client, context_id: str, name: str, sent: Any, **members: Any) -> httpx.Response:
    return api.post(path(context_id), json={"format": name, "messages": sent, **members})


def append(api: httpx.Client, context_id: str, name: str, turns: Turns, **members: Any) -> list[dict[str, Any]]:
    """Appends, and answers with the stored messages."""
    answer = post(api, context_id, name, turns, **members)
    assert answer.status_code == 201, answer.text
    stored: list[dict[str, Any]] = answer.json()["data"]
    return stored


def pointers(refused: httpx.Response) -> list[str]:
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_body"), refused.text
    return [place["pointer"] for place in refused.json()["errors"]]


def latest(api: httpx.Client, context_id: str) -> int:
    version: int = api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"]
    return version


def user(name: str, text: str = "x") -> dict[str, Any]:
    """A user's turn in a format."""
    return {"role": "user", "parts": [{"text": text}]} if name == "gemini" else {"role": "user", "content": text}


def spoken(name: str, text: str = "x") -> dict[str, Any]:
    """An assistant's turn in a format."""
    return {"role": "model", "parts": [{"text": text}]} if name == "gemini" else {"role": "assistant", "content": text}


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


ARGUMENTS = '{"city":"Bern"}'

# What a provider gives and takes: two calls, of which one fails, in as many turns as it has for that.
CALLED: dict[str, Turns] = {
    "openai-chat": [
        user("openai-chat", "Look."),
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": each, "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
                for each in ("call_1", "call_2")
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "tool", "tool_call_id": "call_2", "content": "gone"},
    ],
    "openai-responses": [
        user("openai-responses", "Look."),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": ARGUMENTS},
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": ARGUMENTS},
        {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
        {"type": "function_call_output", "call_id": "call_2", "output": "gone"},
    ],
    "anthropic": [
        user("anthropic", "Look."),
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                *[
                    {"type": "tool_use", "id": each, "name": "look", "input": {"city": "Bern"}}
                    for each in ("call_1", "call_2")
                ],
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "sun"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "gone", "is_error": True},
            ],
        },
    ],
    "gemini": [
        user("gemini", "Look."),
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                *[
                    {"functionCall": {"id": each, "name": "look", "args": {"city": "Bern"}}, **signed}
                    for each, signed in (("call_1", {"thoughtSignature": "c2ln"}), ("call_2", {}))
                ],
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "call_1", "name": "look", "response": {"output": "sun"}}},
                {"functionResponse": {"id": "call_2", "name": "look", "response": {"error": "gone"}}},
            ],
        },
    ],
    "ai-sdk": [
        user("ai-sdk", "Look."),
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                *[
                    {"type": "tool-call", "toolCallId": each, "toolName": "look", "input": {"city": "Bern"}}
                    for each in ("call_1", "call_2")
                ],
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "call_1",
                    "toolName": "look",
                    "output": {"type": "text", "value": "sun"},
                },
                {
                    "type": "tool-result",
                    "toolCallId": "call_2",
                    "toolName": "look",
                    "output": {"type": "error-text", "value": "gone"},
                },
            ],
        },
    ],
}

# The places in what was sent that each of the four messages comes from.
SOURCES = {
    "openai-chat": [[0], [1], [2], [3]],
    "openai-responses": [[0], [1, 2, 3, 4], [5], [6]],
    "anthropic": [[0], [1], [2], [2]],
    "gemini": [[0], [1], [2], [2]],
    "ai-sdk": [[0], [1], [2], [2]],
}

# OpenAI has no form for a call that failed.
FAILURES = ("anthropic", "gemini", "ai-sdk")


def two_results(name: str) -> dict[str, Any]:
    """A turn with two results, in a format that has them in one."""
    return CALLED[name][-1]


class TestMessages:
    @pytest.mark.parametrize("name", FORMATS)
    def test_are_split_and_joined_into_one_for_each_turn_and_each_result(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        asked, called, first, second = append(api, context_id, name, CALLED[name])

        assert [message["role"] for message in (asked, called, first, second)] == ["user", "assistant", "tool", "tool"]
        assert [message["version"] for message in (asked, called, first, second)] == [1, 2, 3, 4]
        assert asked["content"] == "Look."
        assert [(each["id"], each["function"]["name"]) for each in called["toolCalls"]] == [
            ("call_1", "look"),
            ("call_2", "look"),
        ]
        assert [json.loads(each["function"]["arguments"]) for each in called["toolCalls"]] == [{"city": "Bern"}] * 2
        assert [(each["toolCallId"], each["content"]) for each in (first, second)] == [
            ("call_1", "sun"),
            ("call_2", "gone"),
        ]
        assert first["metadata"] == {}
        assert second["metadata"] == ({"isError": True} if name in FAILURES else {})
        assert "native" not in called

    @pytest.mark.parametrize("name", FORMATS)
    def test_answer_as_pages_do(self, api: httpx.Client, context_id: str, name: str) -> None:
        stored = append(api, context_id, name, CALLED[name])

        assert api.get(path(context_id)).json()["data"] == stored
        figures = api.get(f"{CONTEXTS}/{context_id}/window?budget=1000").json()
        assert figures["data"] == stored
        assert figures["pendingCalls"] == []

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_several_appends_go_on_from_each_other(self, api: httpx.Client, context_id: str, name: str) -> None:
        """A call and its result come in two requests, as an agent's loop sends them."""
        results = SOURCES[name].index([SOURCES[name][2][0]])
        place = SOURCES[name][results][0]

        append(api, context_id, name, CALLED[name][:place])
        waiting = api.get(f"{CONTEXTS}/{context_id}/window?budget=1000").json()["pendingCalls"]
        append(api, context_id, name, CALLED[name][place:])

        assert waiting == ["call_1", "call_2"]
        assert api.get(f"{CONTEXTS}/{context_id}/window?budget=1000").json()["pendingCalls"] == []

    def test_of_two_appends_are_never_joined(self, api: httpx.Client, context_id: str) -> None:
        """What is stored is not changed any more, and a turn that is given in two pieces is two messages."""
        item = spoken("openai-responses")

        assert len(append(api, context_id, "openai-responses", [item, item])) == 1
        assert len(append(api, context_id, "openai-responses", [item])) == 1
        assert latest(api, context_id) == 2

    @pytest.mark.parametrize("name", ["anthropic", "gemini", "ai-sdk"])
    def test_are_1000_at_most_when_they_are_taken_apart(self, api: httpx.Client, context_id: str, name: str) -> None:
        turn = two_results(name)
        member = "parts" if name == "gemini" else "content"
        whole, one_more = [{**turn, member: turn[member] * half} for half in (500, 501)]

        refused = post(api, context_id, name, [one_more])
        assert pointers(refused) == ["/messages"]
        assert latest(api, context_id) == 0
        assert len(append(api, context_id, name, [whole])) == 1000

    def test_are_10000_items_at_most_of_however_few_turns(self, api: httpx.Client, context_id: str) -> None:
        item = {"type": "web_search_call", "status": "completed"}

        assert len(append(api, context_id, "openai-responses", [item] * 10_000)) == 1
        assert pointers(post(api, context_id, "openai-responses", [item] * 10_001)) == ["/messages"]

    def test_may_be_more_than_1000_items_of_fewer_turns(self, api: httpx.Client, context_id: str) -> None:
        assert len(append(api, context_id, "openai-responses", [spoken("openai-responses")] * 1500)) == 1

    @pytest.mark.parametrize("name", ["openai-chat", "anthropic", "gemini", "ai-sdk"])
    def test_are_1000_at_most_one_by_one(self, api: httpx.Client, context_id: str, name: str) -> None:
        assert pointers(post(api, context_id, name, [user(name)] * 1001)) == ["/messages"]
        assert latest(api, context_id) == 0


class TestMembers:
    @pytest.mark.parametrize("name", FORMATS)
    def test_a_model_is_that_of_the_assistant_alone(self, api: httpx.Client, context_id: str, name: str) -> None:
        stored = append(api, context_id, name, CALLED[name], model="gpt-6")

        assert [message["model"] for message in stored] == [None, "gpt-6", None, None]

    @pytest.mark.parametrize("name", FORMATS)
    def test_metadata_is_that_of_each_message(self, api: httpx.Client, context_id: str, name: str) -> None:
        stored = append(api, context_id, name, CALLED[name], metadata={"run": 7})

        given: list[dict[str, Any]] = [{"run": 7}] * 3
        assert [message["metadata"] for message in stored[:3]] == given
        failed = {"isError": True} if name in FAILURES else {}
        assert stored[3]["metadata"] == {**failed, "run": 7}

    def test_metadata_is_kept_to_the_letter(self, api: httpx.Client, context_id: str) -> None:
        body = '{"format":"anthropic","metadata": { "b" : 1.50 ,"a":[ ]},"messages":[{"role":"user","content":"x"}]}'

        answer = api.post(path(context_id), content=body, headers=JSON)

        assert '"metadata":{ "b" : 1.50 ,"a":[ ]}' in answer.text

    def test_metadata_that_says_whether_it_failed_is_taken_at_its_word(
        self, api: httpx.Client, context_id: str
    ) -> None:
        stored = append(api, context_id, "anthropic", CALLED["anthropic"], metadata={"isError": False})

        assert [message["metadata"] for message in stored] == [{"isError": False}] * 4

    @pytest.mark.parametrize("name", FORMATS)
    def test_context_metadata_is_patched(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, name, [user(name)], contextMetadata={"a": 1, "b": 2})
        append(api, context_id, name, [user(name)], contextMetadata={"a": None})

        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["metadata"] == {"b": 2}

    @pytest.mark.parametrize(
        ("members", "pointer"),
        [
            ({"format": "openai"}, "/format"),
            ({"format": ""}, "/format"),
            ({"format": 5}, "/format"),
            ({"format": True}, "/format"),
            ({"format": {}}, "/format"),
            ({"format": []}, "/format"),
            ({"format": ["anthropic"]}, "/format"),
            ({"format": "Anthropic"}, "/format"),
            ({"messages": None}, "/messages"),
            ({"messages": []}, "/messages"),
            ({"messages": {}}, "/messages"),
            ({"messages": "x"}, "/messages"),
            ({"messages": [5]}, "/messages/0"),
            ({"messages": [None]}, "/messages/0"),
            ({"messages": [[]]}, "/messages/0"),
            ({"model": 5}, "/model"),
            ({"model": "x" * 256}, "/model"),
            ({"metadata": 5}, "/metadata"),
            ({"metadata": []}, "/metadata"),
            ({"contextMetadata": "x"}, "/contextMetadata"),
            ({"expectedVersion": -1}, "/expectedVersion"),
            ({"expectedVersion": "0"}, "/expectedVersion"),
            ({"system": "You answer for a shop."}, "/system"),
            ({"unknown": 1}, "/unknown"),
            ({"tokenCounts": 5}, "/tokenCounts"),
            ({"tokenCounts": []}, "/tokenCounts"),
            ({"tokenCounts": [1, 2]}, "/tokenCounts"),
            ({"tokenCounts": [None]}, "/tokenCounts/0"),
            ({"tokenCounts": [-1]}, "/tokenCounts/0"),
            ({"tokenCounts": [1.5]}, "/tokenCounts/0"),
            ({"tokenCounts": ["1"]}, "/tokenCounts/0"),
            ({"tokenCounts": [True]}, "/tokenCounts/0"),
            ({"tokenCounts": [MOST + 1]}, "/tokenCounts/0"),
        ],
    )
    def test_that_are_wrong_are_pointed_at(
        self, api: httpx.Client, context_id: str, members: dict[str, Any], pointer: str
    ) -> None:
        body = {"format": "anthropic", "messages": [user("anthropic")], **members}

        assert pointers(api.post(path(context_id), json=body)) == [pointer]
        assert latest(api, context_id) == 0

    def test_an_unknown_format_is_told_all_that_there_are(self, api: httpx.Client, context_id: str) -> None:
        [place] = post(api, context_id, "openai", [user("openai")]).json()["errors"]

        assert all(f"'{name}'" in place["detail"] for name in ("kata", *FORMATS))

    @pytest.mark.parametrize("member", ["tokenCounts", "model", "metadata"])
    def test_of_a_provider_are_none_of_our_own_format(self, api: httpx.Client, context_id: str, member: str) -> None:
        value: Any = {"tokenCounts": [1], "model": "x", "metadata": {}}[member]

        assert pointers(post(api, context_id, "kata", [user("kata")], **{member: value})) == [f"/{member}"]


class TestTokens:
    @pytest.mark.parametrize("name", FORMATS)
    def test_are_counted_where_none_are_given(self, api: httpx.Client, context_id: str, name: str) -> None:
        stored = append(api, context_id, name, CALLED[name])

        assert all(message["tokenCount"] for message in stored)
        assert api.get(f"{CONTEXTS}/{context_id}").json()["data"]["totalTokens"] == sum(
            message["tokenCount"] for message in stored
        )

    def test_of_thinking_count_and_those_of_signatures_do_not(self, api: httpx.Client, context_id: str) -> None:
        def counted(*blocks: dict[str, Any]) -> int:
            [stored] = append(api, context_id, "anthropic", [{"role": "assistant", "content": list(blocks)}])
            tokens: int = stored["tokenCount"]
            return tokens

        text = {"type": "text", "text": "Here."}
        thinking = {"type": "thinking", "thinking": "I have to look for it.", "signature": ""}

        assert counted(text) < counted(thinking, text)
        assert counted({**thinking, "signature": "c2ln" * 100}, text) == counted(thinking, text)
        assert counted({"type": "redacted_thinking", "data": "x" * 100}, text) == counted(text)

    @pytest.mark.parametrize("name", FORMATS)
    def test_that_are_given_are_shared_and_added_up(self, api: httpx.Client, context_id: str, name: str) -> None:
        given = [100 * 2**place for place in range(len(CALLED[name]))]

        stored = append(api, context_id, name, CALLED[name], tokenCounts=given)

        counts = [message["tokenCount"] for message in stored]
        assert sum(counts) == sum(given)
        for places in SOURCES[name]:
            came = [count for count, each in zip(counts, SOURCES[name], strict=True) if each == places]
            assert sum(came) == sum(given[place] for place in places)
            # The two results are of as many tokens as each other.
            assert max(came) - min(came) <= 1

    def test_are_shared_as_they_were_counted(self, api: httpx.Client, context_id: str) -> None:
        results = [
            {"type": "tool_result", "tool_use_id": "a", "content": text} for text in ("x", " x" * 30, "", " x" * 9)
        ]

        stored = append(api, context_id, "anthropic", [{"role": "user", "content": results}], tokenCounts=[4000])

        counts = [message["tokenCount"] for message in stored]
        assert counts == [100, 3000, 0, 900]

    def test_of_what_counts_nothing_are_those_of_the_first(self, api: httpx.Client, context_id: str) -> None:
        results = [{"type": "tool_result", "tool_use_id": "a"}] * 3

        stored = append(api, context_id, "anthropic", [{"role": "user", "content": results}], tokenCounts=[7])

        assert [message["tokenCount"] for message in stored] == [7, 0, 0]

    def test_that_are_given_may_be_0(self, api: httpx.Client, context_id: str) -> None:
        stored = append(api, context_id, "gemini", [user("gemini"), user("gemini")], tokenCounts=[0, 2.0])

        assert [message["tokenCount"] for message in stored] == [0, 2]

    def test_of_one_message_are_no_more_than_it_may_have(self, api: httpx.Client, context_id: str) -> None:
        turns = [spoken("openai-responses")] * 2

        refused = post(api, context_id, "openai-responses", turns, tokenCounts=[MOST, 1])
        assert pointers(refused) == ["/tokenCounts"]
        assert latest(api, context_id) == 0
        [stored] = append(api, context_id, "openai-responses", turns, tokenCounts=[MOST - 1, 1])
        assert stored["tokenCount"] == MOST


class TestConditions:
    @pytest.mark.parametrize("name", FORMATS)
    def test_on_the_version_count_messages_of_ours(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, name, CALLED[name], expectedVersion=0)

        late = post(api, context_id, name, [user(name)], expectedVersion=3)
        append(api, context_id, name, [user(name)], expectedVersion=4)

        assert (late.status_code, late.json()["code"], late.json()["currentVersion"]) == (409, "version_conflict", 4)
        assert latest(api, context_id) == 5

    @pytest.mark.parametrize("name", FORMATS)
    def test_take_the_etag_of_a_window_in_the_format(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, name, CALLED[name])
        window = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 100, "format": name})
        body = {"format": name, "messages": [user(name)]}

        first = api.post(path(context_id), json=body, headers={"if-match": window.headers["etag"]})
        second = api.post(path(context_id), json=body, headers={"if-match": window.headers["etag"]})

        assert (first.status_code, first.headers["etag"]) == (201, '"5"')
        assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_key_again_gets_the_first_answer(self, api: httpx.Client, context_id: str, name: str) -> None:
        body = {"format": name, "messages": CALLED[name], "model": "m", "tokenCounts": [9] * len(CALLED[name])}
        key = {"idempotency-key": "k"}

        first = api.post(path(context_id), json={**body, "expectedVersion": 0}, headers=key)
        again = api.post(path(context_id), json={**body, "expectedVersion": 0}, headers=key)
        spaced = api.post(path(context_id), content=json.dumps(body, indent=3), headers={**key, **JSON})

        assert (first.status_code, first.headers["etag"]) == (201, '"4"')
        for replay in (again, spaced):
            assert (replay.status_code, replay.content, replay.headers["etag"]) == (201, first.content, '"4"')
            assert replay.headers["idempotent-replayed"] == "true"
        assert latest(api, context_id) == 4

    @pytest.mark.parametrize(
        "change",
        [
            {"model": "other"},
            {"metadata": {"a": 1}},
            {"tokenCounts": [1]},
            {"contextMetadata": {"a": 1}},
            {"format": "openai-chat"},
            {"format": "kata"},
            {"messages": [{"role": "user", "content": "y"}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        ],
    )
    def test_a_key_with_another_payload_is_refused(
        self, api: httpx.Client, context_id: str, change: dict[str, Any]
    ) -> None:
        body = {"format": "anthropic", "messages": [{"role": "user", "content": "x"}]}
        key = {"idempotency-key": "k"}
        assert api.post(path(context_id), json=body, headers=key).status_code == 201

        refused = api.post(path(context_id), json={**body, **change}, headers=key)

        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert latest(api, context_id) == 1

    def test_a_key_of_our_own_format_is_that_of_an_append_without_one(self, api: httpx.Client, context_id: str) -> None:
        key = {"idempotency-key": "k"}
        plain = api.post(path(context_id), json={"messages": [user("kata")]}, headers=key)
        named = api.post(path(context_id), json={"messages": [user("kata")], "format": "kata"}, headers=key)
        null = api.post(path(context_id), json={"messages": [user("kata")], "format": None}, headers=key)

        assert named.content == null.content == plain.content
        assert named.headers["idempotent-replayed"] == null.headers["idempotent-replayed"] == "true"


class TestBytes:
    def test_of_metadata_count_for_each_message(self, api: httpx.Client, context_id: str) -> None:
        turns = [user("openai-chat")] * 1000

        refused = post(api, context_id, "openai-chat", turns, metadata={"x": "y" * 4_600})

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
        assert latest(api, context_id) == 0
        append(api, context_id, "openai-chat", turns, metadata={"x": "y" * 3_000})

    def test_of_a_message_and_of_what_was_given_are_no_more_than_a_page(
        self, api: httpx.Client, context_id: str
    ) -> None:
        refused = post(api, context_id, "anthropic", [spoken("anthropic", "x" * 2_250_000)])

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
        assert latest(api, context_id) == 0
        [stored] = append(api, context_id, "anthropic", [spoken("anthropic", "x" * 2_150_000)])
        page = api.get(path(context_id), params={"include": "native"})
        assert page.json()["data"][0]["native"]["content"] == stored["content"]

    def test_of_what_is_not_kept_twice_count_once(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, "anthropic", [user("anthropic", "x" * 4_300_000)])

        page = api.get(path(context_id), params={"include": "native"})
        assert page.json()["data"][0]["native"] is None


class TestNative:
    """What a provider gave, to the letter, on pages that ask for it."""

    # In an order and with spaces that are the client's alone.
    TURNS = '{"role": "assistant" , "content":[{"text":"\\u00e9 1.50", "type":"text", "new": 1.50}] }'

    def test_is_shown_to_the_letter(self, api: httpx.Client, context_id: str) -> None:
        body = f'{{"format": "anthropic", "messages": [ {self.TURNS} ]}}'
        assert api.post(path(context_id), content=body, headers=JSON).status_code == 201

        page = api.get(path(context_id), params={"include": "native"})

        assert f'"nativeFormat":"anthropic","native":{self.TURNS}}}' in page.text

    def test_is_on_no_page_that_does_not_ask(self, api: httpx.Client, context_id: str) -> None:
        stored = append(api, context_id, "anthropic", CALLED["anthropic"])

        shown = api.get(path(context_id), params={"include": "native"}).json()["data"]

        assert [without(message, "native", "nativeFormat") for message in shown] == stored
        assert api.get(path(context_id)).json()["data"] == stored

    @pytest.mark.parametrize("name", FORMATS)
    def test_is_kept_of_the_assistant_and_of_what_would_not_be_equal(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        append(api, context_id, name, CALLED[name])

        shown = api.get(path(context_id), params={"include": "native"}).json()["data"]

        assert [message["nativeFormat"] for message in shown] == [None, name, None, None]
        places = SOURCES[name][1]
        given = [CALLED[name][place] for place in places]
        assert shown[1]["native"] == (given if name == "openai-responses" else given[0])

    @pytest.mark.parametrize("name", FORMATS)
    def test_goes_back_as_it_came_and_without_a_repair(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, name, CALLED[name])

        body = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 1000, "format": name}).json()

        assert turns(name, body["data"]) == CALLED[name]
        assert body["repairs"] == []

    def test_of_our_own_format_is_none(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, "kata", [user("kata"), spoken("kata")])

        shown = api.get(path(context_id), params={"include": "native"}).json()["data"]

        assert [(message["nativeFormat"], message["native"]) for message in shown] == [(None, None)] * 2

    def test_pages_end_before_the_limit_with_it(self, api: httpx.Client, context_id: str) -> None:
        for _ in range(3):
            append(api, context_id, "anthropic", [spoken("anthropic", "é" * 500_000)])

        plain = api.get(path(context_id))
        pages: list[list[int]] = []
        cursor = None
        while cursor is not None or not pages:
            params = {"include": "native"} | ({"cursor": cursor} if cursor else {})
            page = api.get(path(context_id), params=params)
            assert len(page.content) <= 4_500_000
            pages.append([message["version"] for message in page.json()["data"]])
            cursor = page.json()["nextCursor"]

        assert len(plain.json()["data"]) == 3
        assert pages == [[1, 2], [3]]

    def test_is_shown_at_a_time_and_backwards(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, "anthropic", [spoken("anthropic", "a"), spoken("anthropic", "b")])

        page = api.get(f"{path(context_id)}?include=native&order=desc&at=2&limit=1").json()

        assert [message["native"]["content"] for message in page["data"]] == ["b"]
        assert page["hasMore"]

    def test_is_shared_by_forks(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, "anthropic", [spoken("anthropic")])
        fork = api.post(f"{CONTEXTS}/{context_id}/forks", json={}).json()["data"]["id"]

        params = {"include": "native"}
        assert api.get(path(fork), params=params).json() == api.get(path(context_id), params=params).json()

    @pytest.mark.parametrize("include", ["figures", "Native", "", "native,native"])
    def test_is_the_only_thing_that_pages_include(self, api: httpx.Client, context_id: str, include: str) -> None:
        refused = api.get(path(context_id), params={"include": include})

        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/include")
