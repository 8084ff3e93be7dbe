"""What the hot queries touch, by EXPLAIN: as much of a long history as of a short one."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from lib import contexts, messages, windows

# The messages of a window of 800 tokens at 10 tokens each; a page has 50.
WINDOW_ROWS = 80

Explain = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def histories(database: psycopg.Connection[Any]) -> dict[int, UUID]:
    """Contexts of 100 and of 100,000 messages, by length."""
    made = {}
    for length in (100, 100_000):
        context_id = uuid4()
        database.execute(
            "INSERT INTO contexts (id, message_count, latest_version, total_tokens) VALUES (%s, %s, %s, %s)",
            [context_id, length, length, 10 * length],
        )
        database.execute(
            """
            INSERT INTO messages (context_id, version, role, content, token_count, cumulative_tokens, created_at)
            SELECT %s, version, 'user', to_json(repeat('x', 200)), 10, 10 * version, now()
            FROM generate_series(1, %s) AS version
            """,
            [context_id, length],
        )
        made[length] = context_id
    database.execute("VACUUM ANALYZE messages")
    return made


@pytest.fixture(params=["custom plan", "generic plan"])
def explain(database_url: str, request: pytest.FixtureRequest) -> Explain:
    """EXPLAIN (ANALYZE, BUFFERS), as a statement is planned at first and as it is once it is prepared."""

    def explain(statement: str, **parameters: Any) -> dict[str, Any]:
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(f"SET plan_cache_mode = force_{request.param.replace(' ', '_')}")
            names = [name for name in parameters if f"%({name})s" in statement]
            for number, name in enumerate(names, 1):
                statement = statement.replace(f"%({name})s", f"${number}")
            types = {"context_id": "uuid", "metadata": "jsonb", "created_at": "timestamptz", "id": "uuid"}
            types |= {"expected_versions": "bigint[]", "key": "text", "fingerprint": "bytea"}
            declared = ", ".join(types.get(name, "bigint") for name in names)
            conn.execute(f"PREPARE query ({declared}) AS {statement}".encode())
            given = ", ".join("NULL" if parameters[name] is None else f"'{parameters[name]}'" for name in names)
            for _ in range(2):  # the first run fills the caches of the catalog
                [[[plan]]] = conn.execute(
                    f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE query ({given})".encode()
                ).fetchall()
        result: dict[str, Any] = plan["Plan"]
        return result

    return explain


def buffers(plan: dict[str, Any]) -> int:
    """8 kB pages."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def rows_touched(plan: dict[str, Any], relation: str = "messages") -> int:
    """Rows that scans of the table gave or filtered out."""
    scans = [node for node in nodes(plan) if node.get("Relation Name") == relation]
    assert scans
    assert not [node for node in scans if "Seq Scan" in node["Node Type"]]
    touched = [(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans]
    return int(sum(touched))


class TestWindow:
    def test_touches_the_rows_it_returns_and_no_more_in_a_long_history(
        self, histories: dict[int, UUID], explain: Explain
    ) -> None:
        short, long = (
            explain(windows.WINDOW, context_id=context_id, budget=10 * WINDOW_ROWS) for context_id in histories.values()
        )

        assert rows_touched(short) <= WINDOW_ROWS + 2
        assert rows_touched(long) <= WINDOW_ROWS + 2
        assert abs(buffers(long) - buffers(short)) <= 6

    def test_at_a_past_version_touches_as_little(self, histories: dict[int, UUID], explain: Explain) -> None:
        short, long = (
            explain(windows.WINDOW_AT, context_id=context_id, budget=10 * WINDOW_ROWS, at=length - 5)
            for length, context_id in histories.items()
        )

        assert rows_touched(long) <= WINDOW_ROWS + 3
        assert abs(buffers(long) - buffers(short)) <= 8


class TestPage:
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_touches_the_rows_it_returns_wherever_it_starts(
        self, histories: dict[int, UUID], explain: Explain, order: str
    ) -> None:
        plans = [
            explain(messages.PAGE[order], context_id=histories[100_000], cursor=cursor, at=None, limit=51)
            for cursor in (60, 50_000, 99_900)
        ]

        assert max(rows_touched(plan) for plan in plans) <= 52
        assert max(map(buffers, plans)) - min(map(buffers, plans)) <= 6


class TestAppend:
    def test_touches_nothing_of_the_history(self, histories: dict[int, UUID], explain: Explain) -> None:
        def appended(context_id: UUID) -> int:
            statement = messages.APPEND.replace("%(body)s", """'{"messages":[{"role":"user","content":"x"}]}'""")
            for name, value in (("token_counts", "{1}"), ("running_tokens", "{1}"), ("embeddings", "{NULL}")):
                statement = statement.replace(f"%({name})s", f"'{value}'")
            return buffers(
                explain(
                    statement,
                    context_id=context_id,
                    count=1,
                    tokens=1,
                    expected_versions=None,
                    key=str(uuid4()),
                    fingerprint="f",
                )
            )

        short, long = (appended(context_id) for context_id in histories.values())

        assert abs(long - short) <= 12


class TestContexts:
    def test_a_list_walks_its_index(
        self, database: psycopg.Connection[Any], histories: dict[int, UUID], explain: Explain
    ) -> None:
        database.execute(
            "INSERT INTO contexts (metadata) SELECT jsonb_build_object('n', n) FROM generate_series(1, 5000) AS n"
        )
        database.execute("VACUUM ANALYZE contexts")

        plan = explain(contexts.LIST["desc", False], created_at=None, id=None, limit=51)

        assert rows_touched(plan, "contexts") <= 60

    @pytest.mark.parametrize("explain", ["custom plan"], indirect=True)  # never prepared
    def test_a_filter_finds_its_few_among_many(self, histories: dict[int, UUID], explain: Explain) -> None:
        plan = explain(contexts.LIST["desc", True], created_at=None, id=None, metadata='{"n": 77}', limit=51)

        assert "contexts_metadata_idx" in [node.get("Index Name") for node in nodes(plan)]
