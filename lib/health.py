"""What the database says about itself: pgvector's version and the migrations it has had."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

MIGRATIONS = Path(__file__).parent.parent / "migrations"


@dataclass(frozen=True, slots=True)
class Database:
    """What a healthy database answers."""

    pgvector: str | None
    applied: Sequence[str]


READ = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
    coalesce(array_agg(name), '{}') AS applied
FROM schema_migrations
"""


async def read(conn: AsyncConnection[Any]) -> Database:
    """The database's state."""
    async with conn.cursor(row_factory=class_row(Database)) as cursor:
        await cursor.execute(READ)
        return (await cursor.fetchall())[0]


def pending(applied: Sequence[str]) -> list[str]:
    """The names of this code's migrations that are not among applied, in order."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql") if path.stem not in applied)
