"""The plan matrix: each statement of each repository touches as much of a long history as of a short one.

Whatever the planner knows: with statistics and without, a long context alone or beside thousands of short ones, custom
plans and generic ones. What is counted is buffers (pages of 8 kB), which are the same on every machine.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH
from psycopg.sql import SQL, Identifier, Literal
from psycopg.types.json import Jsonb

import lib
from scripts import migrate

LONG = 100_000
SHORT = 2
SHORT_CONTEXTS = 30_000

# Each message of the long history; those of the history of images have none.
TOKENS = 10

# Of one context; each reaches half of what had been said when it was made.
COMPACTIONS = 20_000

LONG_ID, IMAGES_ID, TOOLS_ID, PIPELINED_ID, COMPACTED_ID, METADATA_ID = (UUID(int=number) for number in range(1, 7))
START = datetime(2026, 1, 1, tzinfo=UTC)
ORPHAN = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": "x"}]})
ORPHANS = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": each} for each in "xy"]})
BODY = json.dumps({"messages": [{"role": "user", "content": "x"}], "contextMetadata": {"n": 1}})


def statements() -> Iterator[tuple[str, str]]:
    """Each statement of lib/ with its name: an upper-case text that starts with a verb of SQL, or a dictionary's."""
    for info in pkgutil.walk_packages(lib.__path__, "lib."):
        for name, value in vars(importlib.import_module(info.name)).items():
            for key, text in value.items() if isinstance(value, dict) else [(None, value)]:
                if name.isupper() and isinstance(text, str) and SQL_VERB.match(text):
                    short = f"{info.name.removeprefix('lib.')}.{name}"
                    yield short if key is None else f"{short}[{key!r}]", text


SQL_VERB = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
STATEMENTS = dict(statements())


@dataclass(frozen=True, slots=True)
class Row:
    """A statement with parameters, and the buffers that it may touch; unprepared: it is never planned generically."""

    statement: str
    case: str
    most: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    unprepared: bool = False


