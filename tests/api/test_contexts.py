"""Contexts: create, list, read, change, delete."""

import json
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from lib.lists import FEW
from lib.shapes import Context

PATH = "/api/v1/contexts"
JSON = {"content-type": "application/json"}


def create(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    context: dict[str, Any] = answer.json()["data"]
    return context


def everything(api: httpx.Client, **params: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    while True:
        page = api.get(PATH, params=params).json()
        found += page["data"]
        assert page["hasMore"] == (page["nextCursor"] is not None)
        if not page["hasMore"]:
            return found
        params["cursor"] = page["nextCursor"]


class TestCreate:
    def test_answers_with_the_context_and_where_it_is(self, api: httpx.Client) -> None:
        answer = api.post(PATH, json={"name": "support", "metadata": {"user": "u_1", "n": [1, {"x": None}]}})

        context = answer.json()["data"]
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{PATH}/{context['id']}"
        assert answer.headers["content-type"] == "application/json"
        assert context == {
            "id": context["id"],
            "name": "support",
            "externalId": None,
            "metadata": {"user": "u_1", "n": [1, {"x": None}]},
            "policy": {},
            "messageCount": 0,
            "totalTokens": 0,
            "latestVersion": 0,
            "parentId": None,
            "forkVersion": None,
            "createdAt": context["createdAt"],
            "updatedAt": context["createdAt"],
            "deletedAt": None,
        }

    def test_needs_neither_name_nor_metadata_nor_a_body(self, api: httpx.Client) -> None:
        for answer in (api.post(PATH), api.post(PATH, json={}), api.post(PATH, json={"name": None, "metadata": None})):
            assert answer.status_code == 201
            assert answer.json()["data"]["name"] is None
            assert answer.json()["data"]["metadata"] == {}

    def test_keeps_a_name_of_255_characters_and_refuses_256(self, api: httpx.Client) -> None:
        assert create(api, name="é" * 255)["name"] == "é" * 255

        refused = api.post(PATH, json={"name": "é" * 256})
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/name"

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": 5}, "/name"),
            ({"metadata": []}, "/metadata"),
            ({"metadata": "{}"}, "/metadata"),
            ({"nmae": "typo"}, "/nmae"),
            ({"metadata": {"a~/b": "\0"}}, "/metadata/a~0~1b"),
            ([], ""),
        ],
    )
    def test_refuses_what_is_no_context_and_points_at_it(self, api: httpx.Client, body: Any, pointer: str) -> None:
        refused = api.post(PATH, json=body)

        assert refused.status_code == 400
        assert refused.json()["code"] == "invalid_body"
        assert refused.json()["errors"][0]["pointer"] == pointer

    def test_keeps_the_digits_of_numbers_in_metadata(self, api: httpx.Client) -> None:
        digits = "0.12345678901234567890123456789"
        body = f'{{"metadata": {{"n": {digits}}}}}'

        answer = api.post(PATH, content=body, headers={"content-type": "application/json"})

        assert digits in answer.text

    def test_refuses_more_than_64_kb(self, api: httpx.Client) -> None:
        assert api.post(PATH, json={"metadata": {"x": "y" * 70_000}}).status_code == 413

    def test_matches_its_documented_model(self, api: httpx.Client) -> None:
        answer = api.post(PATH, json={"name": "n", "metadata": {"a": 1}})

        data = answer.json()["data"]
        assert list(data) == [field.alias for field in Context.model_fields.values()]
        Context.model_validate_json(answer.text[len('{"data":') : -1])


class TestRead:
    def test_answers_with_the_context(self, api: httpx.Client) -> None:
        context = create(api, name="read me")

        answer = api.get(f"{PATH}/{context['id']}")

        assert answer.status_code == 200
        assert answer.json() == {"data": context}

    def test_takes_an_id_in_upper_case_and_with_a_slash_behind(self, api: httpx.Client) -> None:
        context = create(api)

        assert api.get(f"{PATH}/{context['id'].upper()}").json()["data"] == context

    def test_takes_the_id_from_the_path_and_not_from_the_query(self, api: httpx.Client) -> None:
        context, other = create(api), create(api)

        answer = api.get(f"{PATH}/{context['id']}", params={"id": other["id"]})

        assert answer.json()["data"]["id"] == context["id"]

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        answer = api.get(f"{PATH}/{uuid4()}")

        assert answer.status_code == 404
        assert answer.json()["code"] == "context_not_found"


