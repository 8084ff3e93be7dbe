"""Contexts by the caller's own id: unique among those that are not deleted."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

CONTEXTS = "/api/v1/contexts"


@pytest.fixture
def external_id() -> str:
    return f"session {uuid4()}"


def post(api: httpx.Client, external_id: str | None, key: str | None = None, **members: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post(CONTEXTS, json={"externalId": external_id, **members}, headers=headers)


def found(api: httpx.Client, external_id: str, **params: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = api.get(CONTEXTS, params={"externalId": external_id, **params}).json()["data"]
    return data


class TestGetOrCreate:
    def test_makes_a_context_and_then_gets_it_unchanged(self, api: httpx.Client, external_id: str) -> None:
        first = post(api, external_id, name="one", metadata={"a": 1})
        second = post(api, external_id, name="two", metadata={"b": 2})

        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["data"]["externalId"] == external_id
        assert second.json() == first.json()
        assert second.headers["location"] == first.headers["location"]
        assert second.headers["etag"] == first.headers["etag"]

    def test_gets_it_as_it_is_now(self, api: httpx.Client, external_id: str) -> None:
        path = post(api, external_id).headers["location"]
        api.post(f"{path}/messages", json={"messages": [{"role": "user", "content": "x"}]})

        again = post(api, external_id)

        assert again.json()["data"]["latestVersion"] == 1
        assert again.headers["etag"] == api.get(path).headers["etag"]

    def test_50_times_at_once_makes_one(self, api: httpx.Client, external_id: str) -> None:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: post(api, external_id), range(50)))

        served = [answer for answer in answers if answer.status_code != 503]
        assert {answer.status_code for answer in served} == {200, 201}
        assert sum(answer.status_code == 201 for answer in served) == 1
        assert len({answer.json()["data"]["id"] for answer in served}) == 1

    def test_50_times_at_once_with_one_key_makes_one_and_replays_it(self, api: httpx.Client, external_id: str) -> None:
        key = str(uuid4())
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: post(api, external_id, key), range(50)))

        served = [answer for answer in answers if answer.status_code != 503]
        assert {answer.status_code for answer in served} == {201}
        assert sum("idempotent-replayed" not in answer.headers for answer in served) == 1
        assert len({answer.content for answer in served}) == 1

    def test_claims_the_key_only_where_it_makes_a_context(self, api: httpx.Client, external_id: str) -> None:
        key = str(uuid4())
        post(api, external_id)

        assert post(api, external_id, key, name="found").status_code == 200
        assert post(api, f"{external_id} b", key, name="new").status_code == 201

    def test_replays_the_first_answer_even_when_another_context_has_the_id_now(
        self, api: httpx.Client, external_id: str
    ) -> None:
        key = str(uuid4())
        first = post(api, external_id, key)
        api.delete(first.headers["location"])
        second = post(api, external_id)

        again = post(api, external_id, key)

        assert second.status_code == 201
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content

    def test_of_a_deleted_context_makes_another(self, api: httpx.Client, external_id: str) -> None:
        first = post(api, external_id)
        api.delete(first.headers["location"])

        second = post(api, external_id)

        assert second.status_code == 201
        assert second.json()["data"]["id"] != first.json()["data"]["id"]

    def test_without_one_makes_a_context_each_time(self, api: httpx.Client) -> None:
        answers = [post(api, None), post(api, None)]

        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json()["data"]["externalId"] is None

    @pytest.mark.parametrize("name", ["x" * 255, "😀" * 255, " ", "a/b?c=d#e%", "null", "\n", "'; --", "É", "é"])
    def test_takes_any_text_to_the_letter(self, api: httpx.Client, external_id: str, name: str) -> None:
        given = (name + external_id)[:255] if len(name) < 255 else name
        if earlier := found(api, given):
            api.delete(f"{CONTEXTS}/{earlier[0]['id']}")

        context = post(api, given).json()["data"]

        assert context["externalId"] == given
        assert found(api, given) == [context]

    @pytest.mark.parametrize("bad", ["", "x" * 256, "\0", "a\0b", 7, True, ["x"], {}])
    def test_refuses_what_is_none_and_makes_nothing(
        self, api: httpx.Client, bad: Any, database: psycopg.Connection[Any]
    ) -> None:
        before = database.execute("SELECT count(*) FROM contexts").fetchall()

        refused = post(api, bad)

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/externalId"
        assert database.execute("SELECT count(*) FROM contexts").fetchall() == before


class TestFilter:
    def test_finds_the_living_one(self, api: httpx.Client, external_id: str) -> None:
        post(api, f"{external_id} other")
        context = post(api, external_id, metadata={"a": 1}).json()["data"]

        assert found(api, external_id) == [context]
        assert found(api, external_id, metadata='{"a": 1}') == [context]
        assert found(api, external_id, metadata='{"a": 2}') == []
        assert found(api, external_id.upper()) == []
        api.delete(f"{CONTEXTS}/{context['id']}")
        assert found(api, external_id) == []

    @pytest.mark.parametrize("bad", ["", "x" * 256, "\0"])
    def test_refuses_what_is_none(self, api: httpx.Client, bad: str) -> None:
        refused = api.get(CONTEXTS, params={"externalId": bad})

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/externalId"


class TestPatch:
    def test_sets_changes_and_clears_it(self, api: httpx.Client, external_id: str) -> None:
        path = post(api, None).headers["location"]

        for given in (external_id, f"{external_id} b", f"{external_id} b", None):
            assert api.patch(path, json={"externalId": given}).json()["data"]["externalId"] == given
        assert found(api, external_id) == found(api, f"{external_id} b") == []

    def test_leaves_it_alone_where_it_is_absent(self, api: httpx.Client, external_id: str) -> None:
        path = post(api, external_id).headers["location"]

        assert api.patch(path, json={"name": "n"}).json()["data"]["externalId"] == external_id

    def test_to_one_that_is_taken_is_refused_and_changes_nothing(self, api: httpx.Client, external_id: str) -> None:
        post(api, external_id)
        path = post(api, None).headers["location"]
        before = api.get(path)

        refused = api.patch(path, json={"externalId": external_id, "name": "n"})

        assert (refused.status_code, refused.json()["code"]) == (409, "external_id_taken")
        assert api.get(path).content == before.content

    def test_of_20_to_one_id_at_once_lets_one_have_it(self, api: httpx.Client, external_id: str) -> None:
        paths = [post(api, None).headers["location"] for _ in range(20)]

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda path: api.patch(path, json={"externalId": external_id}), paths))

        assert sorted(answer.status_code for answer in answers) == [200, *[409] * 19]


class TestTake:
    def test_takes_another_contexts_in_the_same_moment(self, api: httpx.Client, external_id: str) -> None:
        holder = post(api, external_id).json()["data"]
        other = api.post(CONTEXTS, json={}).json()["data"]
        taking = {"takeExternalIdFrom": {"contextId": holder["id"], "expectedVersion": 0}, "name": "n"}

        taken = api.patch(f"{CONTEXTS}/{other['id']}", json=taking)

        assert (taken.json()["data"]["externalId"], taken.json()["data"]["name"]) == (external_id, "n")
        assert api.get(f"{CONTEXTS}/{holder['id']}").json()["data"]["externalId"] is None
        assert [row["id"] for row in found(api, external_id)] == [other["id"]]

    def test_takes_none_where_it_may_not_and_changes_nothing(self, api: httpx.Client, external_id: str) -> None:
        holder, other, nameless = (post(api, name).json()["data"] for name in (external_id, f"{external_id}2", None))

        def take(holder_id: str, headers: dict[str, str] | None = None, **members: Any) -> tuple[int, str]:
            taking = {"takeExternalIdFrom": {"contextId": holder_id, **members}, "name": "n"}
            answer = api.patch(f"{CONTEXTS}/{other['id']}", json=taking, headers=headers)
            return answer.status_code, answer.json()["code"]

        assert take(nameless["id"]) == (409, "external_id_missing")
        assert take(other["id"]) == (409, "external_id_missing")
        assert take(str(uuid4())) == (409, "external_id_missing")
        assert take(holder["id"], expectedVersion=1) == (409, "version_conflict")
        assert take(holder["id"], {"If-Match": '"7"'}) == (412, "precondition_failed")
        assert take("x") == (400, "invalid_body")
        assert take(holder["id"], expectedVersion=-1) == (400, "invalid_body")
        both = {"takeExternalIdFrom": {"contextId": holder["id"]}, "externalId": "e"}
        assert api.patch(f"{CONTEXTS}/{other['id']}", json=both).json()["errors"][0]["pointer"] == "/takeExternalIdFrom"
        unknown = api.patch(f"{CONTEXTS}/{uuid4()}", json={"takeExternalIdFrom": {"contextId": holder["id"]}})
        assert unknown.json()["code"] == "context_not_found"
        for row in (holder, other):
            assert api.get(f"{CONTEXTS}/{row['id']}").json()["data"] == row

    def test_of_20_who_take_it_from_one_another_one_has_it(self, api: httpx.Client, external_id: str) -> None:
        ids = [post(api, external_id).json()["data"]["id"]]
        ids += [api.post(CONTEXTS, json={}).json()["data"]["id"] for _ in range(19)]

        def take(number: int) -> int:
            taking = {"takeExternalIdFrom": {"contextId": ids[number * 7 % 20]}}
            return api.patch(f"{CONTEXTS}/{ids[number]}", json=taking).status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(take, [*range(20), *range(20)]))

        assert set(statuses) <= {200, 409, 503}
        assert len(found(api, external_id)) == 1


class TestDatabase:
    def test_holds_it_unique_whatever_writes(
        self, api: httpx.Client, external_id: str, database: psycopg.Connection[Any]
    ) -> None:
        post(api, external_id)

        with pytest.raises(psycopg.errors.UniqueViolation):
            database.execute("INSERT INTO contexts (external_id) VALUES (%s)", [external_id])
        for bad in ("", "x" * 256):
            with pytest.raises(psycopg.errors.CheckViolation):
                database.execute("INSERT INTO contexts (external_id) VALUES (%s)", [bad])
