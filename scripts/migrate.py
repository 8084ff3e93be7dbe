"""Applies the numbered SQL files of migrations/, each once: `python -m scripts.migrate [up | status | new NAME]`.

Needs nothing but psycopg. Connects to DATABASE_URL_UNPOOLED or else DATABASE_URL, and never prints either. A file runs
in one transaction with the record of it; one whose first line is `-- migrate: no-transaction` holds a single statement
that cannot run in one (CREATE INDEX CONCURRENTLY) and must be safe to run again.
"""

import argparse
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import class_row

DIRECTORY = Path(__file__).parent.parent / "migrations"
FILE_NAME = re.compile(r"[0-9]{4}_[a-z0-9_]+")
NO_TRANSACTION = "-- migrate: no-transaction"

# Any number will do, as long as nothing else in the database uses it: "kata" in ASCII.
LOCK_KEY = 0x6B617461

# A statement that waits for a busy table holds up everything behind it: better to fail and be run again.
LOCK_TIMEOUT = "5s"

# Another run may rightly be busy for long.
RUN_TIMEOUT = "10min"


class MigrationError(Exception):
    """The migration could not be carried out; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without the ending, and its SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """Whether the file may run inside a transaction, which is the rule."""
        return not self.sql.startswith(NO_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Applied:
    """The record of a migration that the database has had."""

    name: str
    checksum: str
    applied_at: datetime
    duration_ms: int


def up(url: str, directory: Path = DIRECTORY) -> Iterator[tuple[Migration, int]]:
    """Applies what is pending, in order, and yields each file with the milliseconds it took.

    Raises MigrationError. Two runs at once apply each file once: the second waits for the first.
    """
    migrations = files(directory)
    with _connected(url) as conn:
        conn.execute("SELECT set_config('lock_timeout', %s, false)", [RUN_TIMEOUT])
        conn.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        conn.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
        conn.execute(CREATE_RECORD)
        for migration in _pending(migrations, _applied(conn)):
            yield migration, _apply(conn, migration)


def status(url: str, directory: Path = DIRECTORY) -> tuple[list[Applied], list[Migration]]:
    """What has been applied and what is pending. Raises MigrationError where the two do not fit together."""
    migrations = files(directory)
    with _connected(url) as conn:
        applied = _applied(conn)
    return applied, _pending(migrations, applied)


def new(name: str, directory: Path = DIRECTORY) -> Path:
    """An empty migration with the next number. Raises MigrationError for a name that is not a_few_words."""
    number = max((int(migration.name[:4]) for migration in files(directory)), default=0) + 1
    path = directory / f"{number:04}_{name}.sql"
    if not FILE_NAME.fullmatch(path.stem):
        raise MigrationError(f"cannot use {name!r} as a name: use lower-case letters, digits and underscores")
    path.write_text("-- What this changes, why, and how it behaves on a large table: which locks, for how long.\n")
    return path


def files(directory: Path) -> list[Migration]:
    """The migrations in directory, in order. Raises MigrationError for a wrong name or a number used twice."""
    paths = sorted(directory.glob("*.sql"))
    if wrong := [path.name for path in paths if not FILE_NAME.fullmatch(path.stem)]:
        raise MigrationError(f"cannot use these file names, which are not NNNN_noun.sql: {', '.join(wrong)}")
    numbers = [path.stem[:4] for path in paths]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise MigrationError(f"cannot tell the order of migrations with the same number: {', '.join(twice)}")
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in paths]


CREATE_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (name)
)
"""

RECORD = "INSERT INTO schema_migrations (name, checksum, duration_ms) VALUES (%(name)s, %(checksum)s, %(duration_ms)s)"


