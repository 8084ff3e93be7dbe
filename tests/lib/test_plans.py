"""The plan matrix: each statement of each repository touches as much of a long history as of a short one.

Whatever the planner knows: with statistics and without, long contexts and forks alone or beside thousands of others,
custom plans and generic ones. What is counted is buffers (pages of 8 kB), which are the same on every machine.
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
from lib.forks import MAX_ANCESTORS
from tests.lib import worlds
from tests.lib.worlds import (
    CHAIN_ID,
    CLOSE_ID,
    COMPACTED_CHAIN_ID,
    COMPACTED_ID,
    COMPACTIONS,
    EARLY_ID,
    EARLY_IMAGES_ID,
    EARLY_TOOLS_ID,
    FAR_ID,
    FEW,
    HALF_ID,
    HUGE_ID,
    HUGE_IMAGES_ID,
    IMAGES_CHAIN_ID,
    IMAGES_ID,
    LARGE_ID,
    LEVEL,
    LONG,
    LONG_ID,
    METADATA_ID,
    OWN,
    PARENT_ID,
    PIPELINED_ID,
    SHORT_CONTEXTS,
    START,
    TOOLS_CHAIN_ID,
    TOOLS_ID,
    WORLDS,
)

# Of messages, contexts, or compactions.
PAGE = 51

# Rows that may be sorted: a page, or a lineage with the context itself.
SORTED = max(PAGE, MAX_ANCESTORS + 1)

# jit_above_cost: what PostgreSQL takes for dearer it compiles first, which takes longer than to run it.
COMPILED = 100_000

ORPHAN = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": "x"}]})
ORPHANS = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": each} for each in "xy"]})
ANSWER = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": "c"}]})
ANSWERS = json.dumps({"messages": [{"role": "tool", "content": "x", "toolCallId": each} for each in "cx"]})
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
TEXTS = dict(statements())
# Without those that are parts of others.
STATEMENTS = {
    name: text for name, text in TEXTS.items() if not any(text in other and text != other for other in TEXTS.values())
}


@dataclass(frozen=True, slots=True)
class Row:
    """A statement with parameters, and the buffers that it may touch; unprepared: it is never planned generically."""

    statement: str
    case: str
    most: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    unprepared: bool = False


# Messages of the end of a chain.
DEEP = LONG + MAX_ANCESTORS * LEVEL


def pages() -> Iterator[Row]:
    """51 messages of 24 bytes are on 2 pages; a window function and its sort touch no more.

    In a fork they may be of two owners, in a chain of 17 or 18; each look into an index touches 3 or 4.
    """
    for context, context_id, forked_at, latest, most in (
        ("plain", LONG_ID, LONG // 2, LONG, 20),
        ("early", EARLY_ID, FEW, FEW + OWN, 20),
        ("close", CLOSE_ID, LONG, LONG + FEW, 20),
        ("far", FAR_ID, LONG // 2, LONG // 2 + LONG, 20),
        ("chain", CHAIN_ID, LONG, DEEP, 90),
    ):
        places = {
            "first": None,
            "early": 60,
            "within": forked_at - 25,
            "behind": forked_at,
            "just behind": forked_at + 52,
            "last": latest - 10,
            "beyond": 2**63 - 1,
        }
        for order in ("asc", "desc"):
            for name, cursor in places.items():
                start = 0 if cursor is None and order == "asc" else cursor
                parameters = {"context_id": context_id, "cursor": start, "at": None, "at_time": None, "limit": PAGE}
                case = f"{context}, {name}"
                yield Row(f"messages.NATIVE_PAGE[{order!r}]", case, most, parameters)
                for at in (None, forked_at - 5, 10):
                    yield Row(f"messages.PAGE[{order!r}]", f"{case}, at {at}", most, {**parameters, "at": at})
            # A bisection looks 17 times.
            moment = {**parameters, "cursor": 60, "at_time": START + timedelta(seconds=latest - 5)}
            yield Row(f"messages.PAGE[{order!r}]", f"{context}, at a time", most + 80, moment)


# Policies, each of which reads in a way of its own; and all of them together.
POLICIES: dict[str, dict[str, Any]] = {
    "none": {},
    "head": {"keepPreamble": True, "keepRequest": True},
    "step": {"step": 200, "startOn": "user"},
    "clearing": {"clearToolResults": {"keepTokens": 200}},
    "due": {"compactionDue": {"threshold": 0.8, "keepTokens": 400}},
}
POLICIES["all"] = {name: value for policy in POLICIES.values() for name, value in policy.items()}

PLAIN = {"bare": False, "at": None, "at_time": None, "content": True}


def windows_of() -> Iterator[Row]:
    """A window of 80 messages is on 3 pages; each look into an index touches 3 to 5, and walks touch the run again.

    Where no unit is answered, up to where a compaction is due is looked for in 2,000 messages, which are on 50 pages.
    """
    for name, policy in POLICIES.items():
        for context_id, history in (
            (LONG_ID, "tokens"),
            (IMAGES_ID, "images"),
            (TOOLS_ID, "tools"),
            (PIPELINED_ID, "pipelined"),
        ):
            # Without tokens no budget ends a window, so it has all the messages that its bytes allow.
            most = 2_000 if context_id == IMAGES_ID else 150
            asked = {"context_id": context_id, "overrides": Jsonb({"budget": 800, **policy}), **PLAIN}
            yield Row("windows.WINDOW", f"{history}, {name}", most, asked)
            yield Row("windows.FORMAT_WINDOW", f"{history}, {name}", most, {**asked, "format": "anthropic"})
            yield Row("windows.WINDOW", f"{history}, {name}, figures", most, {**asked, "content": False})
            for at in (0, 50, LONG // 2, LONG - 5):
                few = most if at > 50 else 150
                yield Row("windows.WINDOW", f"{history}, {name}, at {at}", few, {**asked, "at": at})
        # A bisection looks 17 times.
        moment = {**asked, "context_id": LONG_ID, "at_time": START + timedelta(seconds=LONG // 2)}
        yield Row("windows.WINDOW", f"{name}, at a time", 200, moment)
    large = {**PLAIN, "context_id": METADATA_ID, "overrides": Jsonb({"budget": 800, **POLICIES["all"]})}
    yield Row("windows.WINDOW", "large metadata, figures", 150, {**large, "content": False})
    compacted = {**PLAIN, "context_id": COMPACTED_ID, "overrides": Jsonb({"budget": 800, **POLICIES["all"]})}
    # Those that were made later are passed over in the index, 10,000 of them on 130 pages.
    for version, most in ((None, 150), (1, 150), (LONG // 2, 250), (LONG - 5, 150)):
        yield Row("windows.WINDOW", f"compacted, at {version}", most, {**compacted, "at": version})


def windows_of_forks() -> Iterator[Row]:
    """As those of what is no fork. A window at the end of a chain is of 27 owners, of which each walk looks for each.

    Where no level has a request, all 256 are asked for one; so they are for a compaction, where none is in force. Who
    sees compactions of others adds up the revisions of all of them.
    """
    for context, context_id, forked_at, latest, most in (
        ("early", EARLY_ID, FEW, FEW + OWN, 150),
        ("early images", EARLY_IMAGES_ID, FEW, FEW + OWN, 150),
        ("early tools", EARLY_TOOLS_ID, FEW, FEW + OWN, 150),
        ("huge", HUGE_ID, FEW, FEW + OWN, 150),
        ("huge images", HUGE_IMAGES_ID, FEW, FEW + OWN, 150),
        ("close", CLOSE_ID, LONG, LONG + FEW, 150),
        ("far", FAR_ID, LONG // 2, LONG // 2 + LONG, 150),
        ("large metadata", LARGE_ID, 500, 500 + OWN, 150),
        ("half of the compactions", HALF_ID, LONG // 2, LONG // 2 + OWN, 250),
        ("chain", CHAIN_ID, LONG, DEEP, 350),
        ("chain of images", IMAGES_CHAIN_ID, LONG, DEEP, 1_500),
        ("chain of tools", TOOLS_CHAIN_ID, LONG, DEEP, 1_400),
        ("chain of compactions", COMPACTED_CHAIN_ID, LONG, DEEP, 2_500),
    ):
        for name, policy in POLICIES.items():
            asked = {"context_id": context_id, "overrides": Jsonb({"budget": 800, **policy}), **PLAIN}
            asked["content"] = context_id != LARGE_ID
            yield Row("windows.WINDOW", f"{context}, {name}", most, asked)
        yield Row("windows.FORMAT_WINDOW", context, most, {**asked, "format": "anthropic"})
        for name in ("none", "all"):
            asked = {**asked, "overrides": Jsonb({"budget": 800, **POLICIES[name]}), "content": False}
            yield Row("windows.WINDOW", f"{context}, {name}, figures", most, asked)
            for at in (0, 50, forked_at - 5, forked_at, forked_at + 5, min(forked_at + 80, latest)):
                yield Row("windows.WINDOW", f"{context}, {name}, at {at}", most, {**asked, "at": at})
            # A bisection looks 17 times.
            moment = {**asked, "at_time": START + timedelta(seconds=forked_at + 5)}
            yield Row("windows.WINDOW", f"{context}, {name}, at a time", most + 80, moment)


def compactions_of() -> Iterator[Row]:
    """Each has a page of its own, more or less, beside the context's; those that are made walk back over a unit.

    Those that the parent made later are passed over in the index, 10,000 of them on 70 pages. At the end of a chain all
    256 levels are asked for the one in force; and a refused one is looked for in the nearest 1,000 versions before and
    behind, which may be of as many.
    """
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
    keyed = {"key": "k", "fingerprint": b"f"}
    yield Row("compactions.MAKE", "plain", 100, new)
    yield Row("compactions.MAKE", "conditions", 110, {**new, **keyed, "expected_number": COMPACTIONS})
    # Behind and before where they fork.
    for name, context_id, through, expected, most in (
        ("half", HALF_ID, LONG // 2 + 1, COMPACTIONS // 2 + OWN // 2, 150),
        ("half, shared", HALF_ID, LONG // 2 - 1, COMPACTIONS // 2 + OWN // 2, 150),
        ("far", FAR_ID, LONG // 2 + 1, 0, 110),
        ("far, shared", FAR_ID, LONG // 2 - 1, 0, 110),
        ("chain", COMPACTED_CHAIN_ID, DEEP - 1, COMPACTIONS, 900),
        ("chain, shared", COMPACTED_CHAIN_ID, LONG - 1, COMPACTIONS, 900),
    ):
        made = {**new, **keyed, "context_id": context_id, "through_version": through, "expected_number": expected}
        yield Row("compactions.MAKE", name, most, made)
    for name, context_id, most in (
        ("plain", COMPACTED_ID, 110),
        ("half", HALF_ID, 160),
        ("far", FAR_ID, 110),
        ("chain", COMPACTED_CHAIN_ID, 2_000),
    ):
        for refused in (None, 10, LONG // 2, LONG):
            asked = {"context_id": context_id, "refused": refused, "key": "k"}
            yield Row("compactions.CLAIM", f"{name}, {refused}", most, asked)
    for name, context_id, counted, most in (
        ("plain", COMPACTED_ID, COMPACTIONS // 2, 20),
        ("half", HALF_ID, COMPACTIONS // 2, 20),
        ("chain", COMPACTED_CHAIN_ID, COMPACTIONS, 230),
    ):
        for cursor in (None, counted + 200, counted + 3, counted, 5, 2**63 - 1):
            parameters = {"context_id": context_id, "cursor": cursor, "limit": PAGE}
            yield Row("compactions.PAGE", f"{name}, after {cursor}", most, parameters)
        for number in (1, counted, counted + 1, counted + MAX_ANCESTORS, 2**40):
            one = {"context_id": context_id, "number": number}
            yield Row("compactions.READ", f"{name}, {number}", 12, one)
            yield Row("compactions.UNDO", f"{name}, {number}", 50, one)


def appends() -> Iterator[Row]:
    """A call is looked for in 1,000 messages, which are on 40 pages, and in 10 of the index; in a chain in 256 levels.

    Whoever writes may look for room on some pages first.
    """
    plain = {
        "context_id": LONG_ID,
        "body": BODY,
        "format": "kata",
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
        "external_id": None,
        "key": None,
        "fingerprint": None,
    }
    now = datetime.now(UTC)
    imported = {"created_at": [now], "first_given": now, "newest": now}
    two = {"count": 2, "token_counts": [1, 1], "running_tokens": [1, 2], "tokens": 2}
    for context, context_id, most, searching in (
        ("plain", LONG_ID, 50, 160),
        ("early", EARLY_ID, 50, 160),
        ("close", CLOSE_ID, 50, 160),
        ("far", FAR_ID, 50, 160),
        ("chain", CHAIN_ID, 50, 1_150),
    ):
        own = {**plain, "context_id": context_id}
        yield Row("messages.APPEND[False]", f"{context}", most, own)
        keyed = {**own, "key": "k", "fingerprint": b"f"}
        yield Row("messages.APPEND[False]", f"{context}, conditions", most + 10, keyed)
        yield Row("messages.APPEND[False]", f"{context}, a time", most + 10, {**own, **imported})
        yield Row("messages.APPEND[True]", f"{context}, metadata", 80, own)
        for case, members in (
            ("an orphan", {"body": ORPHAN}),
            ("orphans", {**two, "body": ORPHANS, "call_ids": ["x", "y"]}),
            ("an answer", {"body": ANSWER}),
            ("an answer and an orphan", {**two, "body": ANSWERS, "call_ids": ["c", "x"]}),
        ):
            yield Row("messages.APPEND[False]", f"{context}, {case}", searching, {**own, **members})
    yield Row("messages.CLAIM", "a key", 10, {"context_id": LONG_ID, "key": "k"})


def forks_of() -> Iterator[Row]:
    """As a context that is created, whatever it shares; an external id that moves changes all indexes of another one.

    A bisection of compactions looks 15 times.
    """
    new = {"body": "{}", "version": None, "policy": None, "key": None, "fingerprint": None, "expected_version": None}
    for context, context_id, forked_at, latest, most in (
        ("plain", LONG_ID, LONG // 2, LONG, 20),
        ("early", EARLY_ID, FEW, FEW + OWN, 20),
        ("far", FAR_ID, LONG // 2, LONG // 2 + LONG, 20),
        ("compacted", COMPACTED_ID, LONG // 2, LONG, 90),
        ("half", HALF_ID, LONG // 2, LONG // 2 + OWN, 90),
        ("chain", CHAIN_ID, LONG, DEEP, 20),
        ("chain of compactions", COMPACTED_CHAIN_ID, LONG, DEEP, 90),
    ):
        expecting = {**new, "parent_id": context_id, "expected_version": latest}
        yield Row("forks.FORK[True]", f"{context}, as expected", most + 100, expecting)
        for version in dict.fromkeys((None, 0, 50, forked_at - 5, forked_at, forked_at + 5, latest - 5)):
            if version is None or version <= latest:
                asked = {"parent_id": context_id, "version": version, "external_id": "short 77", "key": "another"}
                yield Row("forks.REFUSED", f"{context}, at {version}", most, asked)
                own = {**new, "parent_id": context_id, "version": version}
                yield Row("forks.FORK[False]", f"{context}, at {version}", most + 50, own)
                yield Row("forks.FORK[True]", f"{context}, at {version}", most + 100, own)
    for moves in (False, True):
        for key in ("key of short 77", "another"):
            keyed = {**new, "parent_id": LONG_ID, "key": key, "fingerprint": b"f"}
            yield Row(f"forks.FORK[{moves}]", f"with {key}", 60, keyed)
    for external_id in ("short 77", "another"):
        body = json.dumps({"externalId": external_id, "name": "n", "metadata": {"n": 1}})
        yield Row("forks.FORK[False]", external_id, 60, {**new, "parent_id": LONG_ID, "body": body, "policy": "{}"})


# Whose forks are asked for: of one that has thousands, a few, or none.
PARENTS = {"thousands": PARENT_ID, "few": LONG_ID, "no": METADATA_ID}


def lists() -> Iterator[Row]:
    """51 contexts are on 3 pages, and on twice as many where every other is a fork; some lie apart.

    So 10,000, which are looked at for a filter that none matches, are on 600 pages and more. PostgreSQL counts what
    many match in the order of the table, past those that are deleted.
    """
    for order in ("asc", "desc"):
        times = {"first": None, "middle": SHORT_CONTEXTS // 2, "last": 40 if order == "desc" else SHORT_CONTEXTS - 40}
        for name, number in times.items():
            created_at = None if number is None else START + timedelta(seconds=number)
            after = {"created_at": created_at, "id": None if number is None else UUID(int=0), "limit": PAGE}
            for which, filters in (
                ("all", [("all", None)]),
                ("no forks", [("no forks", None)]),
                ("forks", list(PARENTS.items())),
            ):
                for whose, parent_id in filters:
                    of = {**after, "parent_id": parent_id, "no_forks": which == "no forks", "external_id": None}
                    case = f"{name}, {whose}"
                    key = f"[({order!r}, {which!r})]"
                    yield Row(f"lists.LIST{key}", case, 40, {**of, "metadata": None})
                    few = {**of, "metadata": '{"n": 77}'}
                    yield Row(f"lists.LIST[({order!r}, 'metadata')]", case, 30, few)
                    yield Row(f"lists.LOOK{key}", case, 1_500, {**of, "metadata": '{"tags": []}'})
                    yield Row(f"lists.LOOK{key}", f"{case}, of many", 50, {**of, "metadata": '{"kind": "short"}'})
                    inside = {**of, "metadata": '{"list": [{"a": 1, "b": 2}]}'}
                    yield Row(f"lists.LOOK{key}", f"{case}, in one element", 1_500, inside)
                    external = {**of, "external_id": "short 77", "metadata": None}
                    yield Row(f"lists.LIST[({order!r}, 'external id')]", case, 12, external)
    for metadata, most in (('{"n": 77}', 30), ('{"kind": "short"}', 700)):
        yield Row("lists.COUNT_FEW", metadata, most, {"metadata": metadata}, unprepared=True)


def single_contexts() -> Iterator[Row]:
    keyless = {"body": "{}", "external_id": None, "policy": "{}", "key": None, "fingerprint": None}
    yield Row("contexts.CREATE", "new", 60, keyless)
    for external_id in ("short 77", "another"):
        body = json.dumps({"externalId": external_id})
        yield Row("contexts.CREATE", external_id, 60, {**keyless, "body": body, "external_id": external_id})
    for key in ("key of short 77", "another"):
        yield Row("contexts.CREATE", f"with {key}", 60, {**keyless, "key": key, "fingerprint": b"f"})
    patch = '{"name": "n", "metadata": {"a": 1}, "externalId": "e"}'
    for name, context_id in (("long", LONG_ID), ("chain", CHAIN_ID)):
        yield Row("contexts.READ", name, 8, {"context_id": context_id})
        changed = {"context_id": context_id, "body": patch, "policy": "{}", "etags": None}
        yield Row("contexts.UPDATE[False]", name, 60, changed)
        holder = {"holder_id": PARENT_ID, "expected_version": None}
        yield Row("contexts.UPDATE[True]", name, 110, {**changed, **holder})
        yield Row("contexts.HOLDER", name, 8, {"id": context_id})
        yield Row("contexts.DELETE", name, 50, {"context_id": context_id, "etags": None})
    yield Row("health.READ", "", 20)


MATRIX = [
    *pages(),
    *windows_of(),
    *windows_of_forks(),
    *compactions_of(),
    *appends(),
    *forks_of(),
    *lists(),
    *single_contexts(),
]

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


@pytest.fixture(scope="module")
def long_histories(database: psycopg.Connection[Any], database_url: str) -> Iterator[str]:
    """The name of a database that the worlds are copies of."""
    with worlds.database(database, database_url, "plans") as url:
        worlds.fill_long(url)
        yield "plans"


@pytest.fixture(scope="module", params=WORLDS)
def world(
    request: pytest.FixtureRequest, database: psycopg.Connection[Any], database_url: str, long_histories: str
) -> Iterator[str]:
    """The URL of a database with long histories, forks, and short contexts; nothing is analyzed yet."""
    with worlds.database(database, database_url, "plans_of_one", template=long_histories) as url:
        worlds.fill_short(url, request.param)
        yield url


@pytest.fixture(scope="module", params=["unknown", "analyzed"])
def statistics(request: pytest.FixtureRequest, world: str) -> str:
    """The same database, before its first ANALYZE and after it."""
    if request.param == "analyzed":
        with psycopg.connect(world, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
    return world


@dataclass(frozen=True, slots=True)
class Ran:
    """What a statement did: the buffers that it touched, and the most rows that it sorted at once.

    bitmap says whether it collected messages before it read them, which it then does all at once. cost is what the
    planner took it for.
    """

    buffers: int
    sorted: int
    bitmap: bool
    cost: float


def ran(plan: Mapping[str, Any]) -> Ran:
    """What EXPLAIN says that was."""
    kinds = ("Shared Hit", "Shared Read", "Temp Read", "Temp Written")
    nodes = list(nodes_of(plan))
    return Ran(
        sum(plan[f"{kind} Blocks"] for kind in kinds),
        max((int(node["Actual Rows"]) for node in nodes if node["Node Type"] == "Sort"), default=0),
        any(node["Node Type"] == "Bitmap Heap Scan" and node["Relation Name"] == "messages" for node in nodes),
        plan["Total Cost"],
    )


def nodes_of(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A plan's nodes; not those of the functions that it calls, of which only the buffers show."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


@contextmanager
def planning(url: str, mode: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose plans are all custom, or all generic."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SQL("SET plan_cache_mode = {}").format(Literal(f"force_{mode}_plan")))
        yield conn


def explained(conn: psycopg.Connection[Any], statement: str, parameters: Mapping[str, Any]) -> Ran:
    """What a statement does, with parameters of the types that psycopg sends; nothing of it is kept."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    given = SQL(", ").join(Literal(parameters[name]) for name in names)
    with rolled_back(conn):
        conn.execute(statement.encode(), parameters, prepare=True)
    [(prepared,)] = conn.execute("SELECT name FROM pg_prepared_statements").fetchall()
    execute = SQL("EXECUTE {}({})" if names else "EXECUTE {}").format(Identifier(prepared), given)
    with rolled_back(conn):
        [[[plan]]] = conn.execute(SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + execute).fetchall()
    conn.execute("DEALLOCATE ALL")
    return ran(plan["Plan"])


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
        with planning(statistics, mode) as conn:
            did = {
                f"{row.statement} {row.case}": (explained(conn, STATEMENTS[row.statement], row.parameters), row.most)
                for row in MATRIX
                if not (row.unprepared and mode == "generic")
            }

        assert {name: (done, most) for name, (done, most) in did.items() if done.buffers > most} == {}
        assert {name: done for name, (done, _) in did.items() if done.sorted > SORTED or done.bitmap} == {}
        assert {name: done for name, (done, _) in did.items() if done.cost > COMPILED} == {}

    @pytest.mark.parametrize(("world", "statistics"), [("alone", "unknown")], indirect=True)
    def test_would_catch_the_page_that_read_a_whole_history(self, statistics: str) -> None:
        [row] = [row for row in MATRIX if row.case == "plain, first, at None" and "desc" in row.statement]

        with planning(statistics, "custom") as conn:
            assert explained(conn, TWO_UPPER_BOUNDS, row.parameters).buffers > 100 * row.most
