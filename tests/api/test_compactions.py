"""Compactions: summaries that stand in for messages in windows."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from lib.shapes import Compaction, Summary

CONTEXTS = "/api/v1/contexts"
JSON = {"content-type": "application/json"}
MAX_SUMMARY = 262_144

UNREACHABLE = "must be the end of a unit whose calls are all answered, behind the preamble"


def message(role: str, content: str | None = "x", tokens: int = 10, **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "tokenCount": tokens, **members}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call_id in ids]
    return message("assistant", None, toolCalls=made)


def answer(call_id: str) -> dict[str, Any]:
    return message("tool", toolCallId=call_id)


# A system message, a request, two calls with their answers, a request, a call without an answer, a request, a word.
HISTORY = [
    message("system"),
    message("user"),
    calls("a", "b"),
    answer("a"),
    answer("b"),
    message("user"),
    calls("c"),
    message("user"),
    message("assistant"),
]


def append(api: httpx.Client, context_id: str, *messages: dict[str, Any]) -> None:
    stored = api.post(f"{CONTEXTS}/{context_id}/messages", json={"messages": messages})
    assert stored.status_code == 201, stored.text


@pytest.fixture
def path(api: httpx.Client, context_id: str) -> str:
    """The compactions of a context that has HISTORY."""
    append(api, context_id, *HISTORY)
    return f"{CONTEXTS}/{context_id}/compactions"


def post(api: httpx.Client, path: str, through: Any, summary: Any = "s", *, key: Any = "", **members: Any) -> Any:
    body = {"throughVersion": through, "summary": summary, **members}
    return api.post(path, json=body, headers={"idempotency-key": key} if key else {})


def make(api: httpx.Client, path: str, through: int, summary: str = "s", **members: Any) -> dict[str, Any]:
    made = post(api, path, through, summary, **{"tokenCount": 5, **members})
    assert made.status_code == 201, made.text
    compaction: dict[str, Any] = made.json()["data"]
    return compaction


def undo(api: httpx.Client, path: str, number: int) -> None:
    assert api.delete(f"{path}/{number}").status_code == 200


def listed(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = api.get(path).json()["data"]
    return data


def window(api: httpx.Client, path: str, budget: int = 1000, **params: Any) -> dict[str, Any]:
    """The window of the context that path has the compactions of."""
    read = api.get(path.replace("/compactions", "/window"), params={"budget": budget, **params})
    assert read.status_code == 200, read.text
    body: dict[str, Any] = read.json()
    return body


def versions(body: dict[str, Any]) -> list[int | None]:
    return [message["version"] for message in body["data"]]


def in_force(api: httpx.Client, path: str, **params: Any) -> int | None:
    compaction: dict[str, int] | None = window(api, path, **params)["compaction"]
    return None if compaction is None else compaction["number"]


def refusal(refused: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = refused.json()
    assert (refused.status_code, problem["code"]) == (status, code), refused.text
    return problem


def bad(member: str, *values: Any) -> list[tuple[dict[str, Any], str]]:
    """Bodies with each of values for a member, and the pointer to it."""
    return [({"throughVersion": 6, "summary": "s", member: value}, f"/{member}") for value in values]


def pointers(refused: httpx.Response) -> list[str]:
    return [place["pointer"] for place in refusal(refused, 400, "invalid_body")["errors"]]


class TestMake:
    def test_answers_with_the_compaction_and_where_it_is(self, api: httpx.Client, context_id: str, path: str) -> None:
        made = post(api, path, 6, "What was said.", role="assistant", tokenCount=7, metadata={"by": "m"})

        compaction = made.json()["data"]
        assert made.status_code == 201
        assert made.headers["location"] == f"{path}/1"
        assert list(made.json()) == ["data"]
        assert compaction == {
            "number": 1,
            "contextId": context_id,
            "throughVersion": 6,
            "madeAtVersion": 9,
            "basedOn": 0,
            "role": "assistant",
            "summary": "What was said.",
            "metadata": {"by": "m"},
            "tokenCount": 7,
            "createdAt": compaction["createdAt"],
            "undoneAt": None,
        }
        assert api.get(f"{path}/1").content == made.content
        assert listed(api, path) == [compaction]

    def test_matches_its_documented_model(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, metadata={"a": 1})

        for read in (api.get(f"{path}/1"), api.delete(f"{path}/1")):
            assert list(read.json()["data"]) == [field.alias for field in Compaction.model_fields.values()]
            Compaction.model_validate_json(read.text[len('{"data":') : -1])

    def test_needs_no_more_than_a_version_and_a_summary(self, api: httpx.Client, path: str) -> None:
        for members in ({}, {"role": None, "tokenCount": None, "metadata": None, "expectedNumber": None}):
            made = post(api, path, 6, "x", **members)
            compaction = made.json()["data"]
            assert made.status_code == 201
            assert (compaction["role"], compaction["metadata"], compaction["tokenCount"]) == ("user", {}, 1)

    @pytest.mark.parametrize("role", ["user", "assistant", "system"])
    def test_takes_the_roles_that_a_summary_may_have(self, api: httpx.Client, path: str, role: str) -> None:
        assert make(api, path, 6, role=role)["role"] == role
        assert window(api, path)["data"][0]["role"] == role

    def test_counts_the_tokens_of_the_summary_as_those_of_a_message(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        text = "Zwei Bestellungen, 12 €: die erste ist unterwegs 🚚, die zweite wurde storniert."
        counted = post(api, path, 6, text).json()["data"]["tokenCount"]

        said = api.post(
            f"{CONTEXTS}/{context_id}/messages", json={"messages": [{"role": "user", "content": text}]}
        ).json()

        assert counted == said["data"][0]["tokenCount"] > 10

    @pytest.mark.parametrize("tokens", [1, 2**31 - 1, 8000.0])
    def test_takes_given_tokens_as_they_are(self, api: httpx.Client, path: str, tokens: float) -> None:
        assert make(api, path, 6, tokenCount=tokens)["tokenCount"] == int(tokens)

    @pytest.mark.parametrize(
        "summary", ["x" * MAX_SUMMARY, "é" * (MAX_SUMMARY // 2), "🚚" * (MAX_SUMMARY // 4), "\x01" * MAX_SUMMARY, " "]
    )
    def test_keeps_a_summary_of_262144_bytes(self, api: httpx.Client, path: str, summary: str) -> None:
        assert make(api, path, 6, summary)["summary"] == summary
        assert window(api, path)["data"][0]["content"] == summary

    @pytest.mark.parametrize(
        "summary", ["x" * (MAX_SUMMARY + 1), "é" * (MAX_SUMMARY // 2) + "x", "🚚" * (MAX_SUMMARY // 4) + "x"]
    )
    def test_refuses_a_byte_more(self, api: httpx.Client, path: str, summary: str) -> None:
        refused = post(api, path, 6, summary, tokenCount=1)

        assert refusal(refused, 400, "invalid_body")["errors"] == [
            {"pointer": "/summary", "detail": "must not be larger than 262,144 bytes"}
        ]
        assert listed(api, path) == []

    def test_keeps_metadata_to_the_letter(self, api: httpx.Client, path: str) -> None:
        metadata = '{"z":1.10,"a":123456789012345678901234567890.5,"e":1E5,"s":"\\u00e9"}'
        body = f'{{"throughVersion":6.0,"summary":"s","metadata":{metadata}}}'

        made = api.post(path, content=body, headers=JSON)

        assert made.status_code == 201
        whole = f'"metadata":{metadata}'
        for read in (
            made,
            api.get(path),
            api.get(f"{path}/1"),
            api.get(path.replace("compactions", "window?budget=1")),
        ):
            assert whole in read.text

    @pytest.mark.parametrize("filling", ["1,", " ", "1e9,"])
    def test_takes_metadata_of_65536_bytes_as_they_are_sent(self, api: httpx.Client, path: str, filling: str) -> None:
        def sent(size: int) -> httpx.Response:
            opened, ended = '{"a":[', "1e9]}"
            count, rest = divmod(size - len(opened) - len(ended), len(filling))
            metadata = f"{opened}{filling * count}{' ' * rest}{ended}"
            assert len(metadata) == size
            body = f'{{"throughVersion":6,"summary":"s","metadata":{metadata}}}'
            return api.post(path, content=body, headers=JSON)

        assert sent(65_536).status_code == 201
        assert pointers(sent(65_537)) == ["/metadata"]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ([], ""),
            ({"summary": "s"}, "/throughVersion"),
            ({"throughVersion": 6}, "/summary"),
            *bad("throughVersion", -1, "6", 6.5, True, 2**63, None),
            *bad("summary", "", "\0", "a\0b", None, 5, ["s"], {}),
            *bad("role", "tool", "", "User", 1),
            *bad("tokenCount", 0, -1, 1.5, "7", True, 2**31),
            *bad("metadata", 1, "{}", [], True),
            ({"throughVersion": 6, "summary": "s", "metadata": {"a": "\0"}}, "/metadata/a"),
            *bad("expectedNumber", -1, "0", 0.5, False, 2**63),
            ({"throughVersion": 6, "summary": "s", "sumary": "s"}, "/sumary"),
            ({"throughVersion": 6, "summary": "s", "through_version": 6}, "/through_version"),
            ({"throughVersion": 6, "summary": "s", "number": 1}, "/number"),
        ],
    )
    def test_refuses_what_is_none_and_points_at_it(self, api: httpx.Client, path: str, body: Any, pointer: str) -> None:
        before = api.get(path.replace("compactions", "window?budget=1000"))

        assert pointers(api.post(path, json=body)) == [pointer]

        assert listed(api, path) == []
        after = api.get(path.replace("compactions", "window?budget=1000"))
        assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
        assert make(api, path, 6)["number"] == 1

    @pytest.mark.parametrize("text", ["\\ud800", "\\udc00\\ud800", "\\u0000"])
    def test_refuses_a_summary_that_is_no_text(self, api: httpx.Client, path: str, text: str) -> None:
        body = f'{{"throughVersion":6,"summary":"{text}"}}'

        assert pointers(api.post(path, content=body, headers=JSON)) == ["/summary"]

    @pytest.mark.parametrize("through", [2, 5, 6, 8, 9])
    def test_reaches_the_end_of_each_unit_whose_calls_are_answered(
        self, api: httpx.Client, path: str, through: int
    ) -> None:
        assert make(api, path, through)["throughVersion"] == through

    @pytest.mark.parametrize(
        ("through", "nearest"),
        [
            (0, "the nearest to it is 2"),
            (1, "the nearest to it is 2"),
            (3, "the nearest to it are 2 and 5"),
            (4, "the nearest to it are 2 and 5"),
            (7, "the nearest to it are 6 and 8"),
            (10, "the nearest to it is 9"),
            (2**63 - 1, "the nearest to it is 9"),
        ],
    )
    def test_reaches_no_other_version_and_names_the_nearest(
        self, api: httpx.Client, path: str, through: int, nearest: str
    ) -> None:
        """The preamble, the inside of a unit, a call that waits for its answer, and what is not there yet."""
        refused = post(api, path, through)

        assert refusal(refused, 400, "invalid_body")["errors"] == [
            {"pointer": "/throughVersion", "detail": f"{UNREACHABLE}: {nearest}"}
        ]
        assert listed(api, path) == []

    def test_reaches_nothing_where_nothing_is(self, api: httpx.Client, context_id: str) -> None:
        path = f"{CONTEXTS}/{context_id}/compactions"
        for _ in range(2):  # an empty context, and one of a preamble alone
            problem = refusal(post(api, path, 1), 400, "invalid_body")
            assert problem["errors"] == [{"pointer": "/throughVersion", "detail": f"{UNREACHABLE}: none is near it"}]
            append(api, context_id, message("system"))

    def test_reaches_a_call_once_it_is_answered(self, api: httpx.Client, context_id: str) -> None:
        path = f"{CONTEXTS}/{context_id}/compactions"
        append(api, context_id, message("user"), calls("a", "b"))
        assert pointers(post(api, path, 2)) == ["/throughVersion"]
        append(api, context_id, answer("a"))
        assert pointers(post(api, path, 3)) == ["/throughVersion"]
        append(api, context_id, answer("b"))
        assert pointers(post(api, path, 3)) == ["/throughVersion"]

        assert make(api, path, 4)["madeAtVersion"] == 4

    def test_reaches_behind_16_system_messages_whatever_follows(self, api: httpx.Client, context_id: str) -> None:
        """The preamble has 16 messages at most."""
        path = f"{CONTEXTS}/{context_id}/compactions"
        append(api, context_id, *[message("system")] * 18)

        assert pointers(post(api, path, 16)) == ["/throughVersion"]
        assert make(api, path, 17)["throughVersion"] == 17

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        refusal(post(api, f"{CONTEXTS}/{uuid4()}/compactions", 1), 404, "context_not_found")

    def test_leaves_the_context_and_its_messages_as_they_are(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        before = api.get(f"{CONTEXTS}/{context_id}/messages")
        make(api, path, 9)

        after = api.get(f"{CONTEXTS}/{context_id}/messages")

        assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
        context = api.get(f"{CONTEXTS}/{context_id}").json()["data"]
        assert (context["messageCount"], context["totalTokens"], context["latestVersion"]) == (9, 90, 9)


class TestExpectedNumber:
    def test_makes_one_only_where_that_one_is_in_force(self, api: httpx.Client, path: str) -> None:
        assert refusal(post(api, path, 6, expectedNumber=1), 409, "compaction_conflict")["currentNumber"] == 0
        assert make(api, path, 6, expectedNumber=0)["basedOn"] == 0

        for wrong in (0, 2, 2**63 - 1):
            problem = refusal(post(api, path, 9, expectedNumber=wrong), 409, "compaction_conflict")
            assert problem["currentNumber"] == 1

        assert make(api, path, 9, expectedNumber=1.0)["basedOn"] == 1
        assert [compaction["number"] for compaction in listed(api, path)] == [2, 1]

    def test_is_the_one_in_force_and_not_the_last_one_made(self, api: httpx.Client, path: str) -> None:
        make(api, path, 9)
        assert make(api, path, 6)["basedOn"] == 1  # 2 reaches less far

        assert refusal(post(api, path, 8, expectedNumber=2), 409, "compaction_conflict")["currentNumber"] == 1
        undo(api, path, 1)
        assert make(api, path, 8, expectedNumber=2)["basedOn"] == 2

    def test_is_0_again_after_an_undo(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6)
        undo(api, path, 1)

        assert refusal(post(api, path, 9, expectedNumber=1), 409, "compaction_conflict")["currentNumber"] == 0
        assert make(api, path, 9, expectedNumber=0)["number"] == 2

    def test_lets_one_of_50_win_while_messages_are_appended(
        self, api: httpx.Client, url: str, context_id: str, path: str
    ) -> None:
        """From ten clients; neither is a message lost, nor an append refused."""

        def patiently(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
            while True:
                sent = client.post(path, json=body)
                if sent.status_code != 503:  # all connections were busy
                    return sent
                time.sleep(0.01)

        compaction = {"throughVersion": 6, "summary": "s", "tokenCount": 1, "expectedNumber": 0}
        batch = {"messages": [message("user"), message("assistant")]}
        with ExitStack() as stack:
            clients = [
                stack.enter_context(httpx.Client(base_url=url, headers=api.headers, timeout=60)) for _ in range(10)
            ]
            pool = stack.enter_context(ThreadPoolExecutor(70))
            made, appended = [], []
            for number in range(50):
                client = clients[number % 10]
                made.append(pool.submit(patiently, client, path, {**compaction, "summary": f"s {number}"}))
                if number % 2:
                    appended.append(pool.submit(patiently, client, f"{CONTEXTS}/{context_id}/messages", batch))
            answers = [future.result() for future in made]
            stored = [future.result() for future in appended]

        assert sorted(each.status_code for each in answers) == [201, *[409] * 49]
        assert {each.json()["currentNumber"] for each in answers if each.status_code == 409} == {1}
        [winner] = [each.json()["data"] for each in answers if each.status_code == 201]
        assert listed(api, path) == [winner]
        assert {each.status_code for each in stored} == {201}
        kept = [message["version"] for each in stored for message in each.json()["data"]]
        assert sorted(kept) == list(range(10, 60))


class TestIdempotencyKey:
    def test_again_gets_the_first_answer_whatever_has_come_since(self, api: httpx.Client, path: str) -> None:
        first = post(api, path, 6, key="k", expectedNumber=0)
        answers = [post(api, path, 6, key="k", expectedNumber=0)]
        make(api, path, 9)
        answers.append(post(api, path, 6, key="k", expectedNumber=0))
        undo(api, path, 1)
        answers.append(post(api, path, 6, key="k", expectedNumber=0))

        assert first.status_code == 201
        assert "idempotent-replayed" not in first.headers
        for again in answers:
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["idempotent-replayed"] == "true"
            assert again.headers["location"] == first.headers["location"]
        assert [compaction["number"] for compaction in listed(api, path)] == [2, 1]

    def test_again_may_expect_another_number(self, api: httpx.Client, path: str) -> None:
        """As an append may expect another version: the key is looked at first, and stands for what is stored."""
        first = post(api, path, 6, key="k", expectedNumber=0)

        for members in ({"expectedNumber": 1}, {"expectedNumber": 7}, {}):
            again = post(api, path, 6, key="k", **members)
            assert (again.status_code, again.content) == (201, first.content)

    @pytest.mark.parametrize(
        "other",
        [
            {"through": 9},
            {"summary": "other"},
            {"role": "system"},
            {"tokenCount": 6},
            {"metadata": {"a": 1}},
            {"through": 9, "expectedNumber": 5},
            {"through": 7},
        ],
    )
    def test_with_another_payload_is_refused(self, api: httpx.Client, path: str, other: dict[str, Any]) -> None:
        members: dict[str, Any] = {"through": 6, "tokenCount": 5, "key": "k"}
        assert post(api, path, **members).status_code == 201

        refusal(post(api, path, **members | other), 422, "idempotency_key_reused")

        assert len(listed(api, path)) == 1

    def test_is_the_same_payload_however_it_is_written(self, api: httpx.Client, path: str) -> None:
        headers = {**JSON, "idempotency-key": "k"}
        first = api.post(path, content='{"throughVersion":6,"summary":"é"}', headers=headers)

        again = api.post(path, content='{ "summary": "\\u00e9", "throughVersion": 6 }', headers=headers)

        assert (again.status_code, again.content) == (201, first.content)

    def test_that_made_nothing_is_not_claimed(self, api: httpx.Client, path: str) -> None:
        assert post(api, path, 6, key="k", expectedNumber=5).status_code == 409
        assert post(api, path, 7, key="k").status_code == 400
        assert post(api, path, 9, key="k").status_code == 201

    def test_in_another_context_or_on_an_append_is_another_key(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        other = api.post(CONTEXTS).json()["data"]["id"]
        append(api, other, message("user"))
        batch = {"messages": [message("user")]}

        for made in (
            post(api, path, 6, key="k"),
            post(api, f"{CONTEXTS}/{other}/compactions", 1, key="k"),
            api.post(f"{CONTEXTS}/{context_id}/messages", json=batch, headers={"idempotency-key": "k"}),
        ):
            assert made.status_code == 201
            assert "idempotent-replayed" not in made.headers

    def test_of_20_equal_requests_at_once_makes_one(self, api: httpx.Client, path: str) -> None:
        def send(_: int) -> httpx.Response:
            while True:
                sent: httpx.Response = post(api, path, 6, key="k", expectedNumber=0)
                if sent.status_code != 503:  # all connections were busy
                    return sent

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))

        assert {each.status_code for each in answers} == {201}
        assert len({each.content for each in answers}) == 1
        assert sum("idempotent-replayed" in each.headers for each in answers) == 19
        assert len(listed(api, path)) == 1

    @pytest.mark.parametrize("key", ["a b", "x" * 256])
    def test_that_is_none_is_refused(self, api: httpx.Client, path: str, key: str) -> None:
        refusal(post(api, path, 6, key=key), 400, "invalid_header")

    def test_of_a_deleted_context_does_not_find_it(self, api: httpx.Client, context_id: str, path: str) -> None:
        post(api, path, 6, key="k")
        api.delete(f"{CONTEXTS}/{context_id}")

        refusal(post(api, path, 6, key="k"), 404, "context_not_found")


class TestList:
    def test_is_empty_at_first(self, api: httpx.Client, path: str) -> None:
        assert api.get(path).json() == {"data": [], "nextCursor": None, "hasMore": False}

    def test_is_newest_first_and_pages_through_undone_ones_too(self, api: httpx.Client, path: str) -> None:
        for through in (2, 9, 5, 6, 8):
            make(api, path, through)
        for number in (2, 5):
            undo(api, path, number)
        made = [api.get(f"{path}/{number}").json()["data"] for number in (5, 4, 3, 2, 1)]

        first = api.get(path, params={"limit": 2}).json()
        second = api.get(path, params={"limit": 2, "cursor": first["nextCursor"]}).json()
        third = api.get(path, params={"limit": 2, "cursor": second["nextCursor"]}).json()

        assert first == {"data": made[:2], "nextCursor": 4, "hasMore": True}
        assert second == {"data": made[2:4], "nextCursor": 2, "hasMore": True}
        assert third == {"data": made[4:], "nextCursor": None, "hasMore": False}
        assert listed(api, path) == made
        assert [bool(compaction["undoneAt"]) for compaction in made] == [True, False, False, True, False]
        assert api.get(path, params={"limit": 5}).json()["hasMore"] is False

    @pytest.mark.parametrize(("cursor", "numbers"), [(0, []), (1, []), (2, [1]), (3, [2, 1]), (2**63 - 1, [2, 1])])
    def test_goes_on_below_the_cursor(self, api: httpx.Client, path: str, cursor: int, numbers: list[int]) -> None:
        for _ in range(2):
            make(api, path, 6)

        page = api.get(path, params={"cursor": cursor}).json()

        assert [compaction["number"] for compaction in page["data"]] == numbers
        assert (page["nextCursor"], page["hasMore"]) == (None, False)

    @pytest.mark.parametrize(
        ("params", "pointer"),
        [
            *[({"limit": bad}, "/limit") for bad in ("0", "1001", "x", "", "1.0")],
            *[({"cursor": bad}, "/cursor") for bad in ("-1", "x", "", "1.0", str(2**63))],
            ({"order": "asc"}, "/order"),
            ({"at": "1"}, "/at"),
        ],
    )
    def test_refuses_a_bad_parameter_and_points_at_it(
        self, api: httpx.Client, path: str, params: dict[str, str], pointer: str
    ) -> None:
        problem = refusal(api.get(path, params=params), 400, "invalid_parameter")

        assert [place["pointer"] for place in problem["errors"]] == [pointer]

    def test_ends_a_page_before_the_platforms_limit(self, api: httpx.Client, path: str) -> None:
        """A character that JSON escapes takes six bytes of an answer."""
        for _ in range(4):
            make(api, path, 6, "\x01" * MAX_SUMMARY)

        first = api.get(path)
        second = api.get(path, params={"cursor": first.json()["nextCursor"]}).json()

        assert len(first.content) < 4_500_000
        assert ([compaction["number"] for compaction in first.json()["data"]], first.json()["hasMore"]) == (
            [4, 3],
            True,
        )
        assert ([compaction["number"] for compaction in second["data"]], second["hasMore"]) == ([2, 1], False)

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        refusal(api.get(f"{CONTEXTS}/{uuid4()}/compactions"), 404, "context_not_found")


class TestRead:
    def test_finds_neither_an_unknown_number_nor_an_unknown_context(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6)

        for number in (2, 10**18 - 1):
            refusal(api.get(f"{path}/{number}"), 404, "compaction_not_found")
            refusal(api.delete(f"{path}/{number}"), 404, "compaction_not_found")
        for method in ("GET", "DELETE"):
            refusal(api.request(method, f"{CONTEXTS}/{uuid4()}/compactions/1"), 404, "context_not_found")

    def test_does_not_find_that_of_another_context(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6)
        other = api.post(CONTEXTS).json()["data"]["id"]

        refusal(api.get(f"{CONTEXTS}/{other}/compactions/1"), 404, "compaction_not_found")

    @pytest.mark.parametrize("number", ["0", "-1", "01", "1.0", "x", "1e1", "%00", "%D9%A1", "+1", "9" * 19, "1%2F2"])
    def test_refuses_a_number_that_is_none(self, api: httpx.Client, path: str, number: str) -> None:
        for method in ("GET", "DELETE"):
            refusal(api.request(method, f"{path}/{number}"), 400, "invalid_id")


class TestUndo:
    def test_answers_with_the_compaction_and_when_it_was_undone(self, api: httpx.Client, path: str) -> None:
        compaction = make(api, path, 6)

        undone = api.delete(f"{path}/1")

        moment = undone.json()["data"]["undoneAt"]
        assert undone.status_code == 200
        assert undone.json()["data"] == {**compaction, "undoneAt": moment}
        assert moment > compaction["createdAt"]
        assert api.get(f"{path}/1").content == undone.content
        assert listed(api, path) == [undone.json()["data"]]

    def test_again_changes_nothing(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6)
        first = api.delete(f"{path}/1")
        etag = api.get(path.replace("compactions", "window?budget=1")).headers["etag"]

        again = api.delete(f"{path}/1")

        assert (again.status_code, again.content) == (200, first.content)
        assert api.get(path.replace("compactions", "window?budget=1")).headers["etag"] == etag

    def test_leaves_windows_as_if_it_had_never_been(self, api: httpx.Client, context_id: str, path: str) -> None:
        """Those of the past as well."""

        def windows() -> list[dict[str, Any]]:
            heads: tuple[dict[str, str], ...] = ({}, {"keepPreamble": "true", "keepRequest": "true"})
            return [
                window(api, path, budget, at=at, **head) for budget in (25, 1000) for at in range(10) for head in heads
            ]

        before = windows()
        for through in (6, 9, 2):
            make(api, path, through)
        assert windows() != before

        for number in (2, 1, 3):
            undo(api, path, number)

        assert windows() == before
        append(api, context_id, message("user"))
        assert windows() == before

    def test_never_gives_a_number_twice(self, api: httpx.Client, path: str) -> None:
        numbers = []
        for _ in range(3):
            numbers.append(make(api, path, 6, expectedNumber=0)["number"])
            undo(api, path, numbers[-1])

        assert numbers == [1, 2, 3]

    def test_of_a_deleted_contexts_finds_no_context_on_any_route(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        make(api, path, 6)
        api.delete(f"{CONTEXTS}/{context_id}")

        for gone in (api.get(path), api.get(f"{path}/1"), api.delete(f"{path}/1"), post(api, path, 6)):
            refusal(gone, 404, "context_not_found")


class TestInForce:
    def test_is_the_one_that_reaches_furthest_and_then_the_newest(self, api: httpx.Client, path: str) -> None:
        steps: list[tuple[int, int | None]] = [(6, 1), (2, 1), (6, 3), (9, 4), (5, 4)]
        based_on: int | None = 0
        for through, expected in steps:
            assert make(api, path, through)["basedOn"] == based_on
            based_on = in_force(api, path)
            assert based_on == expected

        for number, expected in ((4, 3), (3, 1), (2, 1), (1, 5), (5, None)):
            undo(api, path, number)
            assert in_force(api, path) == expected

    def test_is_none_before_it_was_made(self, api: httpx.Client, context_id: str, path: str) -> None:
        before = window(api, path, at=9)
        append(api, context_id, message("user"))

        make(api, path, 6)

        assert window(api, path, at=9) == before
        assert [in_force(api, path, at=at) for at in (6, 8, 9, 10)] == [None, None, None, 1]
        append(api, context_id, message("user"))
        assert [in_force(api, path, at=at) for at in (9, 10, 11)] == [None, 1, 1]

    def test_is_in_the_past_the_one_that_was_in_force_then(self, api: httpx.Client, context_id: str, path: str) -> None:
        make(api, path, 6)
        append(api, context_id, message("user"))
        make(api, path, 10)
        append(api, context_id, message("user"))
        make(api, path, 2)

        assert [in_force(api, path, at=at) for at in (8, 9, 10, 11)] == [None, 1, 2, 2]
        undo(api, path, 2)
        assert [in_force(api, path, at=at) for at in (8, 9, 10, 11)] == [None, 1, 1, 1]

    def test_is_the_same_at_a_time(self, api: httpx.Client, context_id: str, path: str) -> None:
        stored = api.get(f"{CONTEXTS}/{context_id}/messages").json()["data"]
        append(api, context_id, message("user"))
        make(api, path, 6)

        assert in_force(api, path, at=stored[-1]["createdAt"]) is None
        assert in_force(api, path, at="2999-01-01T00:00:00Z") == 1


class TestWindow:
    def test_opens_with_the_summary_as_a_message(self, api: httpx.Client, context_id: str, path: str) -> None:
        stored = api.get(f"{CONTEXTS}/{context_id}/messages").json()["data"]
        compaction = make(api, path, 6, "What was said.", metadata={"a": 1}, tokenCount=7)

        body = window(api, path)

        assert body["data"] == [
            {
                "id": None,
                "contextId": context_id,
                "version": None,
                "role": "user",
                "content": "What was said.",
                "toolCalls": None,
                "toolCallId": None,
                "toolName": None,
                "model": None,
                "metadata": {"a": 1},
                "tokenCount": 7,
                "hasEmbedding": False,
                "createdAt": compaction["createdAt"],
                "compactionNumber": 1,
            },
            *stored[6:],
        ]
        assert list(body["data"][0]) == [*stored[0], "compactionNumber"]

    def test_has_a_summary_that_matches_its_documented_model(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, metadata={"a": 1})

        summary = window(api, path)["data"][0]

        assert list(summary) == [field.alias for field in Summary.model_fields.values()]
        Summary.model_validate_json(json.dumps(summary))

    def test_has_its_figures(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, tokenCount=7)

        body = window(api, path)

        assert body["compaction"] == {"number": 1, "throughVersion": 6}
        assert (body["usedTokens"], body["totalTokens"], body["droppedCount"]) == (37, 90, 0)
        assert (body["firstVersion"], body["lastVersion"], body["tokensToEdge"]) == (7, 9, 1000 - 37)
        assert body["pendingCalls"] == ["c"]

    def test_without_one_says_so(self, api: httpx.Client, path: str) -> None:
        assert window(api, path)["compaction"] is None

    def test_counts_the_summary_in_its_budget(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, tokenCount=7)

        assert versions(window(api, path, 37)) == [None, 7, 8, 9]
        less = window(api, path, 36)
        assert (versions(less), less["usedTokens"], less["droppedCount"]) == ([None, 8, 9], 27, 1)

    def test_is_never_without_the_newest_unit_however_long_the_summary(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, tokenCount=5000)

        body = window(api, path, 100)

        assert (versions(body), body["usedTokens"], body["overBudget"]) == ([None, 9], 5010, True)

    def test_is_the_summary_alone_where_it_covers_all(self, api: httpx.Client, context_id: str, path: str) -> None:
        make(api, path, 9, tokenCount=7)

        body = window(api, path)

        assert versions(body) == [None]
        assert (body["firstVersion"], body["lastVersion"], body["droppedCount"], body["usedTokens"]) == (
            None,
            None,
            0,
            7,
        )
        append(api, context_id, message("user"))
        assert versions(window(api, path)) == [None, 10]

    def test_has_the_summary_behind_the_preamble_and_the_request_behind_the_summary(
        self, api: httpx.Client, path: str
    ) -> None:
        make(api, path, 8, tokenCount=7)

        body = window(api, path, keepPreamble="true", keepRequest="true")

        assert versions(body) == [1, None, 8, 9]
        assert (body["preambleCount"], body["requestVersion"], body["droppedCount"]) == (1, 8, 0)
        assert body["usedTokens"] == 37
        assert versions(window(api, path, keepPreamble="true")) == [1, None, 9]
        assert versions(window(api, path, keepRequest="true")) == [None, 8, 9]

    def test_has_the_request_though_the_summary_covers_all(self, api: httpx.Client, path: str) -> None:
        make(api, path, 9)

        body = window(api, path, keepRequest="true")

        assert (versions(body), body["requestVersion"], body["droppedCount"]) == ([None, 8], 8, 0)

    def test_leaves_out_answers_to_calls_that_the_summary_covers(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        make(api, path, 8)
        append(api, context_id, answer("c"), message("user"))

        body = window(api, path)

        assert (versions(body), body["droppedCount"], body["pendingCalls"]) == ([None, 9, 11], 1, [])
        undo(api, path, 1)
        assert versions(window(api, path)) == list(range(1, 12))

    def test_with_a_policy_set_aside_has_the_summary_all_the_same(
        self, api: httpx.Client, context_id: str, path: str
    ) -> None:
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"budget": 500, "keepPreamble": True}})
        make(api, path, 6)

        assert versions(window(api, path)) == [1, None, 7, 8, 9]
        assert versions(window(api, path, policy="none")) == [None, 7, 8, 9]

    def test_says_what_is_due_behind_the_summary_alone(self, api: httpx.Client, path: str) -> None:
        make(api, path, 6, tokenCount=7)

        body = window(api, path, 40, compactionDue="0.5,10")

        assert body["compactionDue"] == {"throughVersion": 8, "messages": 2, "tokens": 20}
        make(api, path, 8, tokenCount=7, expectedNumber=1)
        assert window(api, path, 40, compactionDue="0.5,10")["compactionDue"] is None

    def test_pages_show_all_messages_all_the_same(self, api: httpx.Client, context_id: str, path: str) -> None:
        make(api, path, 9)

        page = api.get(f"{CONTEXTS}/{context_id}/messages").json()["data"]

        assert [message["version"] for message in page] == list(range(1, 10))


class TestDatabase:
    def test_ends_with_its_context(self, api: httpx.Client, context_id: str, path: str, database: Any) -> None:
        make(api, path, 6)

        conn: psycopg.Connection[Any] = database
        with conn.transaction(force_rollback=True):
            conn.execute("DELETE FROM contexts WHERE id = %s", [context_id])
            rows = conn.execute("SELECT count(*) FROM compactions WHERE context_id = %s", [context_id]).fetchone()
        assert rows == (0,)