class TestUpdate:
    def test_renames_and_leaves_the_metadata(self, api: httpx.Client) -> None:
        context = create(api, name="old", metadata={"a": 1})

        changed = api.patch(f"{PATH}/{context['id']}", json={"name": "new"}).json()["data"]

        assert changed == {**context, "name": "new", "updatedAt": changed["updatedAt"]}
        assert changed["updatedAt"] > context["updatedAt"]
        assert api.get(f"{PATH}/{context['id']}").json()["data"] == changed

    @pytest.mark.parametrize(
        ("target", "patch", "merged"),
        [
            # Appendix A of RFC 7396, as far as it speaks of objects.
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
            ({"a": 1}, {}, {"a": 1}),
            ({"a": 1}, None, {}),
        ],
    )
    def test_merges_metadata_as_rfc_7396_says(self, api: httpx.Client, target: Any, patch: Any, merged: Any) -> None:
        context = create(api, metadata=target)

        changed = api.patch(
            f"{PATH}/{context['id']}",
            json={"metadata": patch},
            headers={"content-type": "application/merge-patch+json; charset=UTF-8"},
        )

        assert changed.json()["data"]["metadata"] == merged

    def test_stops_at_131072_bytes_of_metadata(self, api: httpx.Client) -> None:
        """A context that grew without end could one day no longer be answered, nor any list that it is in."""
        context = create(api, metadata={"a": "x" * 60_000})
        path = f"{PATH}/{context['id']}"
        assert api.patch(path, json={"metadata": {"b": "x" * 60_000}}).status_code == 200

        refused = api.patch(path, json={"metadata": {"c": "x" * 60_000}})

        assert refused.status_code == 400
        assert refused.json()["errors"] == [{"pointer": "/metadata", "detail": "would be larger than 131,072 bytes"}]
        assert set(api.get(path).json()["data"]["metadata"]) == {"a", "b"}
        refused = api.post(PATH, content=f'{{"metadata":{{"n":[{",".join(["1e308"] * 9_000)}]}}}}', headers=JSON)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/metadata")

    @pytest.mark.parametrize("number", ["1e-400", "1e-20000", "1e400", "0." + "1" * 20_000])
    def test_refuses_numbers_that_could_not_come_back(self, api: httpx.Client, number: str, context_id: str) -> None:
        body = f'{{"metadata": {{"n": {number}}}}}'

        for answer in (
            api.post(PATH, content=body, headers=JSON),
            api.patch(f"{PATH}/{context_id}", content=body, headers=JSON),
        ):
            assert answer.status_code == 400
            assert answer.json()["errors"][0]["pointer"] == "/metadata/n"
        assert api.get(PATH, params={"metadata": f'{{"n": {number}}}'}).status_code == 400

    def test_merges_thousands_of_members(self, api: httpx.Client) -> None:
        members = {f"k{n}": {"n": n} for n in range(2_500)}
        context = create(api, metadata=members)

        changed = api.patch(f"{PATH}/{context['id']}", json={"metadata": {key: {"n": None, "m": 1} for key in members}})

        assert changed.json()["data"]["metadata"] == {key: {"m": 1} for key in members}

    def test_clears_a_name_with_null(self, api: httpx.Client) -> None:
        context = create(api, name="x")

        assert api.patch(f"{PATH}/{context['id']}", json={"name": None}).json()["data"]["name"] is None

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        assert api.patch(f"{PATH}/{uuid4()}", json={}).status_code == 404


class TestIfMatch:
    def test_changes_and_deletes_only_what_the_client_has_seen(self, api: httpx.Client, context_id: str) -> None:
        path = f"{PATH}/{context_id}"
        seen = api.get(path).headers["etag"]
        renamed = api.patch(path, json={"name": "first"}, headers={"if-match": seen})
        assert renamed.status_code == 200

        for refused in (
            api.patch(path, json={"name": "second"}, headers={"if-match": seen}),
            api.delete(path, headers={"if-match": f'"other", {seen}'}),
        ):
            assert refused.status_code == 412
            assert (refused.json()["code"], refused.json()["currentVersion"]) == ("precondition_failed", 0)
        assert api.get(path).json()["data"]["name"] == "first"
        assert api.delete(path, headers={"if-match": renamed.headers["etag"]}).status_code == 200

    def test_does_not_find_an_unknown_context(self, api: httpx.Client) -> None:
        assert api.patch(f"{PATH}/{uuid4()}", json={}, headers={"if-match": '"0.0"'}).status_code == 404


