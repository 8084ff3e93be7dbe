"""Migrations from 0008 on expand: the release before keeps working on them, and its rows are right after them.

Each test has a database of its own that stands at migration 0007. Forks have a file of their own.
"""

import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, batched, count
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lib import contexts, messages, windows
from lib.models import Append
from scripts import migrate
from scripts.migrate import MigrationError
from scripts.statements import split
from tests.scripts import release_before

Run = Callable[[Awaitable[Any]], Any]
Connection = psycopg.Connection[Any]
NUMBERS = count(1)

# Versions that a call may lie before its answer, tokens of each message, and messages of one batch of 0010.
REACH = 1_000
TOKENS = 10
BATCH = 10_000

# A message is `.` for one of the user, `+a,b` for the assistant's with calls a and b, or `-a` for an answer to call a.
HISTORIES = {
    "answers directly behind": ". +a -a . +b,c -b -c .",
    "reused ids": "+a -a +a -a -a . -a +a",
    "an id twice in one message": "+a,a -a -a",
    "answers without calls": "-x . -a +a -a -y",
    "pipelined calls": "+a,b,c . -c +d -a . -d -b +a",
    "another context's call": ". -pipelined",
    "another context's answer": "+pipelined .",
    "1,000 versions away and 1,001": "+a,b " + ". " * (REACH - 1) + "-a -b",
    "a nearer call that is out of reach by its id": "+a +b " + ". " * (REACH - 2) + "-a -a -b -b",
}


@dataclass
class Schema:
    """A database, and the folder of the migrations that it may have had."""

    folder: Path
    url: str

    def up(self, last: str = "9999") -> list[str]:
        """The names of what was applied, up to the number last."""
        for migration in migrate.files(migrate.DIRECTORY):
            if migration.name[:4] <= last:
                shutil.copy(migrate.DIRECTORY / f"{migration.name}.sql", self.folder)
        return [migration.name for migration, _ in migrate.up(self.url, self.folder)]

    def query(self, sql: LiteralString) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as conn:
            return conn.execute(sql).fetchall()

    def run(self, sql: LiteralString) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(sql)


@contextmanager
def standing_at(last: str, database_url: str, folder: Path) -> Iterator[Schema]:
    """A database with the migrations up to the number last, in an empty folder."""
    name = f"expansion_{os.getpid()}_{next(NUMBERS)}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            schema = Schema(folder, make_conninfo(database_url, dbname=name))
            schema.up(last)
            yield schema
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def schema(database_url: str, tmp_path: Path) -> Iterator[Schema]:
    with standing_at("0007", database_url, tmp_path) as schema:
        yield schema


@pytest.fixture
def conn(schema: Schema) -> Iterator[Connection]:
    """A connection of the release before, opened before anything else is applied."""
    with psycopg.connect(schema.url, autocommit=True) as conn:
        yield conn


def message(word: str) -> dict[str, Any]:
    """A message as a client sends it; its sign says what it is."""
    sign, ids = word[0], word[1:]
    if sign == "+":
        calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids.split(",")]
        return {"role": "assistant", "toolCalls": calls}
    if sign == "-":
        return {"role": "tool", "content": "done", "toolCallId": ids, "metadata": {"of": f"é {ids}"}}
    return {"role": "user", "content": "go on"}


def definition(history: str) -> list[int | None]:
    """The call_version of each message: the newest of the 1,000 versions before with a call of its id, 0 for none."""
    words = history.split()
    return [
        max((v for v in range(max(1, version - REACH), version) if is_call_of(words[v - 1], word[1:])), default=0)
        if word[0] == "-"
        else None
        for version, word in enumerate(words, 1)
    ]


def is_call_of(word: str, call_id: str) -> bool:
    return word[0] == "+" and call_id in word[1:].split(",")


def body_of(words: Sequence[str]) -> str:
    return json.dumps({"messages": [message(word) for word in words]})


def create(conn: Connection, body: str = "{}") -> UUID:
    """A context that the release before makes."""
    parameters = {"body": body, "external_id": None, "key": None, "fingerprint": None}
    context_id: UUID = conn.execute(release_before.CREATE.encode(), parameters).fetchall()[0][0]
    return context_id


