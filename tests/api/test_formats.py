"""Windows in providers' formats: the answer around what lib/formats makes, whose rules tests/formats has."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from tests.formats.examples import EXAMPLES
from tests.formats.histories import Message, budgets_and_policies, histories
from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.windowed import FORMATS, TURNS, turns

CONTEXTS = "/api/v1/contexts"
MOST_BYTES = 4_500_000

RULES = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}

# What an ETag's number has of each format.
RENDERERS = dict(zip(FORMATS, (100, 200, 300, 400, 500), strict=True))


def append(api: httpx.Client, context_id: str, *messages: dict[str, Any], **members: Any) -> None:
    answer = api.post(f"{CONTEXTS}/{context_id}/messages", json={"messages": messages, **members})
    assert answer.status_code == 201, answer.text


def read(api: httpx.Client, context_id: str, name: str, **params: Any) -> httpx.Response:
    given_params = {"budget": 1000, "format": name, **params}
    answer = api.get(f"{CONTEXTS}/{context_id}/window", params=given_params)
    assert answer.status_code == 200, answer.text
    return answer


def window(api: httpx.Client, context_id: str, name: str, **params: Any) -> dict[str, Any]:
    body: dict[str, Any] = read(api, context_id, name, **params).json()
    return body


def compact(api: httpx.Client, context_id: str, through_version: int, **members: Any) -> None:
    body = {"throughVersion": through_version, "summary": "They said hello.", **members}
    answer = api.post(f"{CONTEXTS}/{context_id}/compactions", json=body)
    assert answer.status_code == 201, answer.text


def fork(api: httpx.Client, context_id: str, **members: Any) -> str:
    answer = api.post(f"{CONTEXTS}/{context_id}/forks", json=members)
    assert answer.status_code == 201, answer.text
    fork_id: str = answer.json()["data"]["id"]
    return fork_id


def said(role: str, content: Any = "x", **members: Any) -> Message:
    return {"role": role, "content": content, "tokenCount": 10, **members}


def calling(*ids: str) -> Message:
    made = [{"id": each, "type": "function", "function": {"name": "look", "arguments": "{}"}} for each in ids]
    return said("assistant", None, toolCalls=made)


def answering(call_id: str, content: str = "x", **members: Any) -> Message:
    return said("tool", content, toolCallId=call_id, **members)


# A call that fails, one that is not answered, and a late word of the operator's.
HISTORY = [
    said("system", "You answer for a shop."),
    said("user", "Look."),
    calling("a", "b"),
    answering("a", "sun"),
    answering("b", "gone", metadata={"isError": True}),
    said("assistant", "I looked."),
    said("system", "Be brief."),
    said("user", "Again."),
    calling("a"),
]


def result(name: str, call_id: str, text: str, *, failed: bool = False) -> dict[str, Any]:
    """A result as a format has it."""
    match name:
        case "openai-chat":
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case "openai-responses":
            return {"type": "function_call_output", "call_id": call_id, "output": text}
        case "anthropic":
            block = {"type": "tool_result", "tool_use_id": call_id, "content": text}
            return {**block, "is_error": True} if failed else block
        case "gemini":
            response = {"error" if failed else "output": text}
            return {"functionResponse": {"id": call_id, "name": "look", "response": response}}
    output = {"type": "error-text" if failed else "text", "value": text}
    return {"type": "tool-result", "toolCallId": call_id, "toolName": "look", "output": output}


def holds(value: Any, part: Any) -> bool:
    """Whether a part stands anywhere within a value."""
    if value == part:
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(holds(each, part) for each in items)


def repairs(body: dict[str, Any]) -> list[tuple[int | None, str]]:
    return [(repair["version"], repair["code"]) for repair in body["repairs"]]


class TestData:
    @pytest.mark.parametrize("name", FORMATS)
    def test_is_what_the_provider_takes_and_nothing_else(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)

        data = window(api, context_id, name)["data"]

        systems = {"openai-responses": "instructions", "gemini": "systemInstruction", "openai-chat": None}
        assert set(data) == {TURNS.get(name, "messages"), systems.get(name, "system")} - {None}
        assert RULES[name](data) == []
        assert holds(data, result(name, "a", "sun"))
        assert holds(data, result(name, "b", "gone", failed=True))

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_a_history_that_is_in_order_has_no_repair(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY[:2], said("assistant"), said("user"))

        body = window(api, context_id, name)

        assert (body["repairs"], body["repairCount"]) == ([], 0)

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_an_empty_context_has_an_empty_list(self, api: httpx.Client, context_id: str, name: str) -> None:
        body = window(api, context_id, name)

        assert body["data"] == {TURNS.get(name, "messages"): []}
        assert (body["repairs"], body["usedTokens"], body["firstVersion"]) == ([], 0, None)

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_system_messages_alone_is_no_error(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, HISTORY[0])

        data = window(api, context_id, name)["data"]

        assert "You answer for a shop." in json.dumps(data)
        assert len(turns(name, data)) == (name == "openai-chat")

    @pytest.mark.parametrize("given_as", FORMATS)
    def test_goes_to_every_other_provider(self, api: httpx.Client, context_id: str, given_as: str) -> None:
        append(api, context_id, *turns(given_as, EXAMPLES[given_as]), format=given_as)

        for name in FORMATS:
            if name != given_as:
                data = window(api, context_id, name, budget=100_000)["data"]
                assert RULES[name](data) == []
                assert "Where are my orders?" in json.dumps(data)
                assert "It is lost." in json.dumps(data)

    def test_has_numbers_to_the_letter(self, api: httpx.Client, context_id: str) -> None:
        arguments = '{"a":1.50,"b":10000000000000000000001,"c":-0}'
        made = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
        append(api, context_id, said("assistant", None, toolCalls=[made]))

        assert arguments in read(api, context_id, "anthropic").text
        assert arguments in read(api, context_id, "gemini").text
        assert arguments in read(api, context_id, "ai-sdk").text

    @pytest.mark.parametrize("query", ["", "&policy=none", "&keepPreamble=true&step=5", "&at=3", "&include=figures"])
    def test_of_our_own_format_is_the_same_to_the_byte(self, api: httpx.Client, context_id: str, query: str) -> None:
        append(api, context_id, *HISTORY)
        url = f"{CONTEXTS}/{context_id}/window?budget=45{query}"

        plain, named = api.get(url), api.get(f"{url}&format=kata")

        assert named.content == plain.content
        assert named.headers["etag"] == plain.headers["etag"] == ('"9"' if "at" not in query else '"3"')
        assert "repairs" not in named.json()


class TestUnknown:
    @pytest.mark.parametrize("name", ["openai", "Anthropic", "", "kata,gemini", "openai_chat"])
    def test_format_is_refused_and_told_all_that_there_are(self, api: httpx.Client, context_id: str, name: str) -> None:
        refused = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 5, "format": name})

        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        [place] = refused.json()["errors"]
        assert place["pointer"] == "/format"
        assert all(f"'{each}'" in place["detail"] for each in ("kata", *FORMATS))

    def test_context_is_not_found(self, api: httpx.Client, context_id: str) -> None:
        api.delete(f"{CONTEXTS}/{context_id}")

        gone = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 5, "format": "gemini"})
        assert gone.status_code == 404


class TestFigures:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize(
        "policy",
        [
            {},
            {"keepPreamble": "true", "keepRequest": "true", "step": 20},
            {"keepPreamble": "true", "clearToolResults": 5, "compactionDue": "0.5,10"},
            {"startOn": "user"},
        ],
    )
    def test_are_those_of_our_own_format_and_the_repairs(
        self, api: httpx.Client, context_id: str, name: str, policy: dict[str, Any]
    ) -> None:
        append(api, context_id, *HISTORY)

        for budget in (5, 35, 55, 65, 1000):
            body = window(api, context_id, name, budget=budget, **policy)
            ours = window(api, context_id, "kata", budget=budget, **policy)
            own = {"data", "repairs", "repairCount"}
            assert {member: value for member, value in body.items() if member not in own} == {
                member: value for member, value in ours.items() if member != "data"
            }
            assert RULES[name](body["data"]) == []

    @pytest.mark.parametrize("name", FORMATS)
    def test_alone_have_no_repairs(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)

        alone = read(api, context_id, name, include="figures")

        assert alone.json() == window(api, context_id, "kata", include="figures")
        assert alone.headers["etag"] == read(api, context_id, name).headers["etag"]

    @pytest.mark.parametrize("name", FORMATS)
    def test_say_which_calls_wait_and_data_answers_them(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)

        body = window(api, context_id, name)

        assert body["pendingCalls"] == ["a"]
        assert (9, "call_answered") in repairs(body)
        assert "No result was recorded for this call." in json.dumps(body["data"])


class TestRepairs:
    def test_are_those_of_versions_in_order(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, *HISTORY)

        assert repairs(window(api, context_id, "anthropic")) == [
            (7, "role_changed"),
            (9, "call_answered"),
            (9, "id_changed"),
        ]

    def test_that_are_listed_are_the_newest_1000_and_all_are_counted(self, api: httpx.Client, context_id: str) -> None:
        refusals = [{"type": "refusal", "refusal": "no"}] * 3
        append(api, context_id, *[said("user", refusals)] * 400)

        body = window(api, context_id, "gemini", budget=100_000)

        assert (len(body["repairs"]), body["repairCount"]) == (1000, 1200)
        assert repairs(body)[-3:] == [(400, "part_to_text")] * 3
        assert repairs(body)[:2] == [(67, "part_to_text"), (68, "part_to_text")]

    def test_say_what_the_window_has_left_out(self, api: httpx.Client, context_id: str) -> None:
        append(api, context_id, calling("a"), said("user"), answering("a"), said("user"))

        body = window(api, context_id, "openai-chat", budget=30)

        assert body["repairs"] == [{"version": 3, "code": "result_dropped", "detail": "its call is not in the window"}]
        assert body["firstVersion"] == 2

    @pytest.mark.parametrize("name", FORMATS)
    def test_change_nothing_that_is_stored(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)
        before = api.get(f"{CONTEXTS}/{context_id}/messages").content

        assert window(api, context_id, name)["repairCount"]
        assert api.get(f"{CONTEXTS}/{context_id}/messages").content == before


class TestEtag:
    @pytest.mark.parametrize("name", FORMATS)
    def test_has_the_renderers_number(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)

        assert read(api, context_id, name).headers["etag"] == f'"9.{RENDERERS[name]}"'
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"budget": 5}})
        assert read(api, context_id, name).headers["etag"] == f'"9.{1000 + RENDERERS[name]}"'
        compact(api, context_id, 2)
        assert read(api, context_id, name).headers["etag"] == f'"9.{2000 + RENDERERS[name]}"'
        assert read(api, context_id, name, at=8).headers["etag"] == f'"8.{2000 + RENDERERS[name]}"'
        assert read(api, context_id, "kata").headers["etag"] == '"9.2000"'

    @pytest.mark.parametrize("name", FORMATS)
    def test_that_was_seen_is_304_until_anything_changes(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, *HISTORY)
        etag = read(api, context_id, name).headers["etag"]

        def again(other: str) -> int:
            return api.get(
                f"{CONTEXTS}/{context_id}/window",
                params={"budget": 1000, "format": other},
                headers={"if-none-match": etag},
            ).status_code

        assert again(name) == 304
        assert {again(other) for other in ("kata", *FORMATS) if other != name} == {200}
        append(api, context_id, said("user"))
        assert again(name) == 200


class TestPast:
    @pytest.mark.parametrize("name", FORMATS)
    def test_is_as_it_was_at_a_version_and_at_a_time(self, api: httpx.Client, context_id: str, name: str) -> None:
        then = []
        for message in HISTORY:
            append(api, context_id, message)
            then.append(window(api, context_id, name, budget=45))
        times = [message["createdAt"] for message in api.get(f"{CONTEXTS}/{context_id}/messages").json()["data"]]

        for version, (body, time) in enumerate(zip(then, times, strict=True), 1):
            assert window(api, context_id, name, budget=45, at=version) == body
            assert window(api, context_id, name, budget=45, at=time) == body
            assert RULES[name](body["data"]) == []
        assert turns(name, window(api, context_id, name, at=0)["data"]) == []


class TestForks:
    @pytest.mark.parametrize("name", FORMATS)
    def test_have_the_window_of_the_history_that_they_share(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        append(api, context_id, *turns(name, EXAMPLES[name]), format=name)
        latest = api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"]
        child = fork(api, context_id)
        grandchild = fork(api, child, version=2)

        assert window(api, child, name, budget=100_000) == window(api, context_id, name, budget=100_000)
        assert window(api, grandchild, name) == window(api, context_id, name, at=2)
        append(api, child, *turns(name, EXAMPLES[name]), format=name)
        data = window(api, child, name, budget=100_000)["data"]
        assert len(turns(name, data)) > len(turns(name, EXAMPLES[name]))
        assert RULES[name](data, natives=True) == []
        assert read(api, context_id, name).headers["etag"].startswith(f'"{latest}.')

    @pytest.mark.parametrize("name", FORMATS)
    def test_inside_a_unit_answer_what_the_parent_has_answered(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        append(api, context_id, *HISTORY)
        child = fork(api, context_id, version=4)

        before = window(api, child, name)
        append(api, child, answering("b", "late"))
        after = window(api, child, name)

        assert before["pendingCalls"] == ["b"]
        assert (3, "call_answered") in repairs(before)
        assert holds(after["data"], result(name, "a", "sun"))
        assert holds(after["data"], result(name, "b", "late"))
        assert (3, "call_answered") not in repairs(after)


class TestHead:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("role", ["user", "assistant", "system"])
    def test_has_the_summary_in_its_place(self, api: httpx.Client, context_id: str, name: str, role: str) -> None:
        append(api, context_id, *HISTORY)
        compact(api, context_id, 6, role=role)

        body = window(api, context_id, name, keepPreamble="true", keepRequest="true")

        assert RULES[name](body["data"]) == []
        assert body["compaction"] == {"number": 1, "throughVersion": 6}
        text = json.dumps(body["data"])
        places = [text.index(each) for each in ("You answer for a shop.", "They said hello.", "Be brief.", "Again.")]
        assert places == sorted(places)
        assert "sun" not in text
        assert all(version is None or version > 6 for version, _ in repairs(body))

    @pytest.mark.parametrize("name", ["anthropic", "gemini"])
    def test_opens_with_a_user_before_an_assistants_summary(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        append(api, context_id, *HISTORY[:6])
        compact(api, context_id, 2, role="assistant")

        assert repairs(window(api, context_id, name))[0] == (None, "user_added")

    @pytest.mark.parametrize("name", FORMATS)
    def test_has_the_request_that_the_run_has_left_behind(self, api: httpx.Client, context_id: str, name: str) -> None:
        loop = [message for number in range(6) for message in (calling(f"{number}"), answering(f"{number}"))]
        append(api, context_id, HISTORY[0], said("user", "The task."), *loop)

        body = window(api, context_id, name, budget=60, keepPreamble="true", keepRequest="true")

        assert (body["requestVersion"], body["firstVersion"]) == (2, 11)
        assert "The task." in json.dumps(turns(name, body["data"])[: 1 + (name == "openai-chat")])
        assert RULES[name](body["data"]) == []


class TestCleared:
    @pytest.mark.parametrize("name", FORMATS)
    def test_results_stay_with_their_calls_without_their_content(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        for number in range(6):
            failed = {"metadata": {"isError": True}} if number == 2 else {}
            append(api, context_id, calling(f"{number}"), answering(f"{number}", f"long {number}", **failed))

        body = window(api, context_id, name, budget=100, clearToolResults=25)

        first = (body["firstVersion"] - 1) // 2
        assert first < 2 < first + body["clearedCount"] < 6
        for number in range(first, 6):
            text = "[cleared]" if number < first + body["clearedCount"] else f"long {number}"
            assert holds(body["data"], result(name, f"{number}", text, failed=number == 2))
        assert RULES[name](body["data"]) == []

    def test_results_are_so_even_where_the_provider_gave_them(self, api: httpx.Client, context_id: str) -> None:
        for number in range(6):
            use = {"type": "tool_use", "id": f"{number}", "name": "f", "input": {}}
            block = {"type": "tool_result", "tool_use_id": f"{number}", "content": "secret", "new": 1}
            turn = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [block]}]
            append(api, context_id, *turn, format="anthropic", tokenCounts=[10, 10])

        body = window(api, context_id, "anthropic", budget=60, clearToolResults=0)

        assert body["clearedCount"] > 1
        assert json.dumps(body["data"]).count("[cleared]") == body["clearedCount"]
        assert json.dumps(body["data"]).count("secret") == json.dumps(body["data"]).count('"new"') < 6


class TestBytes:
    """The platform carries 4.5 MB: other formats than our own count 3.5 MB before they are converted."""

    @pytest.mark.parametrize("name", FORMATS)
    def test_end_the_run_before_the_limit(self, api: httpx.Client, context_id: str, name: str) -> None:
        for _ in range(4):
            append(api, context_id, said("user", "é" * 500_000))

        answer = read(api, context_id, name)
        ours = window(api, context_id, "kata")

        assert len(answer.content) < MOST_BYTES
        assert (answer.json()["firstVersion"], ours["firstVersion"]) == (2, 1)
        assert answer.json()["droppedCount"] == 1

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_natives_count_for_the_format_that_gave_them_alone(
        self, api: httpx.Client, context_id: str, name: str
    ) -> None:
        """What was given is large, and what a model reads of it is not."""
        mark = {"extra": "x" * 1_000_000}
        given = {"role": "model", "parts": [{"text": "x", **mark}]} if name == "gemini" else None
        for _ in range(4):
            turn = given or {"role": "assistant", "content": [{"type": _text(name), "text": "x", **mark}]}
            append(api, context_id, turn, format=name)

        for other in FORMATS:
            answer = read(api, context_id, other)
            assert answer.json()["firstVersion"] == (2 if other == name else 1)
            assert (len(answer.content) > 3_000_000) == (other == name)
            assert len(answer.content) < MOST_BYTES

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_a_unit_that_is_larger_are_refused(self, api: httpx.Client, context_id: str, name: str) -> None:
        append(api, context_id, calling("a"))
        append(api, context_id, said("user", "x" * 2_500_000), answering("a", "x"))
        append(api, context_id, calling("b"), answering("b", "x" * 4_000_000))
        append(api, context_id, answering("b", "x" * 600_000))

        refused = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 5, "format": name})
        figures = window(api, context_id, name, include="figures")

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
        assert figures["firstVersion"] == 4

    def test_of_a_unit_that_grows_beyond_the_limit_are_refused(self, api: httpx.Client, context_id: str) -> None:
        """A part of our own is 25 bytes, and one of an input 31."""
        append(api, context_id, said("user"), said("user", [{"type": "text", "text": ""}] * 150_000))

        refused = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 5, "format": "openai-responses"})

        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
        assert read(api, context_id, "openai-chat", budget=5).json()["firstVersion"] == 2

    @pytest.mark.parametrize("name", FORMATS)
    def test_of_short_messages_by_the_thousand_are_carried(self, api: httpx.Client, context_id: str, name: str) -> None:
        for _ in range(9):
            append(
                api,
                context_id,
                *[
                    message
                    for _ in range(250)
                    for message in (said("user"), calling("a"), said("assistant"), answering("a"))
                ],
            )

        answer = api.get(f"{CONTEXTS}/{context_id}/window", params={"budget": 10**9, "format": name})

        assert answer.status_code == 200
        assert len(answer.content) < MOST_BYTES
        assert RULES[name](answer.json()["data"]) == []


def _text(name: str) -> str:
    return "output_text" if name == "openai-responses" else "text"


class TestHostile:
    @settings(max_examples=15, deadline=None)
    @given(messages=histories(), query=budgets_and_policies())
    def test_histories_are_appended_and_shown_by_every_rule(
        self, api: httpx.Client, messages: list[Message], query: dict[str, str]
    ) -> None:
        context_id = api.post(CONTEXTS, json={}).json()["data"]["id"]
        append(api, context_id, *messages)

        for name in FORMATS:
            data = window(api, context_id, name, **query)["data"]
            assert RULES[name](data) == []
            if sent := turns(name, data):
                other_id = api.post(CONTEXTS, json={}).json()["data"]["id"]
                append(api, other_id, *sent, format=name)
                again = window(api, other_id, name, budget=100_000)
                assert turns(name, again["data"]) == sent
                assert again["repairs"] == []

    @settings(max_examples=30, deadline=None)
    @given(messages=histories())
    def test_bodies_are_refused_at_their_place_or_taken(self, api: httpx.Client, messages: list[Message]) -> None:
        """Our own shape in the place of another: never an error of ours, and what was taken can be shown."""
        for name in FORMATS:
            context_id = api.post(CONTEXTS, json={}).json()["data"]["id"]
            answer = api.post(f"{CONTEXTS}/{context_id}/messages", json={"format": name, "messages": messages})
            assert answer.status_code in {201, 400}, answer.text
            for other in FORMATS:
                read(api, context_id, other)