class TestDelete:
    def test_answers_with_the_context_and_hides_it_on_every_route(self, api: httpx.Client) -> None:
        context = create(api, metadata={"mark": str(uuid4())})
        path = f"{PATH}/{context['id']}"

        deleted = api.delete(path)

        assert deleted.status_code == 200
        assert deleted.json()["data"]["deletedAt"] is not None
        for answer in (
            api.get(path),
            api.delete(path),
            api.patch(path, json={}),
            api.get(f"{path}/messages"),
            api.post(f"{path}/messages", json={"messages": [{"role": "user", "content": "x"}]}),
            api.get(f"{path}/window", params={"budget": 5}),
            api.get(f"{path}/compactions"),
            api.post(f"{path}/compactions", json={"throughVersion": 1, "summary": "x"}),
            api.get(f"{path}/compactions/1"),
            api.delete(f"{path}/compactions/1"),
        ):
            assert answer.status_code == 404
            assert answer.json()["code"] == "context_not_found"
        assert everything(api, metadata=f'{{"mark": "{context["metadata"]["mark"]}"}}') == []

    def test_is_a_change_at_the_same_moment(self, api: httpx.Client) -> None:
        for _ in range(50):
            deleted = api.delete(f"{PATH}/{create(api)['id']}").json()["data"]
            assert deleted["deletedAt"] == deleted["updatedAt"] > deleted["createdAt"]

    def test_deletes_no_message(self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]) -> None:
        api.post(f"{PATH}/{context_id}/messages", json={"messages": [{"role": "user", "content": "x"}]})

        api.delete(f"{PATH}/{context_id}")

        kept = database.execute("SELECT count(*) FROM messages WHERE context_id = %s", [context_id]).fetchone()
        assert kept == (1,)


