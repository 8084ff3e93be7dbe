"""Retries and races: what is sent twice is stored once, and a writer can say which version it has seen."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

CONTEXTS = "/api/v1/contexts"


def path(context_id: str) -> str:
    return f"{CONTEXTS}/{context_id}/messages"


def body(*contents: str, **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents], **members}


def post(api: httpx.Client, url: str, json: Any, **headers: str) -> httpx.Response:
    return api.post(url, json=json, headers={name.replace("_", "-"): value for name, value in headers.items()})


def latest(api: httpx.Client, context_id: str) -> int:
    version: int = api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"]
    return version


class TestIdempotentAppend:
    def test_again_gets_the_first_answer_and_stores_nothing(self, api: httpx.Client, context_id: str) -> None:
        first = post(api, path(context_id), body("a", "b"), idempotency_key="k")
        post(api, path(context_id), body("c"))
        again = post(api, path(context_id), body("a", "b"), idempotency_key="k")

        assert (first.status_code, again.status_code) == (201, 201)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content
        assert again.headers["etag"] == first.headers["etag"] == '"2"'
        assert latest(api, context_id) == 3

    def test_in_flight_50_times_at_once_stores_one_batch(self, api: httpx.Client, context_id: str) -> None:
        def send(_: int) -> httpx.Response:
            while True:
                answer = api.post(
                    path(context_id), json=body("a", "b"), headers={"Idempotency-Key": "same"}, timeout=60
                )
                if answer.status_code != 503:  # all connections were busy
                    return answer

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(send, range(50)))

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
        assert latest(api, context_id) == 2

    def test_is_the_same_payload_however_it_is_written(self, api: httpx.Client, context_id: str) -> None:
        headers = {"idempotency-key": "k", "content-type": "application/json"}
        first = api.post(path(context_id), content='{"messages":[{"role":"user","content":"é"}]}', headers=headers)
        again = api.post(
            path(context_id), content='{ "messages": [ {"content": "\\u00e9", "role": "user"} ] }', headers=headers
        )

        assert again.content == first.content

    def test_with_another_payload_is_refused(self, api: httpx.Client, context_id: str) -> None:
        post(api, path(context_id), body("a"), idempotency_key="k")

        refused = post(api, path(context_id), body("b"), idempotency_key="k")

        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_key_reused"
        assert latest(api, context_id) == 1

    def test_in_another_context_is_another_key(self, api: httpx.Client, context_id: str) -> None:
        other = api.post(CONTEXTS).json()["data"]["id"]

        for context in (context_id, other):
            assert "idempotent-replayed" not in post(api, path(context), body("a"), idempotency_key="k").headers

    def test_looks_at_the_key_before_the_version(self, api: httpx.Client, context_id: str) -> None:
        first = post(api, path(context_id), body("a", expectedVersion=0), idempotency_key="k")

        for again in (
            post(api, path(context_id), body("a", expectedVersion=0), idempotency_key="k"),
            post(api, path(context_id), body("a", expectedVersion=1), idempotency_key="k"),
            post(api, path(context_id), body("a"), idempotency_key="k", if_match='"0"'),
        ):
            assert (again.status_code, again.content) == (201, first.content)

    def test_that_stored_nothing_claims_no_key(self, api: httpx.Client, context_id: str) -> None:
        assert post(api, path(context_id), body("a", expectedVersion=5), idempotency_key="k").status_code == 409
        assert post(api, path(context_id), body("b"), idempotency_key="k").status_code == 201

    def test_to_a_deleted_context_does_not_find_it(self, api: httpx.Client, context_id: str) -> None:
        post(api, path(context_id), body("a"), idempotency_key="k")
        api.delete(f"{CONTEXTS}/{context_id}")

        assert post(api, path(context_id), body("a"), idempotency_key="k").status_code == 404

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
    def test_with_an_unfit_key_is_refused(self, api: httpx.Client, context_id: str, key: str) -> None:
        refused = api.post(path(context_id), json=body("a"), headers=[(b"idempotency-key", key.encode())])

        assert refused.status_code == 400
        assert refused.json()["code"] == "invalid_header"

    def test_keeps_a_batch_of_1000(self, api: httpx.Client, context_id: str) -> None:
        batch = body(*map(str, range(1000)))
        first = post(api, path(context_id), batch, idempotency_key="k")

        assert post(api, path(context_id), batch, idempotency_key="k").content == first.content


class TestIdempotentCreate:
    def test_again_gets_the_first_answer(self, api: httpx.Client) -> None:
        key, new = str(uuid4()), {"name": "once", "metadata": {"a": 1}}
        first = post(api, CONTEXTS, new, idempotency_key=key)
        created = first.json()["data"]
        api.patch(f"{CONTEXTS}/{created['id']}", json={"name": "renamed"})
        post(api, path(created["id"]), body("a"))

        again = post(api, CONTEXTS, new, idempotency_key=key)

        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]

    def test_at_once_makes_one_context(self, api: httpx.Client) -> None:
        key = str(uuid4())

        def send(_: int) -> httpx.Response:
            return api.post(CONTEXTS, json={"name": "x"}, headers={"Idempotency-Key": key}, timeout=60)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1

    def test_tells_payloads_apart_by_the_digits_that_are_stored(self, api: httpx.Client) -> None:
        headers = {"idempotency-key": str(uuid4()), "content-type": "application/json"}
        first = api.post(CONTEXTS, content='{"metadata":{"n":0.1}}', headers=headers)

        refused = api.post(CONTEXTS, content='{"metadata":{"n":0.10000000000000000001}}', headers=headers)

        assert (first.status_code, refused.status_code) == (201, 422)

    def test_of_the_release_before_is_answered_from_the_body(
        self, api: httpx.Client, database: psycopg.Connection[Any]
    ) -> None:
        """It kept no answers."""
        key, new = str(uuid4()), {"name": "once", "externalId": f"e {uuid4()}", "metadata": {"a": 1}}
        first = post(api, CONTEXTS, new, idempotency_key=key)
        database.execute("UPDATE context_keys SET answer = NULL WHERE key = %s", [key])

        again = post(api, CONTEXTS, new, idempotency_key=key)

        assert (again.status_code, again.content) == (201, first.content)

    def test_with_another_payload_is_refused(self, api: httpx.Client) -> None:
        key = str(uuid4())
        post(api, CONTEXTS, {"name": "a"}, idempotency_key=key)

        assert post(api, CONTEXTS, {"name": "b"}, idempotency_key=key).status_code == 422


class TestExpectedVersion:
    def test_stores_at_that_version_only(self, api: httpx.Client, context_id: str) -> None:
        assert post(api, path(context_id), body("a", expectedVersion=0)).status_code == 201

        refused = post(api, path(context_id), body("b", expectedVersion=0))

        problem = refused.json()
        assert refused.status_code == 409
        assert (problem["code"], problem["currentVersion"]) == ("version_conflict", 1)
        assert post(api, path(context_id), body("b", expectedVersion=1)).status_code == 201

    def test_lets_one_of_20_writers_win(self, api: httpx.Client, context_id: str) -> None:
        def send(writer: int) -> httpx.Response:
            while True:
                answer = api.post(path(context_id), json=body(str(writer), expectedVersion=0), timeout=60)
                if answer.status_code != 503:
                    return answer

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, range(20)))

        losers = [answer for answer in answers if answer.status_code == 409]
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
        assert {answer.json()["currentVersion"] for answer in losers} == {1}
        assert latest(api, context_id) == 1

    @pytest.mark.parametrize("version", [-1, "0", 0.5, True, 2**63])
    def test_that_is_none_is_refused(self, api: httpx.Client, context_id: str, version: Any) -> None:
        refused = post(api, path(context_id), body("a", expectedVersion=version))

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["pointer"] == "/expectedVersion"


class TestExpectedExternalId:
    @pytest.fixture
    def session(self, api: httpx.Client) -> tuple[str, str]:
        external_id = str(uuid4())
        context_id: str = api.post("/api/v1/contexts", json={"externalId": external_id}).json()["data"]["id"]
        return context_id, external_id

    @pytest.mark.parametrize("format_", [None, "openai-chat"])
    def test_stores_only_where_the_context_still_has_it(
        self, api: httpx.Client, session: tuple[str, str], format_: str | None
    ) -> None:
        context_id, external_id = session
        said = body("a", expectedExternalId=external_id, format=format_)
        assert post(api, path(context_id), said, **{"Idempotency-Key": "k"}).status_code == 201
        api.post(f"/api/v1/contexts/{context_id}/forks", json={"moveExternalId": True})

        refused = post(api, path(context_id), said)

        assert (refused.status_code, refused.json()["code"]) == (409, "external_id_missing")
        assert post(api, path(context_id), said, **{"Idempotency-Key": "k"}).headers["idempotent-replayed"] == "true"
        assert latest(api, context_id) == 1

    def test_is_looked_at_before_the_version(self, api: httpx.Client, session: tuple[str, str]) -> None:
        context_id, external_id = session
        other = post(api, path(context_id), body("a", expectedVersion=7, expectedExternalId=f"{external_id}x"))
        same = post(api, path(context_id), body("a", expectedVersion=7, expectedExternalId=external_id))

        assert other.json()["code"] == "external_id_missing"
        assert same.json()["code"] == "version_conflict"

    def test_of_a_context_without_one_is_refused(self, api: httpx.Client, context_id: str) -> None:
        refused = post(api, path(context_id), body("a", expectedExternalId="e"))

        assert refused.json()["code"] == "external_id_missing"


class TestIfMatch:
    def test_takes_the_etag_of_any_read(self, api: httpx.Client, context_id: str) -> None:
        for read in ("", "/messages", "/window?budget=10"):
            etag = api.get(f"{CONTEXTS}/{context_id}{read}").headers["etag"]
            stored = post(api, path(context_id), body("a"), if_match=etag)
            assert stored.status_code == 201

            refused = post(api, path(context_id), body("a"), if_match=etag)
            assert refused.status_code == 412
            assert refused.json()["code"] == "precondition_failed"
            assert refused.json()["currentVersion"] == latest(api, context_id)

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("*", 201),
            ('"0"', 201),
            ('"7", "0"', 201),
            (', "7" ,,"0",', 201),
            ('"0.1795203659988022"', 201),
            ('W/"0"', 412),
            ('W/"7", "0"', 201),
            ('"x"', 412),
            ("0", 412),
            ("", 412),
            ('"00"', 412),
            ('x"0"y', 412),
            ('"7" "0"', 412),
            ('"7";"0"', 412),
            ('"0', 412),
            ('"0.x"', 412),
        ],
    )
    def test_is_read_as_rfc_9110_says(self, api: httpx.Client, context_id: str, header: str, status: int) -> None:
        assert post(api, path(context_id), body("a"), if_match=header).status_code == status

    def test_and_expected_version_must_both_hold(self, api: httpx.Client, context_id: str) -> None:
        for if_match, expected_version in (('"0"', 1), ('"1"', 0)):
            refused = post(api, path(context_id), body("a", expectedVersion=expected_version), if_match=if_match)
            assert refused.status_code == 412
        assert post(api, path(context_id), body("a", expectedVersion=0), if_match='"0"').status_code == 201


class TestIfNoneMatch:
    @pytest.mark.parametrize("read", ["", "/messages", "/messages?at=1", "/window?budget=10", "/window?budget=10&at=1"])
    def test_is_304_until_something_changes(self, api: httpx.Client, context_id: str, read: str) -> None:
        post(api, path(context_id), body("a", "b"))
        url = f"{CONTEXTS}/{context_id}{read}"
        first = api.get(url)

        for seen in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", {first.headers["etag"]}', "*"):
            again = api.get(url, headers={"if-none-match": seen})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
        assert api.head(url, headers={"if-none-match": first.headers["etag"]}).status_code == 304

        post(api, path(context_id), body("c"))
        changed = api.get(url, headers={"if-none-match": first.headers["etag"]})
        assert changed.status_code == (304 if "at=" in read else 200)

    def test_sees_a_context_renamed(self, api: httpx.Client, context_id: str) -> None:
        etag = api.get(f"{CONTEXTS}/{context_id}").headers["etag"]
        renamed = api.patch(f"{CONTEXTS}/{context_id}", json={"name": "new"})

        assert renamed.headers["etag"] != etag
        assert api.get(f"{CONTEXTS}/{context_id}", headers={"if-none-match": etag}).status_code == 200


class TestWindowETag:
    """`"version"` while nothing else counts, then `"version.N"`: N moves with all that changes windows beside messages.

    N's last three digits are those of whoever wrote the messages' shape, which is ours: 000.
    """

    def etag(self, api: httpx.Client, context_id: str, **params: Any) -> str:
        """The window's; it must be 304 with itself."""
        url, params = f"{CONTEXTS}/{context_id}/window", {"budget": 10, **params}
        etag: str = api.get(url, params=params).headers["etag"]
        assert api.get(url, params=params, headers={"if-none-match": etag}).status_code == 304
        return etag

    def test_is_the_version_while_only_messages_count(self, api: httpx.Client, context_id: str) -> None:
        assert self.etag(api, context_id) == '"0"'
        post(api, path(context_id), body("a", "b"))
        assert self.etag(api, context_id) == '"2"'
        assert self.etag(api, context_id, at=1) == '"1"'
        assert self.etag(api, context_id, include="figures") == '"2"'

    def test_moves_with_policies_and_compactions_made_and_undone(self, api: httpx.Client, context_id: str) -> None:
        context, compactions = f"{CONTEXTS}/{context_id}", f"{CONTEXTS}/{context_id}/compactions"
        post(api, path(context_id), body("a", "b", "c"))
        compaction = {"throughVersion": 2, "summary": "s"}
        seen = [self.etag(api, context_id)]
        changes: list[Callable[[], httpx.Response]] = [
            lambda: api.patch(context, json={"policy": {"step": 1}}),
            lambda: api.post(compactions, json=compaction),
            lambda: api.delete(f"{compactions}/1"),
            lambda: api.post(compactions, json=compaction),
            lambda: post(api, path(context_id), body("d")),
            lambda: api.patch(context, json={"policy": None}),
            lambda: api.delete(f"{compactions}/2"),
        ]
        for change in changes:
            assert change().status_code in {200, 201}
            etag = self.etag(api, context_id)
            assert etag not in seen
            for older in seen:
                url = f"{context}/window?budget=10"
                assert api.get(url, headers={"if-none-match": older}).status_code == 200
            seen.append(etag)

        assert seen[0] == '"3"'
        assert all(re.fullmatch(r'"[34]\.[1-9][0-9]*000"', etag) for etag in seen[1:])
        assert [etag.startswith('"4.') for etag in seen[1:]] == [False] * 4 + [True] * 3

    def test_of_the_past_moves_with_them_as_well(self, api: httpx.Client, context_id: str) -> None:
        post(api, path(context_id), body("a", "b"))
        before = self.etag(api, context_id, at=1)
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"keepRequest": True}})

        after = self.etag(api, context_id, at=1)

        assert before == '"1"'
        assert re.fullmatch(r'"1\.[1-9][0-9]*000"', after)

    def test_stays_with_what_changes_no_window(self, api: httpx.Client, context_id: str) -> None:
        context, compactions = f"{CONTEXTS}/{context_id}", f"{CONTEXTS}/{context_id}/compactions"
        post(api, path(context_id), body("a", "b", "c"))
        api.patch(context, json={"policy": {"step": 1}})
        compaction = {"throughVersion": 2, "summary": "s", "expectedNumber": 0}
        assert post(api, compactions, compaction, idempotency_key="k").status_code == 201
        api.delete(f"{compactions}/1")
        etag = self.etag(api, context_id)

        for unchanged, status in (
            (api.patch(context, json={"name": "n", "metadata": {"a": 1}}), 200),
            (api.patch(context, json={"externalId": str(uuid4())}), 200),
            (api.patch(context, json={"policy": {"step": -1}}), 400),
            (api.patch(context, json={"policy": {"step": 2}}, headers={"if-match": '"x"'}), 412),
            (post(api, compactions, compaction, idempotency_key="k"), 201),
            (api.post(compactions, json={**compaction, "expectedNumber": 1}), 409),
            (api.post(compactions, json={**compaction, "throughVersion": 4}), 400),
            (api.delete(f"{compactions}/1"), 200),
            (api.delete(f"{compactions}/2"), 404),
        ):
            assert unchanged.status_code == status
            assert self.etag(api, context_id) == etag

    def test_is_not_that_of_messages_and_contexts(self, api: httpx.Client, context_id: str) -> None:
        """Pages show neither policies nor compactions."""
        post(api, path(context_id), body("a", "b"))
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"step": 1}})
        api.post(f"{CONTEXTS}/{context_id}/compactions", json={"throughVersion": 1, "summary": "s"})

        assert api.get(path(context_id)).headers["etag"] == '"2"'
        assert api.get(f"{CONTEXTS}/{context_id}").headers["etag"] != self.etag(api, context_id)

    def test_in_if_match_of_an_append_is_its_version_in_either_form(self, api: httpx.Client, context_id: str) -> None:
        plain = self.etag(api, context_id)
        assert post(api, path(context_id), body("a"), if_match=plain).status_code == 201
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"step": 1}})
        numbered = self.etag(api, context_id)
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"step": 2}})

        assert post(api, path(context_id), body("b"), if_match='"1"').status_code == 201
        for stale in (plain, numbered, '"1"'):
            refused = post(api, path(context_id), body("c"), if_match=stale)
            assert (refused.status_code, refused.json()["currentVersion"]) == (412, 2)
        # A change of the policy alone does not stop an append.
        now = self.etag(api, context_id)
        api.patch(f"{CONTEXTS}/{context_id}", json={"policy": {"step": 3}})
        assert post(api, path(context_id), body("c"), if_match=now).status_code == 201


class TestCutConnections:
    def test_between_commit_and_answer_are_made_good_by_a_retry(
        self, api: httpx.Client, context_id: str, database: psycopg.Connection[Any]
    ) -> None:
        """The commit is held until the client has gone away, and so is the answer."""
        with psycopg.connect(database.info.dsn, autocommit=True) as holder, holder.transaction():
            holder.execute("SELECT FROM contexts WHERE id = %s FOR UPDATE", [context_id])
            with pytest.raises(httpx.ReadTimeout):
                api.post(path(context_id), json=body("a"), headers={"idempotency-key": "k"}, timeout=0.3)

        again = post(api, path(context_id), body("a"), idempotency_key="k")

        assert again.status_code == 201
        assert latest(api, context_id) == 1
        assert again.json()["data"][0]["version"] == 1
