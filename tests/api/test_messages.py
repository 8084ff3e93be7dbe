"""Messages: append a batch, page through them; everything comes back as it went in."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.messages import ENVELOPE_BYTES
from lib.shapes import Message


def path(context_id: str) -> str:
    return f"/api/v1/contexts/{context_id}/messages"


def append(api: httpx.Client, context_id: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.post(path(context_id), json={"messages": messages})
    assert answer.status_code == 201, answer.text
    stored: list[dict[str, Any]] = answer.json()["data"]
    return stored


def user(content: str = "x", **members: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **members}


def call(call_id: str = "call_1", name: str = "search", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def context(api: httpx.Client, context_id: str) -> dict[str, Any]:
    data: dict[str, Any] = api.get(f"/api/v1/contexts/{context_id}").json()["data"]
    return data


class TestAppend:
    def test_answers_with_the_stored_messages_in_order(self, api: httpx.Client, context_id: str) -> None:
        stored = append(
            api,
            context_id,
            {"role": "system", "content": "Be brief.", "metadata": {"k": "v"}},
            user("weather in Paris?", model="gpt-4o"),
            {"role": "assistant", "content": None, "toolCalls": [call("c_1", "weather", '{"city":"Paris"}')]},
            {"role": "tool", "content": "12 °C", "toolCallId": "c_1", "toolName": "weather", "tokenCount": 99},
        )

        plain: dict[str, Any] = {"toolCalls": None, "toolCallId": None, "toolName": None, "model": None, "metadata": {}}
        expected: list[dict[str, Any]] = [
            {**plain, "role": "system", "content": "Be brief.", "metadata": {"k": "v"}, "tokenCount": 3},
            {**plain, "role": "user", "content": "weather in Paris?", "model": "gpt-4o", "tokenCount": 4},
            {**plain, "role": "assistant", "content": None, "tokenCount": 6}
            | {"toolCalls": [call("c_1", "weather", '{"city":"Paris"}')]},
            {**plain, "role": "tool", "content": "12 °C", "tokenCount": 99}
            | {"toolCallId": "c_1", "toolName": "weather"},
        ]
        for version, (message, members) in enumerate(zip(stored, expected, strict=True), 1):
            assert message == {
                **members,
                "id": message["id"],
                "contextId": context_id,
                "version": version,
                "hasEmbedding": False,
                "createdAt": stored[0]["createdAt"],
            }

    def test_moves_the_counters(self, api: httpx.Client, context_id: str) -> None:
        before = context(api, context_id)
        append(api, context_id, user(tokenCount=10), user(tokenCount=5))
        append(api, context_id, user(tokenCount=1))

        after = context(api, context_id)

        assert (after["messageCount"], after["totalTokens"], after["latestVersion"]) == (3, 16, 3)
        assert after["updatedAt"] > before["updatedAt"]

    def test_keeps_the_running_sum_of_tokens(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        append(api, context_id, user(tokenCount=10), user(tokenCount=5))
        append(api, context_id, user(tokenCount=1))

        sums = database.execute(
            "SELECT array_agg(cumulative_tokens ORDER BY version) FROM messages WHERE context_id = %s", [context_id]
        ).fetchone()
        assert sums == ([10, 15, 16],)

    def test_takes_a_batch_of_1000_and_refuses_1001_and_none(self, api: httpx.Client, context_id: str) -> None:
        assert len(append(api, context_id, *[user(tokenCount=1)] * 1000)) == 1000

        for messages in ([user()] * 1001, []):
            refused = api.post(path(context_id), json={"messages": messages})
            assert refused.status_code == 400
            assert refused.json()["errors"][0]["pointer"] == "/messages"
        assert context(api, context_id)["latestVersion"] == 1000

    def test_stores_all_of_a_batch_or_nothing(self, api: httpx.Client, context_id: str) -> None:
        batch = [user() for _ in range(100)]
        batch[57] = {"role": "user", "content": 5}

        refused = api.post(path(context_id), json={"messages": batch})

        assert refused.status_code == 400
        assert refused.json()["errors"] == [
            {"pointer": "/messages/57/content", "detail": "must be a string, a list of parts or null"}
        ]
        assert context(api, context_id)["messageCount"] == 0
        assert api.get(path(context_id)).json()["data"] == []

    @pytest.mark.parametrize(
        ("message", "pointer"),
        [
            ({"content": "x"}, "/role"),
            ({"role": "robot", "content": "x"}, "/role"),
            ({"role": "user"}, "/content"),
            ({"role": "user", "content": None}, "/content"),
            ({"role": "assistant", "content": None, "toolCalls": []}, "/content"),
            ({"role": "user", "content": {"type": "text"}}, "/content"),
            ({"role": "user", "content": [{"text": "no type"}]}, "/content/0/type"),
            ({"role": "user", "content": [{"type": 1}]}, "/content/0/type"),
            ({"role": "user", "content": ["text"]}, "/content/0"),
            ({"role": "user", "content": "x", "toolCalls": [call()]}, "/toolCalls"),
            ({"role": "assistant", "content": None, "toolCalls": [{"id": "c"}]}, "/toolCalls/0/type"),
            ({"role": "assistant", "content": None, "toolCalls": [{**call(), "type": "custom"}]}, "/toolCalls/0/type"),
            ({"role": "assistant", "content": None, "toolCalls": [{**call(), "id": ""}]}, "/toolCalls/0/id"),
            (
                {"role": "assistant", "content": "x", "toolCalls": [{**call(), "function": {"name": "f"}}]},
                "/toolCalls/0/function/arguments",
            ),
            ({"role": "tool", "content": "x"}, "/toolCallId"),
            ({"role": "tool", "content": "x", "toolCallId": ""}, "/toolCallId"),
            ({"role": "assistant", "content": "x", "toolCallId": "c"}, "/toolCallId"),
            ({"role": "user", "content": "x", "tokenCount": 0}, "/tokenCount"),
            ({"role": "user", "content": "x", "tokenCount": -1}, "/tokenCount"),
            ({"role": "user", "content": "x", "tokenCount": 1.5}, "/tokenCount"),
            ({"role": "user", "content": "x", "tokenCount": "7"}, "/tokenCount"),
            ({"role": "user", "content": "x", "tokenCount": True}, "/tokenCount"),
            ({"role": "user", "content": "x", "tokenCount": 2**31}, "/tokenCount"),
            ({"role": "user", "content": "x", "metadata": [1]}, "/metadata"),
            ({"role": "user", "content": "x", "version": 1}, "/version"),
            ({"role": "user", "content": "x", "tool_calls": []}, "/tool_calls"),
            ({"role": "user", "content": "x", "model": 4}, "/model"),
            ({"role": "user", "content": "x", "embedding": [0.1] * 1535}, "/embedding"),
            ({"role": "user", "content": "x", "embedding": [0.1] * 1535 + ["1"]}, "/embedding/1535"),
            ({"role": "user", "content": "x", "embedding": [0.1] * 1535 + [True]}, "/embedding/1535"),
            ({"role": "user", "content": "x", "embedding": [1e39] + [0.1] * 1535}, "/embedding/0"),
        ],
    )
    def test_refuses_what_is_no_message_and_points_at_it(
        self, api: httpx.Client, context_id: str, message: dict[str, Any], pointer: str
    ) -> None:
        refused = api.post(path(context_id), json={"messages": [user(), message]})

        problem = refused.json()
        assert refused.status_code == 400
        assert problem["code"] == "invalid_body"
        assert f"/messages/1{pointer}" in [error["pointer"] for error in problem["errors"]]
        assert context(api, context_id)["latestVersion"] == 0

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        refused = api.post(path(str(uuid4())), json={"messages": [user()]})

        assert refused.status_code == 404
        assert refused.json()["code"] == "context_not_found"

    def test_gives_concurrent_writers_versions_without_gap_or_repeat(self, api: httpx.Client, context_id: str) -> None:
        def write(batch: int) -> list[int]:
            answer = api.post(path(context_id), json={"messages": [user(tokenCount=2)] * (batch % 3 + 1)}, timeout=60)
            assert answer.status_code == 201, answer.text
            return [message["version"] for message in answer.json()["data"]]

        with ThreadPoolExecutor(16) as pool:
            batches = list(pool.map(write, range(60)))

        for batch in batches:
            assert batch == list(range(batch[0], batch[0] + len(batch)))
        assert sorted(version for batch in batches for version in batch) == list(range(1, 121))
        after = context(api, context_id)
        assert (after["messageCount"], after["latestVersion"], after["totalTokens"]) == (120, 120, 240)


class TestEmbeddings:
    def test_are_stored_and_only_said_to_be_there(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        embedding = [i / 2048 for i in range(1536)]

        stored = append(api, context_id, user(), user(embedding=embedding), user(embedding=None))

        assert [message["hasEmbedding"] for message in stored] == [False, True, False]
        assert "embedding" not in stored[1]
        kept = database.execute(
            "SELECT embedding::real[]::float8[] FROM messages WHERE context_id = %s AND version = 2", [context_id]
        ).fetchone()
        assert kept == (embedding,)
        assert [m["hasEmbedding"] for m in api.get(path(context_id)).json()["data"]] == [False, True, False]

    def test_may_hold_numbers_too_small_for_a_single(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        append(api, context_id, user(embedding=[1e-266, 1e-45, -1e-300, 5e-324, 3.4028235e38, 7] + [0] * 1530))

        kept = database.execute(
            "SELECT (embedding::real[])[:6]::float8[] FROM messages WHERE context_id = %s", [context_id]
        ).fetchone()
        assert kept == ([0, 1.401298464324817e-45, 0, 0, 3.4028234663852886e38, 7],)


# Every Unicode scalar value but U+0000.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PART = st.builds(lambda kind, rest: {**rest, "type": kind}, TEXT, st.dictionaries(TEXT, JSON, max_size=4))
CALL = st.builds(
    lambda rest, call_id, name, arguments: {**rest, **call(call_id, name, arguments)},
    st.dictionaries(TEXT, JSON, max_size=2),
    TEXT.filter(bool),
    TEXT,
    TEXT,
)
METADATA = st.dictionaries(TEXT, JSON, max_size=4)
MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT | st.lists(PART, max_size=4)},
        optional={"metadata": METADATA, "model": TEXT, "toolName": TEXT},
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": st.none() | TEXT | st.lists(PART, max_size=3),
            "toolCalls": st.lists(CALL, min_size=1, max_size=3),
        }
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT | st.lists(PART), "toolCallId": TEXT.filter(bool)}),
)


class TestContent:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(messages=st.lists(MESSAGE, min_size=1, max_size=4))
    def test_comes_back_equal_from_append_page_and_window(
        self, api: httpx.Client, context_id: str, messages: list[dict[str, Any]]
    ) -> None:
        stored = append(api, context_id, *messages)
        after = stored[0]["version"] - 1

        paged = api.get(path(context_id), params={"cursor": after}).json()["data"]

        assert paged == stored
        for sent, got in zip(messages, stored, strict=True):
            assert got | sent == got

    def test_keeps_the_clients_own_text_to_the_letter(self, api: httpx.Client, context_id: str) -> None:
        content = '[{"z":1.10,"type":"x","a":123456789012345678901234567890.5,"e":1E5,"s":"\\u00e9\\ud83d\\ude00"}]'
        body = f'{{"messages": [{{"role": "user", "content": {content}}}]}}'

        answer = api.post(path(context_id), content=body, headers={"content-type": "application/json"})

        assert f'"content":{content}' in answer.text
        assert f'"content":{content}' in api.get(path(context_id)).text
        window = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 1})
        assert f'"content":{content}' in window.text

    def test_keeps_every_plane_of_unicode(self, api: httpx.Client, context_id: str) -> None:
        text = "".join(chr(point) for point in [*range(1, 0xD800, 7), *range(0xE000, 0x110000, 97)])

        [stored] = append(api, context_id, user(text))

        assert stored["content"] == text

    @pytest.mark.parametrize(
        ("content", "pointer"),
        [
            ('"a\\u0000b"', ""),
            ('"a\\ud800b"', ""),
            ('"\\udc00\\ud800"', ""),
            ('[{"type":"text","text":"\\u0000"}]', "/0/text"),
            ('[{"type":"x","\\u0000":1}]', "/0"),
            ('[{"type":"x","n":NaN}]', "/0/n"),
            ('[{"type":"x","n":-Infinity}]', "/0/n"),
            ('[{"type":"x","n":1e999}]', "/0/n"),
            (f'[{{"type":"x","n":{"9" * 5000}}}]', "/0/n"),
            ('[{"type":"x","type":"y"}]', "/0"),
            ('[{"type":"x","deep":' + "[" * 126 + "]" * 126 + "}]", "/0/deep" + "/0" * 123),
            (
                '[{"type":"x","a":"[{","deep":[{}, {"x":' + "[" * 10_000 + "]" * 10_000 + "}]}]",
                "/0/deep/1/x" + "/0" * 121,
            ),
        ],
    )
    def test_that_cannot_be_kept_is_refused_with_its_place(
        self, api: httpx.Client, context_id: str, content: str, pointer: str
    ) -> None:
        body = f'{{"messages": [{{"role": "user", "content": {content}}}]}}'

        refused = api.post(path(context_id), content=body, headers={"content-type": "application/json"})

        assert refused.status_code == 400, refused.text
        assert refused.json()["code"] == "invalid_body"
        assert refused.json()["errors"][0]["pointer"] == f"/messages/0/content{pointer}"
        assert context(api, context_id)["latestVersion"] == 0

    def test_may_be_nested_as_deep_as_the_limit(self, api: httpx.Client, context_id: str) -> None:
        deep: Any = []
        for _ in range(122):
            deep = [deep]

        [stored] = append(api, context_id, {"role": "user", "content": [{"type": "x", "deep": deep}]})

        assert stored["content"][0]["deep"] == deep

    def test_with_sql_in_every_string_is_only_text(self, api: httpx.Client, context_id: str) -> None:
        sql = "'; DROP TABLE messages; --\" $1 %(x)s \\"
        message = {
            "role": "assistant",
            "content": [{"type": sql, sql: sql}],
            "toolCalls": [call(sql, sql, sql)],
            "toolName": sql,
            "model": sql,
            "metadata": {sql: sql},
        }

        [stored] = append(api, context_id, message)

        assert stored | message == stored

    def test_matches_its_documented_model(self, api: httpx.Client, context_id: str) -> None:
        append(
            api, context_id, user(), {"role": "assistant", "content": [{"type": "t", "x": 1}], "toolCalls": [call()]}
        )

        text = api.get(path(context_id)).text

        for message in json.loads(text)["data"]:
            assert list(message) == [field.alias for field in Message.model_fields.values()]
            Message.model_validate_json(json.dumps(message))


class TestSize:
    """What bounds on answers rely on: how much of a message's JSON is not its client's."""

    def test_of_what_is_added_to_a_message_is_known(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        """With the longest numbers there can be."""
        database.execute("UPDATE contexts SET latest_version = 2^62::bigint WHERE id = %s", [context_id])
        sent = {"messages": [{"role": "user", "content": ""}]}

        stored = api.post(path(context_id), json=sent | {"messages": [user("", tokenCount=2**31 - 1)]})

        assert len(stored.content) <= len(json.dumps(sent)) + ENVELOPE_BYTES


class TestPage:
    @pytest.fixture
    def stored(self, api: httpx.Client, context_id: str) -> list[dict[str, Any]]:
        return append(api, context_id, *[user(str(i)) for i in range(1, 11)])

    def test_starts_with_the_oldest(self, api: httpx.Client, context_id: str, stored: list[Any]) -> None:
        assert api.get(path(context_id)).json() == {"data": stored, "nextCursor": None, "hasMore": False}

    def test_goes_on_after_the_cursor(self, api: httpx.Client, context_id: str, stored: list[Any]) -> None:
        first = api.get(path(context_id), params={"limit": 4}).json()
        second = api.get(path(context_id), params={"limit": 4, "cursor": first["nextCursor"]}).json()
        third = api.get(path(context_id), params={"limit": 4, "cursor": second["nextCursor"]}).json()

        assert first == {"data": stored[:4], "nextCursor": 4, "hasMore": True}
        assert second == {"data": stored[4:8], "nextCursor": 8, "hasMore": True}
        assert third == {"data": stored[8:], "nextCursor": None, "hasMore": False}

    def test_says_that_there_is_no_more_when_the_last_page_is_full(
        self, api: httpx.Client, context_id: str, stored: list[Any]
    ) -> None:
        page = api.get(path(context_id), params={"limit": 5, "cursor": 5}).json()

        assert page == {"data": stored[5:], "nextCursor": None, "hasMore": False}

    def test_goes_down_from_the_newest_with_order_desc(
        self, api: httpx.Client, context_id: str, stored: list[Any]
    ) -> None:
        first = api.get(path(context_id), params={"limit": 6, "order": "desc"}).json()
        second = api.get(path(context_id), params={"limit": 6, "order": "desc", "cursor": first["nextCursor"]}).json()

        assert first == {"data": stored[:3:-1], "nextCursor": 5, "hasMore": True}
        assert second == {"data": stored[3::-1], "nextCursor": None, "hasMore": False}

    def test_stops_at_a_past_version(self, api: httpx.Client, context_id: str, stored: list[Any]) -> None:
        def versions(**params: Any) -> list[int]:
            return [m["version"] for m in api.get(path(context_id), params=params).json()["data"]]

        assert versions(at=0) == []
        assert versions(at=3) == [1, 2, 3]
        assert versions(at=3, order="desc", limit=2) == [3, 2]
        assert versions(at=10) == list(range(1, 11))

        refused = api.get(path(context_id), params={"at": 11})
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/at"

    def test_is_empty_for_an_empty_context_and_beyond_the_end(self, api: httpx.Client, context_id: str) -> None:
        nothing: dict[str, Any] = {"data": [], "nextCursor": None, "hasMore": False}

        assert api.get(path(context_id)).json() == nothing
        assert api.get(path(context_id), params={"cursor": 2**63 - 1}).json() == nothing
        assert api.get(path(context_id), params={"cursor": 0, "order": "desc"}).json() == nothing

    def test_shows_a_message_that_is_marked_as_erased(
        self, api: httpx.Client, context_id: str, stored: list[Any], database: psycopg.Connection[Any]
    ) -> None:
        database.execute("UPDATE messages SET deleted_at = now() WHERE context_id = %s AND version = 2", [context_id])

        assert api.get(path(context_id)).json()["data"] == stored

    @pytest.mark.parametrize("name", ["cursor", "limit", "at"])
    @pytest.mark.parametrize("value", ["-1", "1.0", "", "1e3", "0x10", "99999999999999999999", str(2**63), "--1", "٣"])
    def test_refuses_a_number_that_is_none(self, api: httpx.Client, context_id: str, name: str, value: str) -> None:
        refused = api.get(path(context_id), params={name: value})

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == f"/{name}"

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        assert api.get(path(str(uuid4()))).status_code == 404

    def test_reads_no_more_than_it_answers(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        """Images have no tokens, and so no budget stops at them: the bytes do, before PostgreSQL sends gigabytes."""
        database.execute(
            """
            WITH grown AS (
                UPDATE contexts SET latest_version = 400, message_count = 400 WHERE id = %s RETURNING id
            )
            INSERT INTO messages (context_id, version, role, content, token_count, cumulative_tokens, created_at)
            SELECT id, version, 'user', to_json(repeat('x', 1000000)), 0, 0, now()
            FROM grown, generate_series(1, 400) AS version
            """,
            [context_id],
        )

        page = api.get(path(context_id), params={"limit": 1000}).json()
        window = api.get(f"/api/v1/contexts/{context_id}/window", params={"budget": 10}).json()

        assert ([m["version"] for m in page["data"]], page["hasMore"]) == ([1, 2, 3, 4], True)
        assert [m["version"] for m in window["data"]] == [397, 398, 399, 400]

    def test_ends_before_the_platforms_limit_and_goes_on_from_there(self, api: httpx.Client, context_id: str) -> None:
        for _ in range(3):
            append(api, context_id, user("x" * 2_000_000, tokenCount=1))

        first = api.get(path(context_id)).json()
        second = api.get(path(context_id), params={"cursor": first["nextCursor"]}).json()

        assert ([m["version"] for m in first["data"]], first["hasMore"]) == ([1, 2], True)
        assert ([m["version"] for m in second["data"]], second["hasMore"]) == ([3], False)


class TestTime:
    """`at` may be a time: the newest version that existed then, in pages and windows alike."""

    @pytest.fixture
    def stored(self, api: httpx.Client, context_id: str) -> list[dict[str, Any]]:
        """Said on the first days of 2024, two of them at one moment; and one now."""
        days = [user(createdAt=f"2024-01-0{day}T00:00:00Z", tokenCount=10) for day in (1, 2, 2, 3)]
        return append(api, context_id, *days, user(tokenCount=10))

    @pytest.fixture(params=["messages?limit=10&", "messages?order=desc&", "window?budget=1000&"])
    def asked(self, request: pytest.FixtureRequest, context_id: str) -> str:
        return f"/api/v1/contexts/{context_id}/{request.param}at="

    @pytest.mark.parametrize(
        ("at", "version"),
        [
            ("0001-01-01T00:00:00Z", 0),
            ("2023-12-31T23:59:59.999999Z", 0),
            ("2024-01-01T00:00:00Z", 1),
            ("2024-01-01T00:00:00.000001Z", 1),
            ("2024-01-01T12:00:00Z", 1),
            ("2024-01-01T23:59:59.999999Z", 1),
            ("2024-01-02T00:00:00Z", 3),
            ("2024-01-02T23:59:59.999999999Z", 3),
            ("2024-01-03T00:00:00Z", 4),
            ("2024-02-29T00:00:00Z", 4),
            ("2999-01-01T00:00:00Z", 5),
            ("9999-12-31T23:59:59Z", 5),
            # The same moment, written in other ways.
            ("2024-01-02T01:30:00%2B01:30", 3),
            ("2024-01-02T01:30:00+01:30", 3),
            ("2024-01-02T01:29:59+01:30", 1),
            ("2024-01-01T19:00:00-05:00", 3),
            ("2024-01-01T18:59:59-05:00", 1),
            ("2024-01-02t00:00:00z", 3),
            ("2024-01-02t01:00:00.0+01:00", 3),
        ],
    )
    def test_is_the_newest_version_that_existed_then(
        self, api: httpx.Client, asked: str, stored: list[dict[str, Any]], at: str, version: int
    ) -> None:
        read, at_version = api.get(asked + at), api.get(f"{asked}{version}")

        assert (read.status_code, read.content) == (200, at_version.content)
        assert sorted(message["version"] for message in read.json()["data"]) == list(range(1, version + 1))
        assert read.headers["etag"] == f'"{version}"'

    def test_of_each_message_is_its_version(self, api: httpx.Client, asked: str, stored: list[dict[str, Any]]) -> None:
        versions = [len(api.get(asked + message["createdAt"]).json()["data"]) for message in stored]

        assert versions == [1, 3, 3, 4, 5]

    def test_is_found_in_a_long_history(self, api: httpx.Client, context_id: str, asked: str) -> None:
        minutes = [f"2024-01-01T{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(700)]
        append(api, context_id, *[user(createdAt=minute, tokenCount=1) for minute in minutes])

        for version in (1, 2, 349, 350, 351, 699, 700):
            assert api.get(asked + minutes[version - 1]).headers["etag"] == f'"{version}"'
            just_behind = minutes[version - 1].replace(":00Z", ":59.9Z")
            assert api.get(asked + just_behind).headers["etag"] == f'"{version}"'

    def test_of_an_empty_context_is_version_0(self, api: httpx.Client, asked: str) -> None:
        for at in ("2024-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
            read = api.get(asked + at)
            assert (read.json()["data"], read.headers["etag"]) == ([], '"0"')

    def test_does_not_move_with_what_comes_after(
        self, api: httpx.Client, context_id: str, asked: str, stored: list[dict[str, Any]]
    ) -> None:
        first = api.get(asked + "2024-01-02T12:00:00Z")
        append(api, context_id, user())

        again = api.get(asked + "2024-01-02T12:00:00Z", headers={"if-none-match": first.headers["etag"]})

        assert (again.status_code, again.headers["etag"]) == (304, '"3"')
        assert api.get(asked + "2024-01-02T12:00:00Z").content == first.content

    def test_pages_to_its_end(self, api: httpx.Client, context_id: str, stored: list[dict[str, Any]]) -> None:
        at: dict[str, Any] = {"limit": 2, "at": "2024-01-02T12:00:00+00:00"}
        first = api.get(path(context_id), params=at).json()
        second = api.get(path(context_id), params={**at, "cursor": first["nextCursor"]}).json()

        assert first == {"data": stored[:2], "nextCursor": 2, "hasMore": True}
        assert second == {"data": stored[2:3], "nextCursor": None, "hasMore": False}

    @pytest.mark.parametrize(
        "at",
        [
            "",
            "now",
            "yesterday",
            "2024-01-01",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01%2000:00:00Z",
            "2024-01-01+00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T25:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00%2B24:00",
            "2024-01-01T00:00:00%2B0100",
            "0001-01-01T00:00:00%2B23:59",
            "0000-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z%00",
            "20240101T000000Z",
            "1704067200.5",
            "1e9",
        ],
    )
    def test_that_is_none_is_refused(self, api: httpx.Client, asked: str, at: str) -> None:
        refused = api.get(asked + at)

        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        assert [place["pointer"] for place in refused.json()["errors"]] == ["/at"]