def _apply(conn: psycopg.Connection, migration: Migration) -> int:
    started = time.perf_counter()
    record = {"name": migration.name, "checksum": migration.checksum}
    try:
        if migration.in_transaction:
            with conn.transaction():
                conn.execute(migration.sql.encode())
                milliseconds = round((time.perf_counter() - started) * 1000)
                conn.execute(RECORD, {**record, "duration_ms": milliseconds})
        else:
            conn.execute(migration.sql.encode())
            milliseconds = round((time.perf_counter() - started) * 1000)
            conn.execute(RECORD, {**record, "duration_ms": milliseconds})
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            f"could not apply {migration.name}: a table it changes was busy for {LOCK_TIMEOUT}; run it again"
        ) from None
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile) as error:
        hint = ""
        if "extension" in str(error):
            hint = "; have an administrator run CREATE EXTENSION vector in this database once (Neon: any owner may)"
        raise MigrationError(f"cannot apply {migration.name}: {_one_line(error)}{hint}") from None
    except psycopg.Error as error:
        raise MigrationError(f"cannot apply {migration.name}: {_one_line(error)}") from None
    return milliseconds


def _pending(migrations: list[Migration], applied: list[Applied]) -> list[Migration]:
    by_name = {migration.name: migration for migration in migrations}
    if missing := [record.name for record in applied if record.name not in by_name]:
        raise MigrationError(f"cannot go on: applied migrations have no file: {', '.join(missing)}")
    if changed := [record.name for record in applied if record.checksum != by_name[record.name].checksum]:
        raise MigrationError(
            f"cannot go on: applied migrations have changed: {', '.join(changed)}; restore them and add a new one"
        )
    done = {record.name for record in applied}
    return [migration for migration in migrations if migration.name not in done]


APPLIED = "SELECT name, checksum, applied_at, duration_ms FROM schema_migrations ORDER BY name"


def _applied(conn: psycopg.Connection) -> list[Applied]:
    with conn.cursor(row_factory=class_row(Applied)) as cursor:
        try:
            return cursor.execute(APPLIED).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    try:
        conn = psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="kata-context migrate")
    except psycopg.Error as error:
        raise MigrationError(f"could not connect to the database: {_one_line(error)}") from None
    try:
        with conn:
            yield conn
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(f"could not start: another run has been busy for {RUN_TIMEOUT}") from None
    except psycopg.OperationalError as error:
        raise MigrationError(f"could not go on: {_one_line(error)}") from None


def database_url(environment: Mapping[str, str]) -> str:
    """DATABASE_URL_UNPOOLED or else DATABASE_URL. Raises MigrationError for neither, or for a pooler."""
    url = environment.get("DATABASE_URL_UNPOOLED") or environment.get("DATABASE_URL")
    if not url:
        raise MigrationError("cannot tell which database: set DATABASE_URL_UNPOOLED or DATABASE_URL")
    if (urlsplit(url).hostname or "").partition(".")[0].endswith("-pooler"):
        raise MigrationError("cannot migrate through a pooler, which keeps no locks: set DATABASE_URL_UNPOOLED")
    return url


def _one_line(error: psycopg.Error) -> str:
    """The first line of the error, without what libpq may quote from the connection string."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return re.sub(r"postgres(ql)?://\S+|password\S*", "…", text)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m scripts.migrate", description="Applies migrations/ to PostgreSQL.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("up", help="apply what is pending (the default)")
    commands.add_parser("status", help="show what is applied and what is pending")
    commands.add_parser("new", help="make an empty migration").add_argument("name")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "new":
            print(new(chosen.name))
        elif chosen.command == "status":
            applied, pending = status(database_url(os.environ))
            for record in applied:
                print(f"applied  {record.name}  {record.applied_at:%Y-%m-%d %H:%M:%S%z}  {record.duration_ms} ms")
            for migration in pending:
                print(f"pending  {migration.name}")
        else:
            count = 0
            for count, (migration, milliseconds) in enumerate(up(database_url(os.environ)), 1):  # noqa: B007
                print(f"applied  {migration.name}  {milliseconds} ms", flush=True)
            print(f"{count} applied, database up to date")
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
