"""Migrations 0014 and 0015 expand: what releases before append to a fork is right, and none of their reads fails.

They show of a fork its own messages alone. Forks are made over HTTP, and those releases' statements run beside it.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, batched
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.errors import CheckViolation
from psycopg.types.json import Jsonb

from lib import forks, messages, windows
from tests.scripts import release_before, release_before_forks
from tests.scripts.test_expansion import (
    HISTORIES,
    TOKENS,
    Connection,
    Schema,
    body_of,
    definition,
    message,
    standing_at,
)

Run = Callable[[Awaitable[Any]], Any]

each_release = pytest.mark.parametrize("release", [release_before, release_before_forks], ids=["0007", "0013"])


def append(
    conn: Connection, release: ModuleType, context_id: str, history: str, size: int = 1_000, **given: Any
) -> None:
    """Appends messages as a release before does, size at a time; given is what it sends besides."""
    for batch in batched(history.split(), size):
        tokens = [TOKENS] * len(batch)
        parameters = {
            "context_id": context_id,
            "body": body_of(batch),
            "count": len(batch),
            "tokens": sum(tokens),
            "token_counts": tokens,
            "running_tokens": list(accumulate(tokens)),
            **dict.fromkeys(["created_at", "first_given", "newest", "expected_versions", "key", "fingerprint"]),
            **answered([message(word) for word in batch]),
            **given,
        }
        conn.execute(release.APPEND[False].encode(), parameters)


def answered(batch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the release of migration 0013 sends of the calls that a batch answers: those in it, and those before."""
    positions: list[int | None] = []
    call_ids: list[str | None] = []
    made: dict[str, int] = {}
    for position, sent in enumerate(batch, 1):
        call_id = sent.get("toolCallId")
        positions.append(None if call_id is None else made.get(call_id))
        call_ids.append(None if positions[-1] else call_id)
        made.update((call["id"], position) for call in sent.get("toolCalls", ()))
    searched = len(batch) - call_ids.count(None)
    return {"answered": positions if any(positions) else None, "call_ids": call_ids if searched > 1 else None}


def fork(api: httpx.Client, parent: str, version: int) -> str:
    answer = api.post(f"/api/v1/contexts/{parent}/forks", json={"version": version})
    assert answer.status_code == 201, answer.text
    fork_id: str = answer.json()["data"]["id"]
    return fork_id


def lineage(
    api: httpx.Client, conn: Connection, release: ModuleType, root: str, history: str, *, size: int = 1_000
) -> str:
    """The third of a lineage to each of which a release has appended a third of a history.

    The first two have more behind what they share: calls of every id.
    """
    words = history.split()
    ids = {call_id for word in words for call_id in word[1:].split(",") if call_id}
    context_id, third = root, len(words) // 3
    for first, last in ((0, third), (third, 2 * third)):
        append(conn, release, context_id, " ".join(words[first:last]), size)
        child = fork(api, context_id, last)
        append(conn, release, context_id, f"+{','.join(ids)} " * 3)
        context_id = child
    append(conn, release, context_id, " ".join(words[2 * third :]), size)
    return context_id


def make(conn: Connection, context_id: str, through: int, expected: int | None = None) -> dict[str, Any]:
    """A compaction that the release of migration 0013 makes."""
    parameters = {
        "context_id": context_id,
        "body": "{}",
        "through_version": through,
        "summary": "second",
        "role": "user",
        "token_count": 1,
        "expected_number": expected,
        "key": None,
        "fingerprint": None,
    }
    [[_, text, _]] = conn.execute(release_before_forks.MAKE.encode(), parameters).fetchall()
    made: dict[str, Any] = json.loads(text)
    return made