def parameters_of(context_id: UUID, words: Sequence[str]) -> dict[str, Any]:
    """What the release before sends with an append."""
    tokens = [TOKENS] * len(words)
    return {
        "context_id": context_id,
        "body": body_of(words),
        "count": len(words),
        "tokens": sum(tokens),
        "token_counts": tokens,
        "running_tokens": list(accumulate(tokens)),
        **dict.fromkeys(["created_at", "first_given", "newest", "expected_versions", "key", "fingerprint"]),
    }


def append(conn: Connection, context_id: UUID, history: str, size: int = 1_000) -> None:
    """Appends history as the release before does, size messages at a time."""
    for words in batched(history.split(), size):
        conn.execute(release_before.APPEND[False].encode(), parameters_of(context_id, words))


def call_versions(schema: Schema, context_id: UUID) -> list[int | None]:
    """The call_version of each message; where it is settled, so are the bytes of its metadata."""
    with psycopg.connect(schema.url) as conn:
        found = conn.execute(
            "SELECT call_version, metadata_bytes, octet_length(metadata::text) FROM messages"
            " WHERE context_id = %s ORDER BY version",
            [context_id],
        ).fetchall()
    assert all(stored == (None if version is None else size) for version, stored, size in found)
    return [version for version, _, _ in found]


def rows(schema: Schema) -> dict[tuple[UUID, int], tuple[str, str, str]]:
    """Where each message lies, which transaction wrote it, and all of it but the new columns."""
    found = schema.query("""
        SELECT context_id, version, ctid::text, xmin::text,
            (to_jsonb(messages) - '{call_version,metadata_bytes,native,native_format,native_bytes}'::text[])::text
        FROM messages
    """)
    return {(context_id, version): (ctid, xmin, text) for context_id, version, ctid, xmin, text in found}


def answers(schema: Schema) -> set[tuple[UUID, int]]:
    return set(schema.query("SELECT context_id, version FROM messages WHERE role = 'tool'"))


