"""Forks: contexts that share another's history up to a version, without copying it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from lib.shapes import Context

CONTEXTS = "/api/v1/contexts"
MAX_ANCESTORS = 256

type Row = dict[str, Any]


def said(*contents: str, role: str = "user", **members: Any) -> list[Row]:
    return [{"role": role, "content": content, "tokenCount": 10, **members} for content in contents]


def call(call_id: str) -> Row:
    function = {"name": "f", "arguments": "{}"}
    return {"role": "assistant", "toolCalls": [{"id": call_id, "type": "function", "function": function}]}


def answer(call_id: str) -> Row:
    return {"role": "tool", "content": "x", "toolCallId": call_id}


def create(api: httpx.Client, **members: Any) -> str:
    made = api.post(CONTEXTS, json=members)
    assert made.status_code == 201, made.text
    location: str = made.headers["location"]
    return location


def append(api: httpx.Client, path: str, messages: list[Row], **headers: str) -> list[Row]:
    stored = api.post(f"{path}/messages", json={"messages": messages}, headers=headers)
    assert stored.status_code == 201, stored.text
    rows: list[Row] = stored.json()["data"]
    return rows


def ask(api: httpx.Client, path: str, key: str = "", **members: Any) -> httpx.Response:
    """The answer to a request for a fork; all connections may be busy for a moment."""
    while True:
        answered = api.post(f"{path}/forks", json=members, headers={"idempotency-key": key} if key else {})
        if answered.status_code != 503:
            return answered


def fork(api: httpx.Client, path: str, **members: Any) -> str:
    """The path of a new fork."""
    made = ask(api, path, **members)
    assert made.status_code == 201, made.text
    location: str = made.headers["location"]
    return location


def read(api: httpx.Client, path: str, **parameters: Any) -> Any:
    found = api.get(path, params=parameters)
    assert found.status_code == 200, found.text
    return found.json()


def contents(api: httpx.Client, path: str, **parameters: Any) -> list[Any]:
    return [row["content"] for row in read(api, f"{path}/messages", **parameters)["data"]]


def windowed(api: httpx.Client, path: str, **parameters: Any) -> list[Any]:
    return [row["content"] for row in read(api, f"{path}/window", **{"budget": 10_000, **parameters})["data"]]


def identifier(path: str) -> str:
    return path.rpartition("/")[2]


def refused(answered: httpx.Response, status: int, code: str) -> Row:
    problem: Row = answered.json()
    assert (answered.status_code, problem["code"]) == (status, code), answered.text
    return problem


@pytest.fixture
def parent(api: httpx.Client) -> str:
    """The path of a context of five messages, of 10 tokens each."""
    path = create(api, name="parent", metadata={"a": 1}, policy={"budget": 30})
    append(api, path, said("1", "2", "3", "4", "5"))
    return path


class TestFork:
    def test_is_a_context_with_the_history_up_to_a_version(self, api: httpx.Client, parent: str) -> None:
        made = ask(api, parent, version=3)

        child = made.json()["data"]
        assert made.status_code == 201
        assert made.headers["location"] == f"{CONTEXTS}/{child['id']}"
        assert made.headers["etag"] == api.get(made.headers["location"]).headers["etag"]
        assert read(api, made.headers["location"])["data"] == child
        Context.model_validate_json(made.text.removeprefix('{"data":').removesuffix("}"), strict=False)
        assert child["parentId"] == identifier(parent)
        assert [child[name] for name in ("forkVersion", "latestVersion", "messageCount", "totalTokens")] == [
            3,
            3,
            3,
            30,
        ]
        assert (child["name"], child["externalId"], child["deletedAt"]) == (None, None, None)
        assert (child["metadata"], child["policy"]) == ({"a": 1}, {"budget": 30})
        assert contents(api, made.headers["location"]) == ["1", "2", "3"]

    def test_is_of_the_latest_version_where_none_is_given(self, api: httpx.Client, parent: str) -> None:
        assert ask(api, parent).json()["data"]["forkVersion"] == 5
        assert ask(api, parent, version=None).json()["data"]["forkVersion"] == 5

    def test_needs_no_body(self, api: httpx.Client, parent: str) -> None:
        assert api.post(f"{parent}/forks").json()["data"]["forkVersion"] == 5

    def test_at_0_shares_nothing(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent, version=0)

        assert read(api, child)["data"]["totalTokens"] == 0
        assert contents(api, child) == windowed(api, child) == []
        assert append(api, child, said("a"))[0]["version"] == 1

    def test_takes_what_it_is_given_instead_of_the_parents(self, api: httpx.Client, parent: str) -> None:
        given: Row = {"name": "n", "metadata": {"b": 2}, "policy": {"step": 5}, "externalId": str(uuid4())}

        child = ask(api, parent, **given).json()["data"]

        assert {name: child[name] for name in given} == given

    def test_takes_a_policy_as_a_whole(self, api: httpx.Client, parent: str) -> None:
        for given, kept in (({"step": 5}, {"step": 5}), ({}, {}), (None, {"budget": 30})):
            assert ask(api, parent, policy=given).json()["data"]["policy"] == kept

    def test_goes_its_own_way(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent, version=3)

        appended = append(api, child, said("a", "b"))
        append(api, parent, said("6"))

        assert [(row["version"], row["contextId"]) for row in appended] == [
            (4, identifier(child)),
            (5, identifier(child)),
        ]
        assert contents(api, child) == ["1", "2", "3", "a", "b"]
        assert contents(api, parent) == ["1", "2", "3", "4", "5", "6"]
        assert read(api, child)["data"]["totalTokens"] == 50
        api.patch(parent, json={"policy": {"budget": 10}, "metadata": {"a": 9}})
        assert read(api, child)["data"]["policy"] == {"budget": 30}
        assert read(api, child)["data"]["metadata"] == {"a": 1}

    def test_moves_the_external_id(self, api: httpx.Client) -> None:
        external_id = str(uuid4())
        path = create(api, externalId=external_id)

        child = fork(api, path, moveExternalId=True)

        assert read(api, child)["data"]["externalId"] == external_id
        assert read(api, path)["data"]["externalId"] is None
        [found] = read(api, CONTEXTS, externalId=external_id)["data"]
        assert found["id"] == identifier(child)

    def test_is_made_where_the_parent_is_at_the_expected_version(self, api: httpx.Client, parent: str) -> None:
        latest = read(api, parent)["data"]["latestVersion"]

        assert ask(api, parent, version=2, expectedVersion=latest).status_code == 201
        problem = refused(ask(api, parent, version=2, expectedVersion=latest - 1), 409, "version_conflict")
        assert problem["currentVersion"] == latest
        refused(ask(api, parent, version=latest + 1, expectedVersion=latest + 1), 409, "version_conflict")
        assert len(read(api, f"{parent}/forks")["data"]) == 1

    def test_moving_the_external_id_changes_the_parents_etag(self, api: httpx.Client) -> None:
        path = create(api, externalId=str(uuid4()))
        before = api.get(path).headers["etag"]

        fork(api, path, moveExternalId=True)

        assert api.get(path).headers["etag"] != before

    def test_outlives_its_parent(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent, version=4)
        append(api, child, said("a"))
        grandchild = fork(api, child)

        api.delete(parent)
        api.delete(child)

        assert contents(api, grandchild) == windowed(api, grandchild) == ["1", "2", "3", "4", "a"]
        assert contents(api, fork(api, grandchild, version=2)) == ["1", "2"]

    def test_keeps_times_in_order_whatever_the_clock_says(self, api: httpx.Client) -> None:
        path = create(api)
        ahead = (datetime.now(UTC) + timedelta(seconds=50)).isoformat()
        append(api, path, said("1", createdAt=ahead))
        child = fork(api, path)

        append(api, child, said("2"))
        [first, second] = read(api, f"{child}/messages")["data"]

        assert first["createdAt"] < second["createdAt"]
        assert first["createdAt"] <= read(api, child)["data"]["updatedAt"]

    def test_refuses_a_time_before_the_shared_ones(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent)
        early = {"messages": said("a", createdAt="2020-01-01T00:00:00Z")}

        problem = refused(api.post(f"{child}/messages", json=early), 400, "invalid_body")

        assert problem["errors"] == [
            {"pointer": "/messages/0/createdAt", "detail": "must not be before the message before it"}
        ]


class TestRetries:
    def test_again_gets_the_first_answer_whatever_has_come_since(self, api: httpx.Client, parent: str) -> None:
        key = str(uuid4())
        first = ask(api, parent, key, version=2)
        append(api, first.headers["location"], said("a"))
        for path in (parent, first.headers["location"]):
            api.delete(path)

        again = ask(api, parent, key, version=2)

        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content
        for name in ("etag", "location"):
            assert again.headers[name] == first.headers[name]

    def test_50_at_once_make_one_fork(self, api: httpx.Client, parent: str) -> None:
        key = str(uuid4())
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: ask(api, parent, key), range(50)))

        assert {answered.status_code for answered in answers} == {201}
        assert len({answered.content for answered in answers}) == 1
        assert sum("idempotent-replayed" in answered.headers for answered in answers) == 49
        assert len(read(api, f"{parent}/forks")["data"]) == 1

    @pytest.mark.parametrize("moves", [True, False])
    def test_50_at_once_take_an_external_id_once(self, api: httpx.Client, moves: bool) -> None:
        external_id, key = str(uuid4()), str(uuid4())
        path = create(api, externalId=external_id if moves else str(uuid4()))
        members: Row = {"moveExternalId": True} if moves else {"externalId": external_id}
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: ask(api, path, key, **members), range(50)))

        assert {answered.status_code for answered in answers} == {201}
        assert len({answered.content for answered in answers}) == 1
        assert answers[0].json()["data"]["externalId"] == external_id

    def test_a_key_is_of_one_parent_and_of_forks_alone(self, api: httpx.Client, parent: str) -> None:
        key = str(uuid4())
        ask(api, parent, key)

        refused(ask(api, create(api), key), 422, "idempotency_key_reused")
        refused(ask(api, parent, key, version=1), 422, "idempotency_key_reused")
        refused(api.post(CONTEXTS, json={}, headers={"idempotency-key": key}), 422, "idempotency_key_reused")
        other = str(uuid4())
        api.post(CONTEXTS, json={}, headers={"idempotency-key": other})
        refused(ask(api, parent, other), 422, "idempotency_key_reused")

    def test_appends_are_replayed_through_the_lineage(self, api: httpx.Client, parent: str) -> None:
        first = append(api, parent, said("a", "b"), **{"idempotency-key": "k"})
        child = fork(api, parent, version=6)

        # A key belongs to its context, so it is a new one in the fork.
        own = append(api, child, said("a", "b"), **{"idempotency-key": "k"})
        append(api, child, said("c"))
        append(api, parent, said("c"))

        assert append(api, parent, said("a", "b"), **{"idempotency-key": "k"}) == first
        assert append(api, child, said("a", "b"), **{"idempotency-key": "k"}) == own
        assert [row["version"] for row in own] == [7, 8]


class TestRaces:
    def test_of_20_who_move_an_external_id_one_does(self, api: httpx.Client) -> None:
        path = create(api, externalId=str(uuid4()))
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: ask(api, path, moveExternalId=True), range(20)))

        assert sorted(answered.status_code for answered in answers) == [201] + 19 * [409]
        assert len(read(api, f"{path}/forks")["data"]) == 1

    def test_one_that_takes_the_external_id_back_by_a_version_loses_no_append(self, api: httpx.Client) -> None:
        external_id = str(uuid4())
        create(api, externalId=external_id)

        def where() -> Row:
            found: Row = read(api, CONTEXTS, externalId=external_id)["data"][0]
            return found

        def say(text: str) -> int:
            body = {"messages": said(text), "expectedExternalId": external_id}
            while (status := api.post(f"{CONTEXTS}/{where()['id']}/messages", json=body).status_code) == 409:
                pass
            return status

        def pop() -> str:
            while True:
                found = where()
                path, latest = f"{CONTEXTS}/{found['id']}", found["latestVersion"]
                body = {"version": latest - 1, "expectedVersion": latest, "moveExternalId": True}
                if latest and ask(api, path, **body).status_code == 201:
                    [row] = read(api, f"{path}/messages", cursor=latest - 1, at=latest)["data"]
                    return str(row["content"])

        with ThreadPoolExecutor(8) as pool:
            appends = [pool.submit(say, str(number)) for number in range(30)]
            taken = [future.result() for future in [pool.submit(pop) for _ in range(20)]]
            assert [future.result() for future in appends] == [201] * 30

        left = contents(api, f"{CONTEXTS}/{where()['id']}")
        assert sorted([*left, *taken]) == sorted(str(number) for number in range(30))

    def test_with_appends_and_changes_it_is_at_the_version_that_it_names(self, api: httpx.Client, parent: str) -> None:
        with ThreadPoolExecutor(12) as pool:
            appends = [
                pool.submit(lambda n: api.post(f"{parent}/messages", json={"messages": said(f"n{n}", "m")}), n)
                for n in range(60)
            ]
            patches = [pool.submit(lambda: api.patch(parent, json={"policy": {"step": 1}})) for _ in range(20)]
            forks = [pool.submit(ask, api, parent) for _ in range(60)]
            answers = [future.result() for future in forks]
            assert {future.result().status_code for future in [*appends, *patches]} <= {200, 201, 503}
        history = contents(api, parent, limit=1000)

        for answered in answers:
            child = answered.json()["data"]
            assert contents(api, f"{CONTEXTS}/{child['id']}", limit=1000) == history[: child["forkVersion"]]
            assert child["totalTokens"] == 10 * child["forkVersion"] == 10 * child["messageCount"]

    def test_with_a_deletion_it_is_made_before_or_not_at_all(self, api: httpx.Client, parent: str) -> None:
        with ThreadPoolExecutor(12) as pool:
            forks = [pool.submit(ask, api, parent) for _ in range(30)]
            pool.submit(api.delete, parent)
            forks += [pool.submit(ask, api, parent) for _ in range(30)]
            answers = [future.result() for future in forks]

        assert {answered.status_code for answered in answers} <= {201, 404}
        for answered in answers:
            if answered.status_code == 201:
                assert contents(api, answered.headers["location"]) == ["1", "2", "3", "4", "5"]


@pytest.fixture
def lineage(api: httpx.Client, parent: str) -> str:
    """The path of a fork of a fork: 1 to 3 of the parent, a to c of its fork, then its own x to z."""
    child = fork(api, parent, version=3)
    append(api, child, said("a", "b", "c", "d"))
    path = fork(api, child, version=6)
    append(api, path, said("x", "y", "z"))
    return path


HISTORY = ["1", "2", "3", "a", "b", "c", "x", "y", "z"]


class TestReads:
    @pytest.mark.parametrize("limit", [1, 2, 4, 9, 50])
    def test_pages_in_both_orders_from_any_cursor(self, api: httpx.Client, lineage: str, limit: int) -> None:
        for cursor in range(11):
            forwards = contents(api, lineage, cursor=cursor, limit=limit)
            assert forwards == HISTORY[cursor:][:limit]
            backwards = contents(api, lineage, cursor=cursor, limit=limit, order="desc")
            assert backwards == HISTORY[: max(cursor - 1, 0)][::-1][:limit]

    def test_as_it_was_at_each_version(self, api: httpx.Client, lineage: str) -> None:
        for at in range(10):
            assert contents(api, lineage, at=at) == contents(api, lineage, at=at, order="desc")[::-1] == HISTORY[:at]
            assert windowed(api, lineage, at=at) == HISTORY[:at]
            assert windowed(api, lineage, at=at, budget=40) == HISTORY[:at][-4:]

    def test_as_it_was_at_a_time(self, api: httpx.Client, lineage: str) -> None:
        rows = read(api, f"{lineage}/messages")["data"]
        for version in (3, 6, 9):
            time = rows[version - 1]["createdAt"]
            assert contents(api, lineage, at=time) == windowed(api, lineage, at=time) == HISTORY[:version]
        assert contents(api, lineage, at="2020-01-01T00:00:00Z") == []

    def test_at_its_version_it_is_what_its_parent_was(self, api: httpx.Client, lineage: str) -> None:
        parent = f"{CONTEXTS}/{read(api, lineage)['data']['parentId']}"
        compacted(api, parent, 2, "made behind it")
        for policy in ({}, {"keepRequest": "true", "step": 10}, {"clearToolResults": 5}, {"compactionDue": "0.5,10"}):
            asked = {"budget": 35, "at": 6, **policy}
            assert read(api, f"{lineage}/window", **asked) == read(api, f"{parent}/window", **asked)

    def test_messages_name_the_context_that_they_were_appended_to(self, api: httpx.Client, lineage: str) -> None:
        rows = read(api, f"{lineage}/messages")["data"]

        child = read(api, lineage)["data"]["parentId"]
        grandparent = read(api, f"{CONTEXTS}/{child}")["data"]["parentId"]
        assert [row["contextId"] for row in rows] == 3 * [grandparent] + 3 * [child] + 3 * [identifier(lineage)]
        assert [row["version"] for row in rows] == list(range(1, 10))

    def test_head_and_run_come_from_wherever_they_are(self, api: httpx.Client) -> None:
        path = create(api)
        append(api, path, [*said("system", role="system"), *said("request"), *said("1", role="assistant")])
        child = fork(api, path)
        append(api, child, said("2", "3", role="assistant"))
        path = fork(api, child)
        append(api, path, said("4", role="assistant"))

        shown = windowed(api, path, budget=40, keepPreamble="true", keepRequest="true")

        assert shown == ["system", "request", "3", "4"]

    def test_a_compaction_is_due_as_in_a_context_with_the_same_messages(self, api: httpx.Client) -> None:
        shared = [*said("1"), {**call("a"), "tokenCount": 10}, {**answer("a"), "tokenCount": 10}]
        own = [{**answer("a"), "tokenCount": 10}, *said("5", "6")]
        parent = create(api)
        append(api, parent, shared)
        path = fork(api, parent)
        append(api, path, own)
        # Where the fork goes on with a tool message its parent has one that a compaction could end before.
        append(api, parent, said("another 4"))
        flat = create(api)
        append(api, flat, [*shared, *own])

        dues = [
            [read(api, f"{each}/window", budget=60, compactionDue=f"0.1,{keep}")["compactionDue"] for keep in range(60)]
            for each in (path, flat)
        ]

        assert dues[0] == dues[1]
        assert len({due["throughVersion"] for due in dues[0] if due}) > 2

    def test_a_preamble_goes_on_in_a_fork(self, api: httpx.Client) -> None:
        path = create(api)
        append(api, path, said("s1", "s2", role="system"))
        child = fork(api, path, version=1)
        append(api, child, [*said("t2", role="system"), *said("1", "2", "3")])

        assert windowed(api, child, budget=30, keepPreamble="true") == ["s1", "t2", "3"]

    def test_an_answer_finds_its_call_in_the_lineage(self, api: httpx.Client) -> None:
        path = create(api)
        append(api, path, [*said("1"), call("a"), call("b")])
        child = fork(api, path)
        grandchild = fork(api, child)

        # By the trigger, and by the statement for more than one; a call behind the fork's version is none of its own.
        append(api, path, [call("c")])
        append(api, grandchild, [answer("b")])
        append(api, grandchild, [answer("a"), answer("c"), call("d"), answer("d")])

        shown = read(api, f"{grandchild}/window", budget=1000)
        assert [row["toolCallId"] for row in shown["data"]] == [None, None, None, "b", "a", None, "d"]
        assert shown["pendingCalls"] == []
        assert read(api, f"{child}/window", budget=1000)["pendingCalls"] == ["a", "b"]

    def test_a_fork_inside_a_unit_has_a_pending_call(self, api: httpx.Client) -> None:
        path = create(api)
        append(api, path, [call("a"), answer("a"), *said("1")])

        assert read(api, f"{fork(api, path, version=1)}/window", budget=1000)["pendingCalls"] == ["a"]

    def test_bytes_end_pages_and_windows(self, api: httpx.Client) -> None:
        path = create(api)
        large = "x" * 1_500_000
        append(api, path, said(large))
        append(api, path, said(large))
        child = fork(api, path)
        append(api, child, said(large))

        assert len(contents(api, child)) == len(contents(api, child, order="desc")) == 2
        assert read(api, f"{child}/window", budget=1000, include="figures")["firstVersion"] == 2

    def test_an_ancestor_that_owns_nothing_of_it_is_passed_over(
        self, api: httpx.Client, parent: str, database: psycopg.Connection[Any]
    ) -> None:
        empty = fork(api, parent, version=4)
        append(api, empty, said("a"))
        path = fork(api, fork(api, empty, version=4), version=2)

        [(ancestors,)] = database.execute("SELECT ancestor_ids FROM contexts WHERE id = %s", [identifier(path)])

        assert [str(ancestor) for ancestor in ancestors] == [identifier(parent)]
        assert contents(api, path) == ["1", "2"]

    def test_is_256_levels_deep_at_most(self, api: httpx.Client) -> None:
        path = create(api)
        for level in range(MAX_ANCESTORS):
            append(api, path, said(str(level)))
            path = fork(api, path)
        append(api, path, said("last"))

        problem = refused(ask(api, path), 409, "fork_too_deep")

        assert "new context" in problem["detail"]
        history = [*map(str, range(MAX_ANCESTORS)), "last"]
        assert contents(api, path, limit=1000) == windowed(api, path) == history
        assert windowed(api, path, at=100, budget=50) == history[95:100]
        # What it shares with an ancestor can be forked, and so can itself before its own messages.
        assert contents(api, fork(api, path, version=256), cursor=250) == history[250:256]
        assert read(api, f"{path}/forks")["data"][0]["forkVersion"] == 256


def compact(api: httpx.Client, path: str, through: int, summary: str, **members: Any) -> httpx.Response:
    body = {"throughVersion": through, "summary": summary, "tokenCount": 1, **members}
    return api.post(f"{path}/compactions", json=body)


def compacted(api: httpx.Client, path: str, through: int, summary: str, **members: Any) -> Row:
    made = compact(api, path, through, summary, **members)
    assert made.status_code == 201, made.text
    compaction: Row = made.json()["data"]
    return compaction


class TestCompactions:
    def test_of_the_parent_count_and_the_forks_own_numbers_go_on(self, api: httpx.Client, parent: str) -> None:
        compacted(api, parent, 2, "p1")
        child = fork(api, parent)

        assert windowed(api, child) == ["p1", "3", "4", "5"]
        own = compacted(api, child, 4, "c2")

        assert (own["number"], own["basedOn"], own["contextId"]) == (2, 1, identifier(child))
        assert windowed(api, child) == ["c2", "5"]
        assert [row["summary"] for row in read(api, f"{child}/compactions")["data"]] == ["c2", "p1"]
        assert [row["summary"] for row in read(api, f"{child}/compactions", limit=1, cursor=2)["data"]] == ["p1"]
        assert read(api, f"{child}/compactions/1")["data"]["contextId"] == identifier(parent)
        assert windowed(api, parent) == ["p1", "3", "4", "5"]

    def test_that_a_parent_makes_later_are_not_seen(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent)

        compacted(api, parent, 2, "p1")

        assert windowed(api, child) == ["1", "2", "3", "4", "5"]
        assert read(api, f"{child}/compactions")["data"] == []
        refused(api.get(f"{child}/compactions/1"), 404, "compaction_not_found")
        assert compacted(api, child, 3, "c1")["number"] == 1

    def test_made_behind_the_version_of_the_fork_are_not_seen(self, api: httpx.Client, parent: str) -> None:
        compacted(api, parent, 2, "p1")
        append(api, parent, said("6"))
        compacted(api, parent, 4, "p2")

        child = fork(api, parent, version=5)
        append(api, child, said("a", "b"))

        assert windowed(api, child) == ["p1", "3", "4", "5", "a", "b"]
        assert [row["number"] for row in read(api, f"{child}/compactions")["data"]] == [1]
        assert compacted(api, child, 3, "c2")["number"] == 2

    def test_of_a_fork_without_messages_are_seen_in_its_forks(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent)
        compacted(api, child, 3, "c1")

        grandchild = fork(api, child)

        assert windowed(api, grandchild) == ["c1", "4", "5"]
        assert windowed(api, fork(api, grandchild)) == ["c1", "4", "5"]
        assert windowed(api, fork(api, child, version=4)) == ["1", "2", "3", "4"]

    def test_the_furthest_of_a_lineage_is_in_force(self, api: httpx.Client, parent: str) -> None:
        compacted(api, parent, 4, "p1")
        child = fork(api, parent)
        compacted(api, child, 2, "c2")

        assert windowed(api, child) == ["p1", "5"]
        assert windowed(api, fork(api, child)) == ["p1", "5"]
        assert compacted(api, child, 4, "c3", expectedNumber=1)["number"] == 3
        assert windowed(api, child) == ["c3", "5"]
        refused(compact(api, child, 5, "c4", expectedNumber=1), 409, "compaction_conflict")

    def test_are_undone_by_their_owner_alone_and_for_all_who_see_them(self, api: httpx.Client, parent: str) -> None:
        compacted(api, parent, 2, "p1")
        child = fork(api, parent)
        grandchild = fork(api, child)
        append(api, grandchild, said("a"))
        before = [api.get(f"{path}/window", params={"budget": 1000}).headers["etag"] for path in (child, grandchild)]

        refused(api.delete(f"{grandchild}/compactions/1"), 409, "compaction_not_owned")
        assert windowed(api, grandchild) == ["p1", "3", "4", "5", "a"]
        assert api.delete(f"{parent}/compactions/1").status_code == 200

        assert windowed(api, grandchild) == ["1", "2", "3", "4", "5", "a"]
        after = [api.get(f"{path}/window", params={"budget": 1000}).headers["etag"] for path in (child, grandchild)]
        assert not set(before) & set(after)
        assert [row["undoneAt"] is None for row in read(api, f"{child}/compactions")["data"]] == [False]
        refused(api.delete(f"{child}/compactions/1"), 409, "compaction_not_owned")
        refused(api.delete(f"{child}/compactions/2"), 404, "compaction_not_found")

    def test_reach_what_is_shared_only_at_the_end_of_a_unit(self, api: httpx.Client) -> None:
        path = create(api)
        append(api, path, [*said("1"), call("a")])
        child = fork(api, path)
        append(api, child, [answer("a"), *said("2")])

        problem = refused(compact(api, child, 2, "s"), 400, "invalid_body")

        assert "the nearest to it are 1 and 3" in problem["errors"][0]["detail"]
        assert compacted(api, child, 3, "s")["throughVersion"] == 3
        assert windowed(api, child) == ["s", "2"]


class TestLists:
    def test_has_the_forks_of_a_context_newest_first(self, api: httpx.Client, parent: str) -> None:
        made = [identifier(fork(api, parent, version=version)) for version in range(5)]
        fork(api, f"{CONTEXTS}/{made[0]}")

        def ids(**parameters: Any) -> list[str]:
            return [row["id"] for row in read(api, f"{parent}/forks", **parameters)["data"]]

        assert ids() == made[::-1]
        assert ids(order="asc") == made
        first = read(api, f"{parent}/forks", limit=2)
        assert first["hasMore"]
        assert ids(limit=2) + ids(limit=3, cursor=first["nextCursor"]) == made[::-1]

    def test_a_deleted_fork_is_in_none(self, api: httpx.Client, parent: str) -> None:
        api.delete(fork(api, parent))

        assert read(api, f"{parent}/forks")["data"] == []

    def test_names_the_context_that_was_asked(self, api: httpx.Client, parent: str) -> None:
        child = fork(api, parent)
        grandchild = fork(api, child, version=2)

        assert read(api, grandchild)["data"]["parentId"] == identifier(child)
        assert [row["id"] for row in read(api, f"{child}/forks")["data"]] == [identifier(grandchild)]

    @pytest.mark.parametrize("more", [{}, {"metadata": '{"k": [KEY]}'}, {"metadata": '{"e": []}'}])
    def test_contexts_by_their_parent(self, api: httpx.Client, more: Row) -> None:
        key = str(uuid4())
        metadata = {"k": [key], "e": []}
        path = create(api, metadata=metadata)
        children = [identifier(fork(api, path)) for _ in range(3)]
        fork(api, path, metadata={})
        filters = {name: value.replace("KEY", f'"{key}"') for name, value in more.items()}

        def ids(parent_id: str) -> list[str]:
            return [row["id"] for row in read(api, CONTEXTS, parentId=parent_id, limit=1000, **filters)["data"]]

        assert [row for row in ids(identifier(path)) if row in children] == children[::-1]
        assert len(ids(identifier(path))) == (3 if more else 4)
        assert identifier(path) in ids("none")
        assert not set(children) & set(ids("none"))
        api.delete(path)
        assert set(children) <= set(ids(identifier(path)))

    def test_contexts_by_their_external_id_and_parent(self, api: httpx.Client, parent: str) -> None:
        external_id = str(uuid4())
        child = fork(api, parent, externalId=external_id)

        for parent_id, found in ((identifier(parent), 1), ("none", 0), (identifier(child), 0)):
            assert len(read(api, CONTEXTS, externalId=external_id, parentId=parent_id)["data"]) == found


class TestProblems:
    @pytest.mark.parametrize(
        ("body", "pointer", "detail"),
        [
            ({"version": 6}, "/version", "must be a version from 0 to the latest, which is 5"),
            ({"version": 2**63 - 1}, "/version", "must be a version from 0 to the latest, which is 5"),
            ({"version": 2**63}, "/version", "input should be less than or equal to 9223372036854775807"),
            ({"version": -1}, "/version", "input should be greater than or equal to 0"),
            ({"version": "3"}, "/version", "input should be a valid integer"),
            ({"version": "2026-11-21T09:30:00Z"}, "/version", "input should be a valid integer"),
            ({"version": 1.5}, "/version", "input should be a valid integer"),
            ({"at": 1}, "/at", "is unknown here"),
            ({"policy": {"budget": 0}}, "/policy/budget", "input should be greater than or equal to 1"),
            ({"name": "n" * 256}, "/name", "string should have at most 255 characters"),
            (
                {"externalId": "e", "moveExternalId": True},
                "/moveExternalId",
                "must not be true where externalId is given",
            ),
        ],
        ids=str,
    )
    def test_what_is_wrong_in_a_body_is_named(
        self, api: httpx.Client, parent: str, body: Row, pointer: str, detail: str
    ) -> None:
        problem = refused(api.post(f"{parent}/forks", json=body), 400, "invalid_body")

        assert problem["errors"] == [{"pointer": pointer, "detail": detail}]
        assert read(api, f"{parent}/forks")["data"] == []

    def test_metadata_that_grows_too_large_is_refused(self, api: httpx.Client, parent: str) -> None:
        body = {"metadata": {"numbers": [1e300] * 500}}

        problem = refused(api.post(f"{parent}/forks", json=body), 400, "invalid_body")

        assert problem["errors"] == [{"pointer": "/metadata", "detail": "would be larger than 131,072 bytes"}]

    @pytest.mark.parametrize("ask_", [ask, lambda api, path: api.get(f"{path}/forks")])
    def test_an_unknown_or_deleted_parent_has_none(
        self, api: httpx.Client, parent: str, ask_: Callable[[httpx.Client, str], httpx.Response]
    ) -> None:
        api.delete(parent)

        refused(ask_(api, parent), 404, "context_not_found")
        refused(ask_(api, f"{CONTEXTS}/{uuid4()}"), 404, "context_not_found")
        refused(ask_(api, f"{CONTEXTS}/none"), 400, "invalid_id")

    def test_an_external_id_that_is_taken_or_missing_is_a_conflict(self, api: httpx.Client, parent: str) -> None:
        external_id = str(uuid4())
        create(api, externalId=external_id)

        refused(ask(api, parent, externalId=external_id), 409, "external_id_taken")
        refused(ask(api, parent, moveExternalId=True), 409, "external_id_missing")
        assert read(api, f"{parent}/forks")["data"] == []

    def test_a_refused_fork_leaves_the_external_id(self, api: httpx.Client) -> None:
        external_id = str(uuid4())
        path = create(api, externalId=external_id)

        refused(ask(api, path, version=1, moveExternalId=True), 400, "invalid_body")

        assert read(api, path)["data"]["externalId"] == external_id

    @pytest.mark.parametrize("value", ["x", "", "None", str(uuid4()).replace("-", "")])
    def test_a_filter_that_is_no_id_is_refused(self, api: httpx.Client, value: str) -> None:
        answered = api.get(CONTEXTS, params={"parentId": value})

        problem = refused(answered, 400, "invalid_parameter")
        assert problem["errors"] == [{"pointer": "/parentId", "detail": "must be the id of a context, or none"}]

    def test_a_page_of_forks_takes_no_other_filter(self, api: httpx.Client, parent: str) -> None:
        refused(api.get(f"{parent}/forks", params={"parentId": "none"}), 400, "invalid_parameter")

    def test_a_cursor_that_is_none_is_refused(self, api: httpx.Client, parent: str) -> None:
        refused(api.get(f"{parent}/forks", params={"cursor": "x"}), 400, "invalid_parameter")