class TestAppends:
    @each_release
    @pytest.mark.parametrize("size", [1, 2, 1_000])
    @pytest.mark.parametrize("name", HISTORIES)
    def test_to_a_fork_are_as_if_it_had_the_whole_history(
        self, *, api: httpx.Client, database: Connection, context_id: str, release: ModuleType, size: int, name: str
    ) -> None:
        """Versions and sums go on, and answers find their calls through the lineage and nowhere beside it."""
        last = lineage(api, database, release, context_id, HISTORIES[name], size=size)

        own = database.execute(
            "SELECT version, call_version, cumulative_tokens, metadata_bytes, octet_length(metadata::text) AS bytes"
            " FROM messages WHERE context_id = %s ORDER BY version",
            [last],
        ).fetchall()
        expected = definition(HISTORIES[name])
        assert [(version, call, tokens) for version, call, tokens, *_ in own] == [
            (version, call, TOKENS * version) for version, call in enumerate(expected, 1)
        ][len(expected) // 3 * 2 :]
        assert all(stored == (None if call is None else bytes_) for _, call, _, stored, bytes_ in own)
        context = api.get(f"/api/v1/contexts/{last}").json()["data"]
        assert {context["messageCount"], context["latestVersion"], context["totalTokens"] // TOKENS} == {len(expected)}

    @each_release
    def test_are_at_no_time_before_what_the_fork_shares(
        self, api: httpx.Client, database: Connection, context_id: str, release: ModuleType
    ) -> None:
        """Which a client's clock may have put ahead of ours."""
        ahead = datetime.now(UTC) + timedelta(seconds=50)
        sent = {"role": "user", "content": "hello", "createdAt": ahead.isoformat()}
        assert api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": [sent]}).is_success
        child = fork(api, context_id, 1)

        def at(moment: datetime) -> dict[str, Any]:
            return {"created_at": [moment], "first_given": moment, "newest": moment}

        with pytest.raises(CheckViolation) as refusal:
            append(database, release, child, ".", **at(ahead - timedelta(microseconds=1)))
        assert refusal.value.diag.constraint_name == "messages_created_at_check"
        append(database, release, child, ".", **at(ahead))
        append(database, release, child, ".")

        page = api.get(f"/api/v1/contexts/{child}/messages").json()["data"]
        times = [datetime.fromisoformat(shown["createdAt"]) for shown in page]
        assert times[:2] == [ahead, ahead]
        assert times[2] > ahead


class TestReads:
    """Of a fork of a fork that has nine messages, of which it owns the last three."""

    HISTORY = ". +a . +b,c -b . -a . -c"

    @each_release
    @pytest.mark.parametrize(
        ("order", "cursor", "at", "shown"),
        [
            ("asc", 0, None, [7, 8, 9]),
            ("asc", 7, None, [8, 9]),
            ("asc", 0, 8, [7, 8]),
            ("asc", 0, 5, []),
            ("desc", None, None, [9, 8, 7]),
            ("desc", 8, None, [7]),
            ("desc", 4, None, []),
            ("desc", None, 0, []),
        ],
    )
    def test_of_pages_show_its_own_messages(
        self,
        *,
        api: httpx.Client,
        database: Connection,
        context_id: str,
        release: ModuleType,
        order: str,
        cursor: int,
        at: int,
        shown: list[int],
    ) -> None:
        last = lineage(api, database, release, context_id, self.HISTORY)
        parameters = {"context_id": last, "cursor": cursor, "limit": 100, "at": at, "at_time": None}

        rows = database.execute(release.PAGE[order].encode(), parameters).fetchall()

        # A row of version 0 says that the context is there.
        assert [(row[0], row[1]) for row in rows] == [(9, version) for version in shown or [0]]

    @each_release
    @pytest.mark.parametrize("version", [6, 9])
    @pytest.mark.parametrize("at", [None, 0, 3, 6])
    @pytest.mark.parametrize(
        "policy",
        [
            {"budget": 10_000},
            {"budget": 1},
            {"budget": 4 * TOKENS, "keepPreamble": True, "keepRequest": True, "startOn": "user", "step": TOKENS},
            {
                "budget": 4 * TOKENS,
                "clearToolResults": {"keepTokens": TOKENS},
                "compactionDue": {"threshold": 0.1, "keepTokens": TOKENS},
            },
        ],
    )
    def test_of_windows_show_its_own_messages(
        self,
        *,
        api: httpx.Client,
        database: Connection,
        context_id: str,
        release: ModuleType,
        version: int,
        at: int | None,
        policy: dict[str, Any],
    ) -> None:
        """And none where it has none."""
        last = lineage(api, database, release, context_id, " ".join(self.HISTORY.split()[:version]))
        child = fork(api, last, version)
        parameters = {"budget": policy["budget"], "at": at, "at_time": None}
        parameters |= {"bare": False, "overrides": Jsonb(policy), "content": True}
        statement = release.WINDOW[at is not None] if release is release_before else release.WINDOW

        for of_context, own in ((last, range(2 * version // 3 + 1, version + 1)), (child, range(0))):
            rows = database.execute(statement.encode(), parameters | {"context_id": of_context}).fetchall()
            seen = {row[0] for row in rows} - {0}
            assert rows
            assert seen <= set(own)
            assert at is not None or not own or version in seen


class TestCompactions:
    @pytest.fixture
    def last(self, api: httpx.Client, database: Connection, context_id: str) -> str:
        """A fork of a fork that has a compaction up to version 1, in three pieces: `. +a`, `-a .` and `+b -b`."""
        append(database, release_before_forks, context_id, ". +a")
        child = fork(api, context_id, 2)
        append(database, release_before_forks, child, "-a .")
        made = api.post(f"/api/v1/contexts/{child}/compactions", json={"throughVersion": 1, "summary": "first"})
        assert made.status_code == 201
        last = fork(api, child, 4)
        append(database, release_before_forks, last, "+b -b")
        return last

    def test_that_are_made_on_a_fork_go_on_from_those_that_it_sees(
        self, api: httpx.Client, database: Connection, last: str
    ) -> None:
        """Up to a unit that the fork shares, or the end of one of its own."""
        for number, through in ((2, 3), (3, 6)):
            made = make(database, last, through, expected=number - 1)

            assert made["number"] == number
            assert made["basedOn"] == number - 1
            assert made["madeAtVersion"] == 6
            window = api.get(f"/api/v1/contexts/{last}/window", params={"budget": 1_000}).json()
            assert window["compaction"] == {"number": number, "throughVersion": through}
        listed = api.get(f"/api/v1/contexts/{last}/compactions").json()["data"]
        assert [(made["number"], made["contextId"] == last) for made in listed] == [(3, True), (2, True), (1, False)]

    @pytest.mark.parametrize(
        ("through", "expected", "constraint"),
        [
            (2, None, "compactions_through_version_check"),
            (5, None, "compactions_through_version_check"),
            (7, None, "compactions_through_version_check"),
            (3, 0, "compactions_expected_number_check"),
        ],
    )
    def test_that_cannot_be_are_refused(
        self, *, database: Connection, last: str, through: int, expected: int | None, constraint: str
    ) -> None:
        """Within a unit that begins in one context and ends in another, too."""
        with pytest.raises(CheckViolation) as refusal:
            make(database, last, through, expected)

        assert refusal.value.diag.constraint_name == constraint
        claim = {"context_id": last, "refused": through, "key": None}
        [(in_force, *_)] = database.execute(release_before_forks.COMPACTION_CLAIM.encode(), claim).fetchall()
        assert in_force == 1

    def test_of_an_ancestor_are_neither_shown_nor_undone(
        self, api: httpx.Client, database: Connection, last: str
    ) -> None:
        one = {"context_id": last, "number": 1}

        undone = database.execute(release_before_forks.UNDO.encode(), one).fetchall()
        read = database.execute(release_before_forks.COMPACTION_READ.encode(), one).fetchall()
        page = database.execute(
            release_before_forks.COMPACTION_PAGE.encode(), {"context_id": last, "cursor": None, "limit": 10}
        ).fetchall()

        assert (undone, read, page) == ([], [(0, None)], [(0, "")])
        assert api.get(f"/api/v1/contexts/{last}/compactions/1").json()["data"]["undoneAt"] is None


@pytest.fixture
def schema(database_url: str, tmp_path: Path) -> Iterator[Schema]:
    with standing_at("0013", database_url, tmp_path) as schema:
        yield schema


class TestTheReleaseBefore:
    """On a database of its own."""

    @pytest.fixture
    def conn(self, schema: Schema) -> Iterator[Connection]:
        with psycopg.connect(schema.url, autocommit=True) as conn:
            yield conn

    @staticmethod
    def create(conn: Connection) -> str:
        new = {"body": "{}", "external_id": None, "policy": "{}", "key": None, "fingerprint": None}
        return str(conn.execute(release_before_forks.CREATE.encode(), new).fetchall()[0][0])

    def test_goes_on_with_the_statements_that_it_has_prepared(self, conn: Connection, schema: Schema) -> None:
        """No result that a prepared statement has got another column of, and each answers as it did."""
        context_id = self.create(conn)
        append(conn, release_before_forks, context_id, ". +a -a . +b -b")
        make(conn, context_id, 3)
        reads = [
            release_before_forks.WINDOW,
            *release_before_forks.PAGE.values(),
            release_before_forks.COMPACTION_PAGE,
            release_before_forks.COMPACTION_READ,
            release_before_forks.COMPACTION_CLAIM,
        ]
        parameters = {
            **dict.fromkeys(["at", "at_time", "key"]),
            **dict.fromkeys(["cursor", "limit", "refused"], 2),
            "context_id": context_id,
            "bare": False,
            "content": True,
            "number": 1,
            "overrides": Jsonb({"budget": 3 * TOKENS, "keepRequest": True}),
        }

        def answers() -> list[Any]:
            return [conn.execute(statement.encode(), parameters, prepare=True).fetchall() for statement in reads]

        def write() -> None:
            another = self.create(conn)
            append(conn, release_before_forks, another, "+a -a .")
            make(conn, another, 2)
            [undone] = conn.execute(
                release_before_forks.UNDO.encode(), {"context_id": another, "number": 1}, prepare=True
            ).fetchall()
            assert undone[0] == 1

        before = answers()
        for _ in range(6):  # psycopg prepares what has been executed five times
            write()

        schema.up()

        assert answers() == before
        assert all(before)
        write()

    def test_has_made_contexts_that_are_forked_as_they_were(self, conn: Connection, schema: Schema, run: Run) -> None:
        """At each version, with the compactions that there were by then."""
        context_id = self.create(conn)
        append(conn, release_before_forks, context_id, ". +a -a .")
        make(conn, context_id, 3)
        append(conn, release_before_forks, context_id, "+b -b")
        make(conn, context_id, 6)
        conn.execute(release_before_forks.UNDO.encode(), {"context_id": context_id, "number": 2})
        append(conn, release_before_forks, context_id, ".")
        make(conn, context_id, 4)

        schema.up()

        async def shown(next_conn: Any, of_context: UUID, at: int) -> Any:
            window = await windows.read(next_conn, of_context, overrides={"budget": 1_000}, at=at)
            page = await messages.page(next_conn, of_context, limit=100, at=at)
            return window.texts, window.figures, [row.json for row in page.rows]

        async def both() -> list[tuple[Any, Any]]:
            async with await psycopg.AsyncConnection.connect(schema.url, autocommit=True) as next_conn:
                parent = UUID(context_id)
                pairs = []
                for version in range(8):
                    child = await forks.fork(next_conn, parent, body="{}", version=version)
                    pairs.append((await shown(next_conn, child.id, version), await shown(next_conn, parent, version)))
                return pairs

        pairs = run(both())
        assert [fork for fork, _ in pairs] == [parent for _, parent in pairs]
        assert [fork[1]["compaction"] and fork[1]["compaction"]["number"] for fork, _ in pairs] == [
            *[None] * 4,
            *[1] * 3,
            3,
        ]
