"""Applies the numbered SQL files of migrations/, each once: `python -m scripts.migrate [up | status | new NAME]`.

Needs nothing but psycopg. Connects to DATABASE_URL_UNPOOLED or else DATABASE_URL, and never prints either. A file runs
in one transaction with the record of it. One whose first line is `-- migrate: no-transaction` holds statements that
cannot (CREATE INDEX CONCURRENTLY). It is recorded after the last of them and, where one fails, runs again from the
first: so it drops first what a failed run may have left.
"""

import argparse
import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from scripts.statements import Statement, split

# What it says of an interrupted connection is no help to whoever interrupted it.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

DIRECTORY = Path(__file__).parent.parent / "migrations"
FILE_NAME = re.compile(r"[0-9]{4}_[a-z0-9_]+")
NO_TRANSACTION = "-- migrate: no-transaction"

# Any number will do, as long as nothing else in the database uses it: "kata" in ASCII.
LOCK_KEY = 0x6B617461

# A statement that waits for a busy table holds up everything behind it: better to fail and be run again.
LOCK_TIMEOUT = "5s"

# Seconds to wait for another run, which may rightly be busy for long.
RUN_TIMEOUT = 600


class MigrationError(Exception):
    """The migration could not be carried out; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without the ending, and its SQL with line ends of one character."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """Whether the file may run inside a transaction, which is the rule."""
        return self.sql.partition("\n")[0].rstrip() != NO_TRANSACTION


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
        _take_turn(conn)
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
    stem = f"{_next_number(files(directory)):04}_{name}"
    if not FILE_NAME.fullmatch(stem):
        raise MigrationError(f"cannot use {name!r} as a name: use lower-case letters, digits and underscores")
    path = directory / f"{stem}.sql"
    path.write_text("-- What this changes, why, and how it behaves on a large table: which locks, for how long.\n")
    return path


def _next_number(migrations: list[Migration]) -> int:
    return max((int(migration.name[:4]) for migration in migrations), default=0) + 1


def files(directory: Path) -> list[Migration]:
    """The migrations in directory, in order. Raises MigrationError for a file that cannot be one."""
    paths = sorted(directory.glob("*.sql"))
    if wrong := [path.name for path in paths if not FILE_NAME.fullmatch(path.stem)]:
        raise MigrationError(f"cannot use these file names, which are not NNNN_noun.sql: {', '.join(wrong)}")
    numbers = [path.stem[:4] for path in paths]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise MigrationError(f"cannot tell the order of migrations with the same number: {', '.join(twice)}")
    return [_read(path) for path in paths]


def _read(path: Path) -> Migration:
    try:
        sql = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MigrationError(f"cannot read {path.name}: it is not UTF-8") from None
    except OSError as error:
        raise MigrationError(f"cannot read {path.name}: {error.strerror}") from None
    if "\0" in sql:
        raise MigrationError(f"cannot read {path.name}: it holds a NUL, where PostgreSQL would stop reading")
    return Migration(path.stem, sql)


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


# Of the indexes that the SQL names, those that a failed CREATE INDEX CONCURRENTLY has left.
INVALID_INDEXES = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND strpos(%(sql)s, relname) > 0
"""


def _apply(conn: psycopg.Connection, migration: Migration) -> int:
    name = migration.name
    statements = list(split(migration.sql))
    # Before any of them runs: with a COMMIT half of the file would stay, whatever becomes of the rest.
    for statement in statements:
        if _controls_transaction(statement):
            raise MigrationError(
                f"cannot apply {name}, line {statement.line}: it may not begin or end a transaction itself, so take"
                f" {statement.words[0]} out"
            )
    # What a file has SET is for itself.
    conn.execute("RESET ALL")
    conn.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    started = time.perf_counter()
    try:
        with conn.transaction() if migration.in_transaction else nullcontext():
            for statement in statements:
                tag = _execute(conn, name, statement)
                ended = tag == "COMMIT" or conn.info.transaction_status == TransactionStatus.IDLE
                if migration.in_transaction and ended:
                    raise MigrationError(f"cannot go on with {name}, line {statement.line}: its transaction ended here")
            if not migration.in_transaction:
                _check_indexes(conn, migration)
            milliseconds = round((time.perf_counter() - started) * 1000)
            conn.execute(RECORD, {"name": name, "checksum": migration.checksum, "duration_ms": milliseconds})
    except psycopg.Error as error:  # a deferred constraint, say, which is checked at the end
        raise MigrationError(f"cannot apply {name}: {_one_line(error)}") from None
    except KeyboardInterrupt:
        if migration.in_transaction:
            raise
        raise KeyboardInterrupt(f"{name} keeps what it had done by then, and starts again from its top") from None
    return milliseconds