class TestMessagesThatAreThere:
    def test_get_the_version_of_the_call_that_the_definition_names(self, schema: Schema, conn: Connection) -> None:
        ids = {name: create(conn) for name in HISTORIES}
        for name, history in HISTORIES.items():
            append(conn, ids[name], history)

        schema.up()

        expected = {name: definition(history) for name, history in HISTORIES.items()}
        assert {name: call_versions(schema, ids[name]) for name in HISTORIES} == expected

    def test_are_found_across_the_batches_of_the_update(self, schema: Schema, conn: Connection) -> None:
        """A history of two and a half, in threes, so that an edge lies between a call and its answer."""
        history = " ".join(f". +{n} -{n}" for n in range(25_000 // 3))
        context_id = create(conn)
        append(conn, context_id, history)

        schema.up("0010")

        assert call_versions(schema, context_id) == [
            None if word[0] != "-" else version - 1 for version, word in enumerate(history.split(), 1)
        ]

    def test_are_not_touched_but_for_answers_and_these_only_in_the_new_column(
        self, schema: Schema, conn: Connection
    ) -> None:
        for history in HISTORIES.values():
            append(conn, create(conn), history)
        before = rows(schema)

        schema.up()

        after = rows(schema)
        changed = {key for key in before if before[key][:2] != after[key][:2]}
        assert {key: text for key, (_, _, text) in after.items()} == {key: text for key, (_, _, text) in before.items()}
        assert changed == answers(schema)

    @pytest.mark.parametrize("budget", [TOKENS, 3 * TOKENS, 6 * TOKENS, 10_000 * TOKENS])
    def test_are_in_windows_as_if_the_next_release_had_stored_them(
        self, schema: Schema, conn: Connection, run: Run, budget: int
    ) -> None:
        ids = {name: create(conn) for name in HISTORIES}
        for name, history in HISTORIES.items():
            append(conn, ids[name], history)
        schema.up()

        async def window(next_conn: psycopg.AsyncConnection[Any], context_id: UUID) -> Any:
            found = await windows.read(next_conn, context_id, overrides={"budget": budget})
            return [json.loads(text)["version"] for text in found.texts], found.figures

        async def both() -> list[tuple[Any, Any]]:
            async with await psycopg.AsyncConnection.connect(schema.url, autocommit=True) as next_conn:
                pairs = []
                for name, history in HISTORIES.items():
                    stored = (await contexts.create(next_conn, body="{}")).id
                    for words in batched(history.split(), 1_000):
                        body = body_of(words)
                        batch = Append.model_validate_json(body).messages
                        await messages.append(
                            next_conn, stored, body=body, batch=batch, token_counts=[TOKENS] * len(words)
                        )
                    pairs.append((await window(next_conn, ids[name]), await window(next_conn, stored)))
                return pairs

        for found, expected in run(both()):
            assert found == expected


@contextmanager
def midway(schema: Schema) -> Iterator[tuple[int, Future[list[str]]]]:
    """0010 in the middle, by its process and its run: the first batch is done, and a row of the second is locked."""
    schema.up("0009")  # which the lock would keep waiting
    with ThreadPoolExecutor(1) as thread, psycopg.connect(schema.url) as other:
        other.execute("SELECT FROM messages WHERE version = %s FOR UPDATE", [BATCH * 3 // 2])
        run = thread.submit(schema.up, "0010")
        while not (waiting := waiting_for_locks(schema)):
            assert not run.done(), run.result()
        yield waiting[0], run
        other.rollback()


def waiting_for_locks(schema: Schema) -> list[int]:
    """The processes of this database that wait for a lock."""
    found = schema.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return [pid for (pid,) in found]


@pytest.fixture
def long_history(schema: Schema, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A context with two and a half batches of messages, each second of them an answer."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "1min")
    context_id = create(conn)
    append(conn, context_id, "+a -a " * (BATCH * 5 // 4))
    return context_id


class TestAnInterruptedUpdate:
    def test_keeps_what_it_has_done_and_does_the_rest_when_it_is_run_again(
        self, schema: Schema, conn: Connection, long_history: UUID
    ) -> None:
        with midway(schema) as (pid, run):
            conn.execute("SELECT pg_cancel_backend(%s)", [pid])
            with pytest.raises(
                MigrationError, match=r"^cannot apply 0010_call_versions_settled, line .* user request$"
            ):
                run.result()
        interrupted, done = call_versions(schema, long_history), rows(schema)

        assert interrupted[:BATCH] == settled(BATCH)
        assert interrupted[BATCH:] == [None] * (len(interrupted) - BATCH)
        assert schema.up("0010") == ["0010_call_versions_settled"]
        assert call_versions(schema, long_history) == settled(len(interrupted))
        again = rows(schema)
        first_batch = [(long_history, version) for version in range(1, BATCH + 1)]
        assert [again[key] for key in first_batch] == [done[key] for key in first_batch]

    def test_changes_nothing_when_it_is_run_once_more(self, schema: Schema, conn: Connection) -> None:
        for history in HISTORIES.values():
            append(conn, create(conn), history)
        schema.up("0011")
        before = rows(schema), call_versions_of_all(schema)

        schema.run("DELETE FROM schema_migrations WHERE name >= '0010'")

        assert schema.up("0011") == ["0010_call_versions_settled", "0011_requests_index"]
        assert (rows(schema), call_versions_of_all(schema)) == before
        assert schema.query(
            "SELECT indisvalid, pg_get_expr(indpred, indrelid) FROM pg_index"
            " WHERE indexrelid = 'messages_requests_idx'::regclass"
        ) == [(True, "(role = 'user'::text)")]

    @pytest.mark.parametrize("name", ["0011_requests_index", "0015_forks_index"])
    def test_of_an_index_is_mended_when_it_is_run_again(
        self, schema: Schema, conn: Connection, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """What a failed CREATE INDEX CONCURRENTLY leaves is in the way of the next."""
        context_id = create(conn)
        schema.up(f"{int(name[:4]) - 1:04}")
        monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "200ms")
        with conn.transaction():
            append(conn, context_id, ". +a -a")
            with pytest.raises(MigrationError, match=rf"^could not apply {name}: a table was busy"):
                schema.up(name[:4])
        invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"

        assert schema.query(invalid) == [(1,)]
        assert schema.up(name[:4]) == [name]
        assert schema.query(invalid) == [(0,)]


def settled(length: int) -> list[int | None]:
    """The call_version of each message of a history in which each second message answers the one before."""
    return [version - 1 if version % 2 == 0 else None for version in range(1, length + 1)]


def call_versions_of_all(schema: Schema) -> list[Any]:
    return schema.query("SELECT context_id, version, call_version FROM messages ORDER BY 1, 2")


# The last migration that has been applied: while 0010 is still to come, and when all are there.
STAGES = ["0009", "9999"]


class TestTheReleaseBefore:
    @pytest.mark.parametrize("last", STAGES)
    @pytest.mark.parametrize("size", [1, 3, 1_000])
    def test_has_its_answers_settled(self, schema: Schema, conn: Connection, last: str, size: int) -> None:
        """Those to calls of the same batch too, and all that the definition names."""
        schema.up(last)

        for history in HISTORIES.values():
            context_id = create(conn)
            append(conn, context_id, history, size)
            assert call_versions(schema, context_id) == definition(history)

    @pytest.mark.parametrize("last", STAGES)
    def test_has_a_call_found_that_was_stored_while_its_answer_waited(
        self, schema: Schema, conn: Connection, last: str
    ) -> None:
        context_id = create(conn)
        append(conn, context_id, ".")
        schema.up(last)

        def answer() -> None:
            with psycopg.connect(schema.url, autocommit=True) as other:
                append(other, context_id, "-a")

        with ThreadPoolExecutor(1) as thread:
            with conn.transaction():
                append(conn, context_id, "+a")
                run = thread.submit(answer)
                while not waiting_for_locks(schema):
                    assert not run.done(), run.result()
            run.result()

        assert call_versions(schema, context_id) == [None, None, 2]

    def test_goes_on_with_the_statements_that_it_has_prepared(self, schema: Schema, conn: Connection) -> None:
        """No result that a prepared statement has got another column of, and each answers as it did."""
        context_id = create(conn, '{"metadata": {"a": 1}}')
        append(conn, context_id, ". +a -a . +b -b")
        at = {"at": 5, "budget": 3 * TOKENS}
        page = {"cursor": 4, "at": None, "limit": 3}
        conn.execute("UPDATE contexts SET external_id = 'e'")
        behind = {"created_at": None, "id": None, "limit": 10, "external_id": "e", "metadata": '{"a": 1}'}
        created = {"body": '{"name": "n"}', "external_id": None, "key": None, "fingerprint": None}
        changed = {"body": '{"metadata": {"a": 1}}', "etags": None}
        reads: list[tuple[str, Mapping[str, Any]]] = [
            (release_before.READ, {}),
            *[(statement, at) for statement in release_before.WINDOW.values()],
            (release_before.BACK_TO_CALLS, {"call_ids": ["a"], "before": 4}),
            *[(statement, page) for statement in release_before.PAGE.values()],
            *[(statement, behind) for statement in release_before.LIST.values()],
        ]
        writes: list[tuple[str, Mapping[str, Any]]] = [
            (release_before.CREATE, created),
            *[
                (statement, parameters_of(context_id, ["+c", "-c"]) | {"body": patching(["+c", "-c"])})
                for statement in release_before.APPEND.values()
            ],
            (release_before.UPDATE, changed),
            (release_before.DELETE, {"etags": None}),
        ]

        def answer(statement: str, parameters: Mapping[str, Any]) -> list[Any]:
            given = {"context_id": context_id, **parameters}
            return conn.execute(statement.encode(), given, prepare=True).fetchall()

        before = [answer(*read) for read in reads]
        with conn.transaction(force_rollback=True):
            for write in writes:
                answer(*write)

        schema.up()

        assert [answer(*read) for read in reads] == before
        assert all(before)
        assert all(answer(*write) for write in writes)

    def test_makes_contexts_without_a_policy(self, schema: Schema, conn: Connection) -> None:
        before = create(conn)
        schema.up()
        after = create(conn, '{"name": "n", "metadata": {"a": 1}}')
        conn.execute(
            release_before.UPDATE.encode(), {"context_id": after, "body": '{"metadata": {"b": 2}}', "etags": None}
        )
        append(conn, after, ".")

        found = schema.query("SELECT id, policy, revision, compaction_count FROM contexts")
        assert sorted(found) == sorted([(before, {}, 0, 0), (after, {}, 0, 0)])

    def test_leaves_alone_what_the_next_has_set(self, schema: Schema, conn: Connection, run: Run) -> None:
        """A policy and its revision through a change and an append; and it answers a call that the next has stored."""
        schema.up()

        async def make() -> UUID:
            async with await psycopg.AsyncConnection.connect(schema.url, autocommit=True) as next_conn:
                made = await contexts.create(next_conn, body="{}")
                await contexts.update(next_conn, made.id, body="{}", policy='{"budget": 8000}')
                body = body_of(["+a"])
                batch = Append.model_validate_json(body).messages
                await messages.append(next_conn, made.id, body=body, batch=batch, token_counts=[TOKENS])
                return made.id

        context_id = run(make())
        conn.execute(
            release_before.UPDATE.encode(), {"context_id": context_id, "body": '{"metadata": {"b": 2}}', "etags": None}
        )
        append(conn, context_id, "-a")

        assert schema.query("SELECT policy, revision, metadata FROM contexts") == [({"budget": 8000}, 1, {"b": 2})]
        assert call_versions(schema, context_id) == [None, 1]

    def test_reads_and_writes_while_the_update_runs(self, schema: Schema, conn: Connection, long_history: UUID) -> None:
        """With a limit on each statement that the update, which waits meanwhile, would outlast."""
        conn.execute("SET statement_timeout = '10s'")
        with midway(schema) as (_, run):
            append(conn, long_history, "+b -b")
            append(conn, create(conn), "+b -b")
            window = {"context_id": long_history, "budget": 4 * TOKENS}
            newest = conn.execute(release_before.WINDOW[False].encode(), window).fetchall()
            assert not run.done()
        assert run.result() == ["0010_call_versions_settled"]

        assert [row[0] for row in newest][-4:] == [BATCH * 5 // 2 + n for n in (-1, 0, 1, 2)]
        assert call_versions(schema, long_history) == settled(BATCH * 5 // 2 + 2)


def patching(words: Sequence[str]) -> str:
    return json.dumps({**json.loads(body_of(words)), "contextMetadata": {"patched": True}})


class TestLocks:
    """None that keeps others waiting is held for longer than it takes to change the catalogs."""

    @pytest.mark.parametrize(
        ("name", "strongest"),
        [
            ("0008_policies", {"contexts": "AccessExclusiveLock"}),
            ("0009_call_versions", {"messages": "AccessExclusiveLock"}),
            ("0012_compactions", {"contexts": "AccessExclusiveLock"}),
            ("0014_forks", {"contexts": "AccessExclusiveLock"}),
        ],
    )
    def test_that_block_are_of_files_that_read_and_rewrite_nothing(
        self, schema: Schema, conn: Connection, name: str, strongest: dict[str, str]
    ) -> None:
        append(conn, create(conn), ". +a -a")
        schema.up(f"{int(name[:4]) - 1:04}")

        with psycopg.connect(schema.url) as other:
            before = other.execute(FILES).fetchall()
            other.execute((migrate.DIRECTORY / f"{name}.sql").read_bytes())

            assert dict(other.execute(BLOCKING).fetchall()) == strongest
            assert other.execute(FILES).fetchall() == before
            assert other.execute(READ).fetchall() == [(0,)]

    @pytest.mark.parametrize("name", ["0010_call_versions_settled", "0015_forks_index"])
    def test_of_a_check_let_reads_and_writes_go_on(self, schema: Schema, name: str) -> None:
        schema.up(f"{int(name[:4]) - 1:04}")
        *_, validate = split((migrate.DIRECTORY / f"{name}.sql").read_text())

        with psycopg.connect(schema.url) as other:
            other.execute(validate.text.encode())

            assert validate.words[:2] == ("ALTER", "TABLE")
            assert other.execute(BLOCKING).fetchall() == []

    def test_are_the_only_reason_to_wait_for_an_append_in_flight(self, schema: Schema, conn: Connection) -> None:
        """No answer slips in between: one that is being stored when the trigger comes is there when 0010 looks."""
        context_id = create(conn)
        with ThreadPoolExecutor(1) as thread:
            with conn.transaction():
                append(conn, context_id, "+a -a")
                run = thread.submit(schema.up, "0010")
                while not waiting_for_locks(schema):
                    assert not run.done(), run.result()
            run.result()

        assert call_versions(schema, context_id) == [None, 1]


# The strongest lock of this transaction on each table, of those that writers wait for.
BLOCKING: LiteralString = """
SELECT DISTINCT ON (relname) relname, mode
FROM pg_locks
JOIN pg_class ON pg_class.oid = relation AND relname IN ('contexts', 'messages', 'append_keys', 'context_keys')
JOIN unnest(ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'])
    WITH ORDINALITY AS known (mode, strength) USING (mode)
WHERE pid = pg_backend_pid()
ORDER BY relname, strength DESC
"""

# The files of the two tables and of all their indexes.
FILES: LiteralString = """
SELECT relname, pg_relation_filenode(oid) FROM pg_class
WHERE oid IN ('contexts'::regclass, 'messages'::regclass)
    OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN ('contexts'::regclass, 'messages'::regclass))
ORDER BY relname
"""

# Rows of the two tables that this transaction has read.
READ: LiteralString = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer FROM pg_stat_xact_user_tables
WHERE relname IN ('contexts', 'messages')
"""


class TestTheSearchForACall:
    """1,000 rows of 24 bytes are on about 20 pages; and a look into an index is 3 or 4."""

    def test_reads_no_more_than_1000_messages_whatever_the_planner_knows(self, searched: Schema) -> None:
        looks = {
            "call_before(%s, 60000, 'nowhere')": 60,
            "call_before(%s, 60000, 'call 59999')": 12,
            "calls_before(%s, 60000, '{nowhere}')": 60,
            "calls_before(%s, 60000, '{call 59999}')": 12,
            "calls_before(%s, 60000, (SELECT array_agg(n::text) FROM generate_series(1, 1000) AS n))": 60,
        }

        touched: dict[tuple[str, str, str], int] = {}
        for known in ("nothing", "statistics"):
            if known == "statistics":
                searched.run("VACUUM (ANALYZE)")
            for mode in ("custom", "generic"):
                with psycopg.connect(searched.url, autocommit=True) as conn:
                    conn.execute(f"SET plan_cache_mode = force_{mode}_plan".encode())
                    touched |= {(look, known, mode): buffers(conn, look) for look in looks}

        assert {name: pages for name, pages in touched.items() if pages > looks[name[0]]} == {}


def buffers(conn: Connection, look: str) -> int:
    """The pages of 8 kB that the look touches in a long history, once its functions are compiled."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {look}".encode()
    for _ in range(2):
        [[[plan]]] = conn.execute(explain, [UUID(int=1)]).fetchall()
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@pytest.fixture(params=["alone", "beside thousands"])
def searched(request: pytest.FixtureRequest, schema: Schema) -> Schema:
    """One history of 100,000 messages, alone or beside thousands of short ones."""
    schema.up("0009")
    schema.run("ALTER TABLE messages SET (autovacuum_enabled = false); ALTER TABLE messages DISABLE TRIGGER USER")
    others = 30_000 if "beside" in request.param else 0
    with psycopg.connect(schema.url, autocommit=True) as conn:
        conn.execute(FILL, {"first": 1, "last": 1, "length": 100_000})
        conn.execute(FILL, {"first": 2, "last": others + 1, "length": 2})
    return schema


FILL: LiteralString = """
WITH context AS (
    INSERT INTO contexts (id)
    SELECT lpad(to_hex(n), 32, '0')::uuid FROM generate_series(%(first)s::integer, %(last)s::integer) AS n
    RETURNING id
)
INSERT INTO messages (context_id, version, role, content, call_ids, token_count, cumulative_tokens, created_at)
SELECT id, version, 'assistant', to_json(repeat('x', 24)), ARRAY['call ' || version], 10, 10 * version, now()
FROM context, generate_series(1, %(length)s::integer) AS version
"""