def pages() -> Iterator[Row]:
    """51 messages of 24 bytes are on 2 pages; a window function and its sort touch no more."""
    places = {"first": None, "early": 60, "middle": LONG // 2, "last": LONG - 10, "beyond": 2**63 - 1}
    for order in ("asc", "desc"):
        for name, cursor in places.items():
            start = 0 if cursor is None and order == "asc" else cursor
            parameters = {"context_id": LONG_ID, "cursor": start, "at": None, "at_time": None, "limit": 51}
            for at in (None, LONG - 100, 10):
                yield Row(f"messages.PAGE[{order!r}]", f"{name}, at {at}", 20, {**parameters, "at": at})
            # A bisection looks 17 times.
            moment = {"at_time": START + timedelta(seconds=LONG - 100)}
            yield Row(f"messages.PAGE[{order!r}]", f"{name}, at a time", 100, {**parameters, **moment})


# Policies, each of which reads in a way of its own; and all of them together.
POLICIES: dict[str, dict[str, Any]] = {
    "none": {},
    "head": {"keepPreamble": True, "keepRequest": True},
    "step": {"step": 200, "startOn": "user"},
    "clearing": {"clearToolResults": {"keepTokens": 200}},
    "due": {"compactionDue": {"threshold": 0.8, "keepTokens": 400}},
}
POLICIES["all"] = {name: value for policy in POLICIES.values() for name, value in policy.items()}


def windows_of() -> Iterator[Row]:
    """A window of 80 messages is on 3 pages; each look into an index touches 3 to 5, and walks touch the run again.

    Where no unit is answered, up to where a compaction is due is looked for in 2,000 messages, which are on 50 pages.
    """
    plain = {"bare": False, "at": None, "at_time": None, "content": True}
    for name, policy in POLICIES.items():
        for context, history in (
            (LONG_ID, "tokens"),
            (IMAGES_ID, "images"),
            (TOOLS_ID, "tools"),
            (PIPELINED_ID, "pipelined"),
        ):
            # Without tokens no budget ends a window, so it has all the messages that its bytes allow.
            most = 2_000 if context == IMAGES_ID else 150
            asked = {"context_id": context, "overrides": Jsonb({"budget": 800, **policy}), **plain}
            yield Row("windows.WINDOW", f"{history}, {name}", most, asked)
            yield Row("windows.WINDOW", f"{history}, {name}, figures", most, {**asked, "content": False})
            for at in (0, 50, LONG // 2, LONG - 5):
                few = most if at > 50 else 150
                yield Row("windows.WINDOW", f"{history}, {name}, at {at}", few, {**asked, "at": at})
        # A bisection looks 17 times.
        moment = {**asked, "context_id": LONG_ID, "at_time": START + timedelta(seconds=LONG // 2)}
        yield Row("windows.WINDOW", f"{name}, at a time", 200, moment)
    large = {**plain, "context_id": METADATA_ID, "overrides": Jsonb({"budget": 800, **POLICIES["all"]})}
    yield Row("windows.WINDOW", "large metadata, figures", 150, {**large, "content": False})
    compacted = {**plain, "context_id": COMPACTED_ID, "overrides": Jsonb({"budget": 800, **POLICIES["all"]})}
    # Those that were made later are passed over in the index, 10,000 of them on 130 pages.
    for version, most in ((None, 150), (1, 150), (LONG // 2, 250), (LONG - 5, 150)):
        yield Row("windows.WINDOW", f"compacted, at {version}", most, {**compacted, "at": version})


def compactions_of() -> Iterator[Row]:
    """Each has a page of its own, more or less, beside the context's; those that are made walk back over a unit."""
    new = {
        "context_id": COMPACTED_ID,
        "body": "{}",
        "through_version": LONG // 2 + 1,
        "summary": "s",
        "role": "user",
        "token_count": 1,
        "expected_number": None,
        "key": None,
        "fingerprint": None,
    }
    yield Row("compactions.MAKE", "plain", 100, new)
    yield Row(
        "compactions.MAKE", "conditions", 110, {**new, "expected_number": COMPACTIONS, "key": "k", "fingerprint": b"f"}
    )
    for refused in (None, LONG // 2):
        yield Row("compactions.CLAIM", f"{refused}", 110, {"context_id": COMPACTED_ID, "refused": refused, "key": "k"})
    for cursor in (None, COMPACTIONS // 2, 5, 2**63 - 1):
        parameters = {"context_id": COMPACTED_ID, "cursor": cursor, "limit": 51}
        yield Row("compactions.PAGE", f"after {cursor}", 20, parameters)
    for number in (1, COMPACTIONS, 2**40):
        yield Row("compactions.READ", f"{number}", 10, {"context_id": COMPACTED_ID, "number": number})
        yield Row("compactions.UNDO", f"{number}", 40, {"context_id": COMPACTED_ID, "number": number})


def appends() -> Iterator[Row]:
    plain = {
        "context_id": LONG_ID,
        "body": BODY,
        "count": 1,
        "tokens": 1,
        "token_counts": [1],
        "running_tokens": [1],
        "created_at": None,
        "answered": None,
        "call_ids": None,
        "first_given": None,
        "newest": None,
        "expected_versions": None,
        "key": None,
        "fingerprint": None,
    }
    now = datetime.now(UTC)
    imported = {"created_at": [now], "first_given": now, "newest": now}
    yield Row("messages.APPEND[False]", "plain", 40, plain)
    yield Row("messages.APPEND[False]", "conditions", 50, {**plain, "key": "k", "fingerprint": b"f"})
    yield Row("messages.APPEND[False]", "a time", 50, {**plain, **imported})
    yield Row("messages.APPEND[True]", "metadata", 80, plain)
    # 1,000 messages are on 40 pages, and in 10 of the index.
    orphans = {"body": ORPHANS, "count": 2, "token_counts": [1, 1], "running_tokens": [1, 2], "tokens": 2}
    yield Row("messages.APPEND[False]", "orphans", 160, {**plain, **orphans, "call_ids": ["x", "y"]})
    yield Row("messages.APPEND[False]", "an orphan", 160, {**plain, "body": ORPHAN})
    yield Row("messages.CLAIM", "a key", 10, {"context_id": LONG_ID, "key": "k"})


def lists() -> Iterator[Row]:
    """51 contexts are on 2 to 4 pages."""
    for order in ("asc", "desc"):
        times = {"first": None, "middle": SHORT_CONTEXTS // 2, "last": 40 if order == "desc" else SHORT_CONTEXTS - 40}
        for name, number in times.items():
            created_at = None if number is None else START + timedelta(seconds=number)
            after = {"created_at": created_at, "id": None if number is None else UUID(int=0), "limit": 51}
            yield Row(f"contexts.LIST[({order!r}, 'none')]", name, 20, after)
            few = {**after, "metadata": '{"n": 77}'}
            yield Row(f"contexts.LIST[({order!r}, 'metadata')]", name, 30, few)
            # Of 10,000 contexts that are looked at for a filter that none matches.
            yield Row(f"contexts.LOOK[{order!r}]", name, 520, {**after, "metadata": '{"tags": []}'})
            yield Row(f"contexts.LOOK[{order!r}]", f"{name} of many", 20, {**after, "metadata": '{"kind": "short"}'})
            inside = {**after, "metadata": '{"list": [{"a": 1, "b": 2}]}'}
            yield Row(f"contexts.LOOK[{order!r}]", f"{name}, in one element", 520, inside)
            external = {**after, "external_id": "short 77", "metadata": None}
            yield Row(f"contexts.LIST[({order!r}, 'external id')]", name, 12, external)
    for metadata, most in (('{"n": 77}', 30), ('{"kind": "short"}', 300)):
        yield Row("contexts.COUNT_FEW", metadata, most, {"metadata": metadata}, unprepared=True)


def single_contexts() -> Iterator[Row]:
    keyless = {"body": "{}", "external_id": None, "policy": "{}", "key": None, "fingerprint": None}
    yield Row("contexts.CREATE", "new", 25, keyless)
    for external_id in ("short 77", "another"):
        body = json.dumps({"externalId": external_id})
        yield Row("contexts.CREATE", external_id, 25, {**keyless, "body": body, "external_id": external_id})
    for key in ("key of short 77", "another"):
        yield Row("contexts.CREATE", f"with {key}", 30, {**keyless, "key": key, "fingerprint": b"f"})
    yield Row("contexts.READ", "long", 8, {"context_id": LONG_ID})
    patch = '{"name": "n", "metadata": {"a": 1}, "externalId": "e"}'
    yield Row("contexts.UPDATE", "long", 40, {"context_id": LONG_ID, "body": patch, "policy": "{}", "etags": None})
    yield Row("contexts.DELETE", "long", 30, {"context_id": LONG_ID, "etags": None})
    yield Row("health.READ", "", 20)


MATRIX = [*pages(), *windows_of(), *compactions_of(), *appends(), *lists(), *single_contexts()]

# As it stood in the first release: read and sorted the whole history for a page of the newest messages.
TWO_UPPER_BOUNDS = """
SELECT context.latest_version, page.*
FROM contexts AS context
LEFT JOIN LATERAL (
    SELECT message.*
    FROM (
        SELECT found.*,
            sum(json_bytes) OVER (ORDER BY version DESC ROWS UNBOUNDED PRECEDING) - json_bytes AS bytes_before
        FROM messages AS found
        WHERE context_id = context.id AND deleted_at IS NULL
            AND version < coalesce(%(cursor)s, context.latest_version + 1)
            AND version <= coalesce(%(at)s, context.latest_version)
        ORDER BY version DESC
        LIMIT %(limit)s
    ) AS message
    WHERE message.bytes_before <= 4500000
) AS page ON true
WHERE context.id = %(context_id)s AND context.deleted_at IS NULL
ORDER BY page.version DESC
"""


FILL = """
WITH context AS (
    INSERT INTO contexts (id, message_count, latest_version, total_tokens, metadata, external_id, created_at)
    SELECT %(id)s, %(length)s, %(length)s, %(length)s * %(tokens)s, '{}', %(name)s, %(created_at)s
    RETURNING id
)
INSERT INTO messages (
    context_id, version, role, content, tool_calls, call_ids, tool_call_id, call_version, metadata_bytes, metadata,
    token_count, cumulative_tokens, created_at
)
SELECT id, version, role, to_json(repeat('x', 24)),
    CASE WHEN role = 'assistant' THEN json_build_array(json_build_object('id', 'c')) END,
    CASE WHEN role = 'assistant' THEN ARRAY['c'] END,
    CASE WHEN role = 'tool' THEN 'c' END,
    CASE WHEN role = 'tool' THEN greatest(version - %(lag)s, 0) END,
    CASE WHEN role = 'tool' THEN octet_length(metadata::text) END,
    metadata,
    %(tokens)s, %(tokens)s * version, %(start)s + version * interval '1 second'
FROM context, (
    -- A preamble of two and a request, far behind.
    SELECT version, CASE WHEN version <= 2 THEN 'system' WHEN version = 3 THEN 'user'
        ELSE (%(roles)s::text[])[version %% cardinality(%(roles)s) + 1] END AS role
    FROM generate_series(1, %(length)s) AS version
) AS said, LATERAL (
    -- Of hashes, which cannot be compressed: what is large lies outside of the row.
    SELECT coalesce(json_object_agg(part, md5(version || '-' || part)), '{}') AS metadata
    FROM generate_series(1, CASE role WHEN 'tool' THEN %(metadata)s ELSE 0 END) AS part
) AS described
"""

FILL_COMPACTIONS = """
INSERT INTO compactions (
    context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count, json_bytes,
    created_at
)
SELECT %(id)s, number, greatest(number * %(every)s / 2, 1), number * %(every)s, number - 1, 'user', 's', '{}', 10, 5,
    %(start)s
FROM generate_series(1, %(count)s) AS number
"""

FILL_SHORT = """
WITH context AS (
    INSERT INTO contexts (id, message_count, latest_version, total_tokens, metadata, external_id, created_at)
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, %(length)s, %(length)s,
        %(length)s * %(tokens)s,
        jsonb_build_object('n', n, 'kind', 'short', 'list', '[{"a": 1}, {"b": 2}]'::jsonb),
        'short ' || n, %(start)s + n * interval '1 second'
    FROM generate_series(1, %(contexts)s) AS n
    RETURNING id, external_id
), key AS (
    INSERT INTO context_keys (key, fingerprint, context_id) SELECT 'key of ' || external_id, 'f', id FROM context
), compaction AS (
    INSERT INTO compactions (
        context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count,
        json_bytes, created_at
    )
    SELECT id, number, 1, 1, 0, 'user', 's', '{}', 10, 5, %(start)s FROM context, generate_series(1, 2) AS number
)
INSERT INTO messages (context_id, version, role, content, token_count, cumulative_tokens, created_at)
SELECT id, version, 'user', to_json(repeat('x', 24)), %(tokens)s, %(tokens)s * version, %(start)s
FROM context, generate_series(1, %(length)s) AS version
"""


@pytest.fixture(scope="module", params=["alone", "beside thousands"])
def world(request: pytest.FixtureRequest, database: psycopg.Connection[Any], database_url: str) -> Iterator[str]:
    """The URL of a database with six long contexts, and thousands of short ones or one; nothing is analyzed yet."""
    name = f"plans_{request.param.partition(' ')[0]}"
    database.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    url = database_url.replace("/postgres?", f"/{name}?")
    try:
        list(migrate.up(url))
        with psycopg.connect(url, autocommit=True) as conn:
            for table in ("contexts", "messages", "context_keys", "append_keys", "compactions"):
                conn.execute(SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(Identifier(table)))
            short = {"length": SHORT, "tokens": TOKENS, "start": START}
            conn.execute(FILL_SHORT, {**short, "contexts": SHORT_CONTEXTS if "beside" in request.param else 100})
            for context_id, members in (
                (LONG_ID, {"roles": ["user"]}),
                (IMAGES_ID, {"roles": ["user"], "tokens": 0}),
                # Calls without a request; and such that are made before the last has been answered.
                (TOOLS_ID, {}),
                (PIPELINED_ID, {"lag": 3}),
                (COMPACTED_ID, {}),
                # 20 kB for each tool message.
                (METADATA_ID, {"length": 1_000, "metadata": 640}),
            ):
                named = {"id": context_id, "name": str(context_id), "created_at": datetime.now(UTC), "start": START}
                plain = {"length": LONG, "tokens": TOKENS, "roles": ["assistant", "tool"], "lag": 1, "metadata": 0}
                conn.execute(FILL, {**named, **plain, **members})
            summaries = {"id": COMPACTED_ID, "count": COMPACTIONS, "every": LONG // COMPACTIONS, "start": START}
            conn.execute(FILL_COMPACTIONS, summaries)
            conn.execute("UPDATE contexts SET compaction_count = %s WHERE id = %s", [COMPACTIONS, COMPACTED_ID])
        yield url
    finally:
        database.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(scope="module", params=["unknown", "analyzed"])
def statistics(request: pytest.FixtureRequest, world: str) -> str:
    """The same database, before its first ANALYZE and after it."""
    if request.param == "analyzed":
        with psycopg.connect(world, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
    return world


def buffers(url: str, mode: str, statement: str, parameters: Mapping[str, Any]) -> int:
    """What a statement touches, with parameters of the types that psycopg sends; nothing of it is kept."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    given = SQL(", ").join(Literal(parameters[name]) for name in names)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SQL("SET plan_cache_mode = {}").format(Literal(f"force_{mode}_plan")))
        with rolled_back(conn):
            conn.execute(statement.encode(), parameters, prepare=True)
        [(prepared,)] = conn.execute("SELECT name FROM pg_prepared_statements").fetchall()
        execute = SQL("EXECUTE {}({})" if names else "EXECUTE {}").format(Identifier(prepared), given)
        with rolled_back(conn):
            [[[plan]]] = conn.execute(SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + execute).fetchall()
    kinds = ("Shared Hit", "Shared Read", "Temp Read", "Temp Written")
    return int(sum(plan["Plan"][f"{kind} Blocks"] for kind in kinds))


@contextmanager
def rolled_back(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that is rolled back unseen by psycopg, which would drop its prepared statements for it."""
    conn.pgconn.exec_(b"BEGIN")
    try:
        yield
    finally:
        conn.pgconn.exec_(b"ROLLBACK")


class TestMatrix:
    def test_has_a_row_for_every_statement(self) -> None:
        assert {row.statement for row in MATRIX} == STATEMENTS.keys()

    def test_has_no_statement_that_psycopg_reads_anew_each_time(self) -> None:
        """As it does with more than 4,096 characters: a twentieth of a millisecond and more (measured)."""
        assert [name for name, text in STATEMENTS.items() if len(text) > MAX_CACHED_STATEMENT_LENGTH] == []

    @pytest.mark.parametrize("mode", ["custom", "generic"])
    def test_touches_no_more_than_its_bounds_whatever_the_planner_knows(self, statistics: str, mode: str) -> None:
        touched = {
            f"{row.statement} {row.case}": (
                buffers(statistics, mode, STATEMENTS[row.statement], row.parameters),
                row.most,
            )
            for row in MATRIX
            if not (row.unprepared and mode == "generic")
        }

        assert {name: pair for name, pair in touched.items() if pair[0] > pair[1]} == {}

    @pytest.mark.parametrize("statistics", ["unknown"], indirect=True)
    def test_would_catch_the_page_that_read_a_whole_history(self, statistics: str) -> None:
        [row] = [row for row in MATRIX if row.case == "first, at None" and "desc" in row.statement]

        assert buffers(statistics, "custom", TWO_UPPER_BOUNDS, row.parameters) > 100 * row.most