def _controls_transaction(statement: Statement) -> bool:
    """Whether it begins or ends a transaction, as no savepoint does."""
    match statement.words:
        case ["ROLLBACK", "TO", *_] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", *_]:
            return False
        case ["ABORT" | "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "START", *_] | ["PREPARE", "TRANSACTION", *_]:
            return True
    return False


def _execute(conn: psycopg.Connection, name: str, statement: Statement) -> str | None:
    """Runs statement and returns the server's word for what it was."""
    try:
        # Binary results come by the extended protocol only, where the server itself refuses more than one statement:
        # so a COMMIT that split() has overlooked fails, and does not run.
        text = statement.text.encode(conn.info.encoding)
        return conn.execute(text, binary=True, prepare=False).statusmessage
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(f"could not apply {name}: a table was busy for {LOCK_TIMEOUT}; run it again") from None
    except psycopg.Error as error:
        line = statement.line + statement.text.count("\n", 0, int(error.diag.statement_position or 1) - 1)
        raise MigrationError(f"cannot apply {name}, line {line}: {_one_line(error)}{_hint(error)}") from None
    except UnicodeEncodeError:
        raise MigrationError(
            f"cannot apply {name}, line {statement.line}: the client_encoding that it has set lacks a character of it"
        ) from None


def _check_indexes(conn: psycopg.Connection, migration: Migration) -> None:
    # CREATE INDEX CONCURRENTLY IF NOT EXISTS takes an index for existing that an earlier run could not finish.
    invalid = [str(name) for (name,) in conn.execute(INVALID_INDEXES, {"sql": migration.sql})]
    if invalid:
        raise MigrationError(
            f"cannot record {migration.name}: an earlier run left {', '.join(invalid)} invalid;"
            " put DROP INDEX CONCURRENTLY IF EXISTS for it at the top of the file"
        )


def _hint(error: psycopg.Error) -> str:
    if 'extension "vector"' not in str(error):
        return ""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "; have an administrator run CREATE EXTENSION vector in this database once (on Neon any owner may)"
    return "; install pgvector on the database server first: https://github.com/pgvector/pgvector"


def _pending(migrations: list[Migration], applied: list[Applied]) -> list[Migration]:
    by_name = {migration.name: migration for migration in migrations}
    if missing := [record.name for record in applied if record.name not in by_name]:
        raise MigrationError(f"cannot go on: applied migrations have no file: {', '.join(missing)}")
    if changed := [record.name for record in applied if record.checksum != by_name[record.name].checksum]:
        raise MigrationError(
            f"cannot go on: applied migrations have changed: {', '.join(changed)}; restore them and add a new one"
        )
    done = {record.name for record in applied}
    pending = [migration for migration in migrations if migration.name not in done]
    if late := [migration.name for migration in pending if migration.name < max(done, default="")]:
        raise MigrationError(
            f"cannot go on: {max(done)} is applied, and these numbers before it are not: {', '.join(late)};"
            f" rename what is new, from {_next_number(migrations):04} on"
        )
    return pending


APPLIED = "SELECT name, checksum, applied_at, duration_ms FROM schema_migrations ORDER BY name"


def _applied(conn: psycopg.Connection) -> list[Applied]:
    with conn.cursor(row_factory=class_row(Applied)) as cursor:
        try:
            return cursor.execute(APPLIED).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    password = str(_options(url).get("password") or "")
    try:
        conn = psycopg.connect(
            url, autocommit=True, connect_timeout=10, client_encoding="utf8", application_name="kata-context migrate"
        )
    except psycopg.Error as error:
        text = _one_line(error)
        raise MigrationError(
            f"could not connect to the database: {text.replace(password, '…') if password else text}"
        ) from None
    try:
        with conn:
            yield conn
    except psycopg.Error as error:
        raise MigrationError(f"could not go on: {_one_line(error)}") from None


def _take_turn(conn: psycopg.Connection) -> None:
    """Holds a lock until conn closes. Raises MigrationError where another run has held it for RUN_TIMEOUT."""
    # Asked for again and again, because waiting inside pg_advisory_lock is a running statement, and CREATE INDEX
    # CONCURRENTLY in the other run waits for all of those: a deadlock.
    deadline = time.monotonic() + RUN_TIMEOUT
    while conn.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() == (False,):
        if time.monotonic() > deadline:
            raise MigrationError(f"could not start: another run has been busy for {RUN_TIMEOUT} s")
        time.sleep(0.1)


def database_url(environment: Mapping[str, str]) -> str:
    """DATABASE_URL_UNPOOLED or else DATABASE_URL. Raises MigrationError for neither, or for a pooler."""
    url = (environment.get("DATABASE_URL_UNPOOLED") or environment.get("DATABASE_URL") or "").strip()
    if not url:
        raise MigrationError("cannot tell which database: set DATABASE_URL_UNPOOLED or DATABASE_URL")
    if str(_options(url).get("host") or "").partition(".")[0].endswith("-pooler"):
        raise MigrationError("cannot migrate through a pooler, which keeps no locks: set DATABASE_URL_UNPOOLED")
    return url


def _options(url: str) -> dict[str, Any]:
    """What libpq reads in url. Raises MigrationError where it would take a part of the password for something else."""
    try:
        options = conninfo_to_dict(url)
        places = f"{options.get('host')}{options.get('dbname')}"
        if "@" not in places and re.fullmatch("[0-9,]*", str(options.get("port") or "")):
            return options
    except psycopg.Error:
        pass  # its text quotes what it could not read
    raise MigrationError(
        "cannot read the database's URL: it must be postgresql://user:password@host/database with options of libpq,"
        " and percent-encode what is special in the password"
    )


def _one_line(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip().partition("\n")[0]


def main(arguments: list[str] | None = None, directory: Path = DIRECTORY) -> int:
    """The command. Returns the exit status: 0, 1 where something went wrong, or 130 after an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m scripts.migrate", description="Applies migrations/ to PostgreSQL.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("up", help="apply what is pending (the default)")
    commands.add_parser("status", help="show what is applied and what is pending")
    commands.add_parser("new", help="make an empty migration").add_argument("name")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "new":
            print(new(chosen.name, directory))
        elif chosen.command == "status":
            applied, pending = status(database_url(os.environ), directory)
            for record in applied:
                print(f"applied  {record.name}  {record.applied_at:%Y-%m-%d %H:%M:%S%z}  {record.duration_ms} ms")
            for migration in pending:
                print(f"pending  {migration.name}")
        else:
            count = 0
            for count, (migration, milliseconds) in enumerate(up(database_url(os.environ), directory), 1):  # noqa: B007
                print(f"applied  {migration.name}  {milliseconds} ms", flush=True)
            print(f"{count} applied, database up to date")
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"migrate: interrupted; {str(interrupt) or 'what was not applied was rolled back'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
