"""What an append may carry beside its messages: their times, and a change of the context's metadata."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

CONTEXTS = "/api/v1/contexts"


def path(context_id: str) -> str:
    return f"{CONTEXTS}/{context_id}/messages"


def at(*times: str | None) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x", **({"createdAt": each} if each else {})} for each in times]}


def said(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 201, answer.text
    return [message["createdAt"] for message in answer.json()["data"]]


def latest(api: httpx.Client, context_id: str) -> int:
    version: int = api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"]
    return version


class TestTimes:
    def test_of_an_import_are_kept(self, api: httpx.Client, context_id: str) -> None:
        given = ["2024-02-29T23:59:59Z", "2024-03-01T01:00:00.5+01:00", "2024-03-01t00:00:00.500000z"]

        assert said(api.post(path(context_id), json=at(*given))) == [
            "2024-02-29T23:59:59.000000Z",
            "2024-03-01T00:00:00.500000Z",
            "2024-03-01T00:00:00.500000Z",
        ]

    def test_go_on_from_the_message_before(self, api: httpx.Client, context_id: str) -> None:
        said(api.post(path(context_id), json=at("2024-01-02T00:00:00Z")))

        assert said(api.post(path(context_id), json=at("2024-01-02T00:00:00Z"))) == ["2024-01-02T00:00:00.000000Z"]
        [now] = said(api.post(path(context_id), json=at(None)))
        assert now > "2026"

    @pytest.mark.parametrize(
        ("before", "batch", "pointer"),
        [
            ("2024-01-02T00:00:00Z", ["2024-01-01T23:59:59.999999Z"], "/messages/0/createdAt"),
            (None, ["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"], "/messages/1/createdAt"),
            (None, [None, "2024-01-02T00:00:00Z"], "/messages/1/createdAt"),
            ("2024-01-02T00:00:00Z", [None, None, "2024-01-01T00:00:00Z"], "/messages/2/createdAt"),
        ],
    )
    def test_that_run_backwards_are_refused_at_their_place(
        self, api: httpx.Client, context_id: str, before: str | None, batch: list[str | None], pointer: str
    ) -> None:
        stored = len(said(api.post(path(context_id), json=at(before)))) if before else 0

        refused = api.post(path(context_id), json=at(*batch))

        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_body")
        assert [place["pointer"] for place in refused.json()["errors"]] == [pointer]
        assert latest(api, context_id) == stored

    def test_behind_messages_that_brought_none_are_refused(self, api: httpx.Client, context_id: str) -> None:
        said(api.post(path(context_id), json=at(None)))

        refused = api.post(path(context_id), json=at("2024-01-01T00:00:00Z"))

        assert refused.json()["errors"][0]["pointer"] == "/messages/0/createdAt"

    def test_in_the_future_are_refused_from_a_minute_on(self, api: httpx.Client, context_id: str) -> None:
        now = datetime.now(UTC)

        [soon] = said(api.post(path(context_id), json=at((now + timedelta(seconds=50)).isoformat())))
        refused = api.post(path(context_id), json=at((now + timedelta(seconds=75)).isoformat()))

        assert refused.json()["errors"] == [{"pointer": "/messages/0/createdAt", "detail": "must not be in the future"}]
        assert said(api.post(path(context_id), json=at(None)))[0] >= soon

    def test_never_run_backwards_even_where_the_clock_does(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        said(api.post(path(context_id), json=at(None)))
        database.execute(
            "UPDATE messages SET created_at = created_at + interval '1 hour' WHERE context_id = %s", [context_id]
        )
        database.execute("UPDATE contexts SET updated_at = updated_at + interval '1 hour' WHERE id = %s", [context_id])
        before = api.get(path(context_id)).json()["data"][0]["createdAt"]

        assert said(api.post(path(context_id), json=at(None)))[0] > before
        given = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
        mixed = api.post(path(context_id), json=at(None, given))
        assert mixed.json()["errors"][0]["pointer"] == "/messages/1/createdAt"

    @pytest.mark.parametrize(
        "bad",
        [
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:01Z",
            "2024-01-01T00:00:60Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01 00:00:00Z",
            "20240101T000000Z",
            "2024-W01-1T00:00:00Z",
            "yesterday",
            "",
            "2024-01-01T00:00:00.1234567891Z",
            1704067200,
            True,
            {},
        ],
    )
    def test_that_are_none_are_refused(self, api: httpx.Client, context_id: str, bad: Any) -> None:
        refused = api.post(path(context_id), json={"messages": [{"role": "user", "content": "x", "createdAt": bad}]})

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/messages/0/createdAt"

    def test_are_part_of_what_a_key_stands_for(self, api: httpx.Client, context_id: str) -> None:
        key = {"idempotency-key": "k"}
        first = api.post(path(context_id), json=at("2024-01-01T00:00:00Z"), headers=key)

        assert api.post(path(context_id), json=at("2024-01-01T00:00:00Z"), headers=key).content == first.content
        assert api.post(path(context_id), json=at("2024-01-02T00:00:00Z"), headers=key).status_code == 422

    def test_of_20_equal_requests_at_once_are_stored_once(self, api: httpx.Client, context_id: str) -> None:
        batch = at("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z")

        def send(_: int) -> httpx.Response:
            while True:
                answer = api.post(path(context_id), json=batch, headers={"idempotency-key": "k"})
                if answer.status_code != 503:  # all connections were busy
                    return answer

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert latest(api, context_id) == 2


class TestContextMetadata:
    def metadata(self, api: httpx.Client, context_id: str) -> Any:
        return api.get(f"{CONTEXTS}/{context_id}").json()["data"]["metadata"]

    def post(self, api: httpx.Client, context_id: str, patch: Any, key: str = "", **members: Any) -> httpx.Response:
        body = {**at(None), "contextMetadata": patch, **members}
        return api.post(path(context_id), json=body, headers={"idempotency-key": key} if key else {})

    def test_is_merged_with_the_append(self, api: httpx.Client, context_id: str) -> None:
        api.patch(f"{CONTEXTS}/{context_id}", json={"metadata": {"a": {"x": 1, "y": 2}, "b": 1}})
        etag = api.get(f"{CONTEXTS}/{context_id}").headers["etag"]

        self.post(api, context_id, {"a": {"x": None, "z": 3}, "b": None, "c": [1]})

        assert self.metadata(api, context_id) == {"a": {"y": 2, "z": 3}, "c": [1]}
        assert latest(api, context_id) == 1
        assert api.get(f"{CONTEXTS}/{context_id}").headers["etag"] != etag

    def test_of_null_is_none(self, api: httpx.Client, context_id: str) -> None:
        self.post(api, context_id, {"a": 1})

        assert self.post(api, context_id, None).status_code == 201
        assert self.metadata(api, context_id) == {"a": 1}

    def test_is_not_merged_where_the_append_is_refused(self, api: httpx.Client, context_id: str) -> None:
        assert self.post(api, context_id, {"a": 1}, expectedVersion=7).status_code == 409
        assert self.post(api, context_id, {"a": 1}, messages=[]).status_code == 400

        assert self.metadata(api, context_id) == {}

    def test_that_would_grow_too_large_stores_nothing(self, api: httpx.Client, context_id: str) -> None:
        for member in "ab":
            assert self.post(api, context_id, {member: "x" * 65_000}).status_code == 201

        refused = self.post(api, context_id, {"c": "x" * 5_000})

        assert (refused.status_code, latest(api, context_id)) == (400, 2)
        assert refused.json()["errors"][0]["pointer"] == "/contextMetadata"

    def test_of_65536_bytes_is_taken(self, api: httpx.Client, context_id: str) -> None:
        """The braces, the name, the colon and the quotes are 8 of them."""
        assert self.post(api, context_id, {"a": "x" * 65_528}).status_code == 201

    @pytest.mark.parametrize("bad", [1, "x", [], True, {"a": "\0"}, {"a": "x" * 65_529}])
    def test_that_is_no_small_object_is_refused(self, api: httpx.Client, context_id: str, bad: Any) -> None:
        refused = self.post(api, context_id, bad)

        assert (refused.status_code, latest(api, context_id)) == (400, 0)
        assert refused.json()["errors"][0]["pointer"].startswith("/contextMetadata")

    def test_is_part_of_what_a_key_stands_for(self, api: httpx.Client, context_id: str) -> None:
        first = self.post(api, context_id, {"n": 1}, "k")

        assert self.post(api, context_id, {"n": 1}, "k").content == first.content
        assert self.post(api, context_id, {"n": 2}, "k").status_code == 422
        assert api.post(path(context_id), json=at(None), headers={"idempotency-key": "k"}).status_code == 422
        assert self.metadata(api, context_id) == {"n": 1}

    def test_keeps_json_to_the_digit(self, api: httpx.Client, context_id: str) -> None:
        body = json.dumps(at(None))[:-1] + ',"contextMetadata":{"n":0.10000000000000000001}}'

        api.post(path(context_id), content=body, headers={"content-type": "application/json"})

        assert '"n": 0.10000000000000000001' in api.get(f"{CONTEXTS}/{context_id}").text