class TestList:
    def test_is_newest_first_and_pages_to_the_end_without_gap_or_repeat(self, api: httpx.Client) -> None:
        mark = str(uuid4())
        created = [create(api, name=str(i), metadata={"mark": mark}) for i in range(7)]
        of_mark = f'{{"mark": "{mark}"}}'

        assert everything(api, metadata=of_mark, limit=3) == created[::-1]
        assert everything(api, metadata=of_mark, limit=3, order="asc") == created
        assert everything(api, metadata=of_mark, limit=7) == created[::-1]

    def test_without_a_filter_starts_with_the_newest(self, api: httpx.Client) -> None:
        older, newer = create(api), create(api)

        page = api.get(PATH, params={"limit": 2}).json()

        assert page["data"] == [newer, older]
        assert api.get(PATH, params={"limit": 1, "cursor": page["nextCursor"]}).json()["data"] != [older]

    def test_filters_by_contained_metadata(self, api: httpx.Client) -> None:
        mark = str(uuid4())
        match = create(api, metadata={"mark": mark, "tags": ["a", "b"], "more": {"x": 1, "y": 2}})
        create(api, metadata={"mark": mark, "tags": ["b"]})

        found = everything(api, metadata=f'{{"mark": "{mark}", "tags": ["a"], "more": {{"y": 2}}}}')

        assert found == [match]

    @pytest.mark.parametrize(
        ("params", "pointer"),
        [
            ({"limit": 0}, "/limit"),
            ({"limit": 1001}, "/limit"),
            ({"limit": "ten"}, "/limit"),
            ({"limit": "9" * 5000}, "/limit"),
            ({"limit": "\uff11"}, "/limit"),
            ({"order": "newest"}, "/order"),
            ({"cursor": ""}, "/cursor"),
            ({"cursor": "no"}, "/cursor"),
            ({"cursor": "é"}, "/cursor"),
            ({"cursor": "MjAyNi0xMS0yMC94"}, "/cursor"),
            ({"cursor": "MjAyNi0xMS0yMC8wMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA="}, None),
            ({"metadata": "[]"}, "/metadata"),
            ({"metadata": "{"}, "/metadata"),
            ({"metadata": '{"a": "\\u0000"}'}, "/metadata"),
            ({"metadata": "' OR 1=1 --"}, "/metadata"),
            ({"offset": 5}, "/offset"),
        ],
    )
    def test_refuses_a_bad_parameter_and_points_at_it(
        self, api: httpx.Client, params: dict[str, Any], pointer: str | None
    ) -> None:
        answer = api.get(PATH, params=params)

        if pointer is None:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 400
            assert answer.json()["code"] == "invalid_parameter"
            assert answer.json()["errors"][0]["pointer"] == pointer

    def test_filters_by_what_no_index_knows_some_contexts_a_page(
        self, api: httpx.Client, database: psycopg.Connection[Any]
    ) -> None:
        owner = str(uuid4())
        database.execute(
            """
            INSERT INTO contexts (metadata, created_at)
            SELECT jsonb_build_object('owner', %s::text, 'tags', CASE WHEN n %% 2100 = 0 THEN ARRAY[]::text[] END),
                '2020-01-01'::timestamptz + n * interval '1 second'
            FROM generate_series(1, 10500) AS n
            """,
            [owner],
        )
        try:
            for order in ("asc", "desc"):
                found = [
                    context
                    for context in everything(api, metadata='{"tags": [], "x": {}}', order=order, limit=3)
                    if context["metadata"].get("owner") == owner
                ]
                assert found == []
                found = everything(api, metadata='{"tags": []}', order=order, limit=3)
                assert [context["metadata"].get("owner") for context in found].count(owner) == 5
                times = [context["createdAt"] for context in found]
                assert times == sorted(times, reverse=order == "desc")
            mixed = everything(api, metadata=json.dumps({"tags": [], "owner": owner}), limit=2)
            assert len(mixed) == 5
            assert len(everything(api, metadata=json.dumps({"owner": owner}), order="asc", limit=1000)) == 10_500
            first = api.get(PATH, params={"metadata": '{"no": {}}', "order": "asc"}).json()
            assert (first["data"], first["hasMore"]) == ([], True)
        finally:
            database.execute("DELETE FROM contexts WHERE metadata ->> 'owner' = %s", [owner])

    def test_looks_at_no_more_metadata_than_a_page_should_read(
        self, api: httpx.Client, database: psycopg.Connection[Any]
    ) -> None:
        owner = str(uuid4())
        database.execute(
            """
            INSERT INTO contexts (metadata, created_at)
            SELECT jsonb_build_object('owner', %s::text, 'tags', ARRAY[]::text[], 'noise', (
                    SELECT string_agg(md5(m::text || n), '') FROM generate_series(1, 1900) AS m
                )), '2019-01-01'::timestamptz + n * interval '1 second'
            FROM generate_series(1, 300) AS n
            """,
            [owner],
        )
        try:
            first = api.get(PATH, params={"metadata": '{"no": {}}', "order": "asc"}).json()
            assert (first["data"], first["hasMore"]) == ([], True)
            found = everything(api, metadata='{"tags": []}', order="asc", limit=1000)
            assert [context["metadata"].get("owner") for context in found].count(owner) == 300
        finally:
            database.execute("DELETE FROM contexts WHERE metadata ->> 'owner' = %s", [owner])

    @pytest.mark.parametrize("few", [FEW, FEW + 1])
    def test_shows_all_that_match_whichever_way_they_are_found(
        self, api: httpx.Client, database: psycopg.Connection[Any], few: int
    ) -> None:
        owner = str(uuid4())
        database.execute(
            """
            INSERT INTO contexts (metadata, created_at)
            SELECT jsonb_build_object('owner', %s::text), '2018-01-01'::timestamptz + n * interval '1 second'
            FROM generate_series(1, %s) AS n
            """,
            [owner, few],
        )
        try:
            found = everything(api, metadata=json.dumps({"owner": owner}), order="asc", limit=999)
            assert len({context["id"] for context in found}) == len(found) == few
        finally:
            database.execute("DELETE FROM contexts WHERE metadata ->> 'owner' = %s", [owner])

    def test_without_a_value_to_filter_by_shows_all(self, api: httpx.Client) -> None:
        create(api)

        assert api.get(PATH, params={"metadata": "{}"}).content == api.get(PATH).content

    def test_ends_a_page_before_the_platforms_limit(self, api: httpx.Client) -> None:
        mark = str(uuid4())
        for _ in range(75):
            create(api, metadata={"mark": mark, "filler": "x" * 64_000})

        page = api.get(PATH, params={"limit": 75, "metadata": f'{{"mark": "{mark}"}}'})

        assert len(page.content) < 4_500_000
        assert page.json()["hasMore"]
        assert len(everything(api, limit=75, metadata=f'{{"mark": "{mark}"}}')) == 75
