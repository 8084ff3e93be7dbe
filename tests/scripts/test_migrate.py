"""python -m scripts.migrate: up, status, new. Each test has a database and a folder of migrations of its own."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import packages_distributions
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scripts import migrate
from scripts.migrate import MigrationError
from scripts.stack import postgres
from scripts.statements import Statement

ROOT = Path(__file__).parent.parent.parent
NUMBERS = count(1)
SECRET = "s3cret-Pa55"

# Opens a sub-process's Python with our migrations in another folder.
COMMAND = (
    "import sys; from pathlib import Path; from scripts import migrate;"
    "sys.exit(migrate.main(sys.argv[2:], directory=Path(sys.argv[1])))"
)


@dataclass
class Project:
    """A folder of migrations and an empty database for them."""

    folder: Path
    url: str

    def write(self, name: str, sql: str) -> None:
        (self.folder / f"{name}.sql").write_text(sql)

    def up(self) -> list[str]:
        """The names of what was applied."""
        return [migration.name for migration, _ in migrate.up(self.url, self.folder)]

    def query(self, sql: str) -> list[Any]:
        """The first column."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            return [row[0] for row in conn.execute(sql.encode())]

    def run(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(sql.encode())

    def recorded(self) -> list[Any]:
        return self.query("SELECT name FROM schema_migrations ORDER BY name")

    def tables(self) -> list[Any]:
        return self.query(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'schema_migrations' ORDER BY tablename"
        )


@pytest.fixture
def project(database_url: str, tmp_path: Path) -> Iterator[Project]:
    name = f"migrate_{os.getpid()}_{next(NUMBERS)}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield Project(tmp_path, make_conninfo(database_url, dbname=name))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """The URL of a role that may create tables and no more."""
    name = f"{conninfo_to_dict(project.url)['dbname']}_role"
    project.run(f"CREATE ROLE {name} LOGIN; GRANT CREATE ON SCHEMA public TO {name}")
    try:
        yield make_conninfo(project.url, user=name)
    finally:
        project.run(f"DROP OWNED BY {name}; DROP ROLE {name}")


def start(*arguments: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Starts the command in a process of its own, with only these DATABASE_… variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    process = start(*arguments, folder=folder, **variables)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class TestUp:
    def test_applies_what_is_pending_in_the_order_of_the_numbers(self, project: Project) -> None:
        project.write("0002_words", "ALTER TABLE notes ADD COLUMN words text")
        project.write("0001_notes", "CREATE TABLE notes (); CREATE TABLE tags ();")

        assert project.up() == ["0001_notes", "0002_words"]
        assert project.tables() == ["notes", "tags"]

    def test_applies_nothing_twice(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        assert project.up() == ["0001_notes"]
        assert project.up() == []

        project.write("0002_tags", "CREATE TABLE tags ()")
        assert project.up() == ["0002_tags"]

    def test_records_name_checksum_time_and_duration(self, project: Project) -> None:
        sql = "SELECT pg_sleep(0.05)"
        project.write("0001_notes", sql)

        [(migration, milliseconds)] = migrate.up(project.url, project.folder)

        [record], _ = migrate.status(project.url, project.folder)
        assert record.name == migration.name == "0001_notes"
        assert record.checksum == hashlib.sha256(sql.encode()).hexdigest()
        assert timedelta(0) <= datetime.now(UTC) - record.applied_at < timedelta(minutes=1)
        assert record.duration_ms == milliseconds
        assert 50 <= milliseconds < 5000

    def test_takes_percent_signs_quotes_and_unicode_as_they_stand(self, project: Project) -> None:
        project.write("0001_notes", """CREATE TABLE notes AS SELECT '100 %s %(a)s %% "é" 😀 \\n $1' AS text""")

        project.up()

        assert project.query("SELECT text FROM notes") == ['100 %s %(a)s %% "é" 😀 \\n $1']

    def test_keeps_what_a_file_sets_from_the_next_one(self, project: Project) -> None:
        project.write("0001_set", "SET lock_timeout = '1h'; SET work_mem = '123kB'; SET client_encoding = 'LATIN1'")
        project.write("0002_show", "CREATE TABLE é AS SELECT current_setting('lock_timeout') AS value")

        project.up()

        assert project.query("SELECT value FROM é") == [migrate.LOCK_TIMEOUT]

    def test_takes_the_encoding_that_a_file_sets(self, project: Project) -> None:
        project.write("0001_set", "SET client_encoding = 'LATIN1'; CREATE TABLE notes AS SELECT 'é' AS text")
        project.write("0002_set", "SET client_encoding = 'LATIN1';\nCREATE TABLE tags AS SELECT '😀' AS text")

        with pytest.raises(MigrationError, match=r"^cannot apply 0002_set, line 2: the client_encoding .* lacks a"):
            project.up()

        assert project.query("SELECT text FROM notes") == ["é"]
        assert project.tables() == ["notes"]

    @pytest.mark.parametrize("first", ["", migrate.NO_TRANSACTION])
    def test_tells_statements_apart_as_the_server_does(self, project: Project, first: str) -> None:
        """Quotes, comments and bodies with semicolons in them, several statements in a line, one over several."""
        project.write(
            "0001_notes",
            f"{first}\n"
            r"""/* ; /* nested ; */ don't ; */ CREATE TABLE "no;tes" (text text DEFAULT 'it''s;'); -- ; it's
            INSERT INTO "no;tes" VALUES (E'\';'), ($$;'$$), ($a$;$$;$b$;$a$), (U&'\0041;');;
            ;; SELECT 1 AS a$b$, 2 AS é$$;
            CREATE FUNCTION one(a int) RETURNS int LANGUAGE sql
            BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a > 0 THEN 1 END; END; CREATE RULE two AS ON DELETE TO "no;tes"
                DO INSTEAD (SELECT 1; SELECT 2); DO 'BEGIN PERFORM 1; END'; CREATE TABLE after ()
            """,
        )

        assert project.up() == ["0001_notes"]
        assert project.tables() == ["after", "no;tes"]
        assert project.query('SELECT text FROM "no;tes"') == ["';", ";'", ";$$;$b$;", "A;"]

    def test_applies_the_migrations_of_this_project_once(self, project: Project) -> None:
        names = sorted(path.stem for path in (ROOT / "migrations").glob("*.sql"))

        assert [migration.name for migration, _ in migrate.up(project.url)] == names
        assert list(migrate.up(project.url)) == []
        assert project.query("SELECT extname FROM pg_extension WHERE extname = 'vector'") == ["vector"]


class TestAFailingFile:
    def test_leaves_nothing_of_itself_and_the_files_before_it(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.write("0002_broken", "CREATE TABLE tags ();\nSELECT 1 / 0;")
        project.write("0003_after", "CREATE TABLE after ()")

        with pytest.raises(MigrationError, match=r"^cannot apply 0002_broken, line 2: division by zero$"):
            project.up()

        assert project.tables() == ["notes"]
        assert project.recorded() == ["0001_notes"]

    def test_is_applied_once_it_is_mended(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes (); SELECT 1 / 0")
        with pytest.raises(MigrationError):
            project.up()

        project.write("0001_notes", "CREATE TABLE notes ()")

        assert project.up() == ["0001_notes"]

    def test_is_named_with_the_line(self, project: Project) -> None:
        project.write("0001_notes", "-- A note, étranger.\nCREATE TABLE notes ();\nCREATE TABEL tags ();\n")

        with pytest.raises(MigrationError, match=r'^cannot apply 0001_notes, line 3: syntax error at or near "TABEL"$'):
            project.up()

    @pytest.mark.parametrize(
        "statement",
        [
            "COMMIT",
            "commit work",
            "COMMIT AND CHAIN",
            "END",
            "end transaction and no chain",
            "ABORT",
            "ROLLBACK",
            "ROLLBACK AND CHAIN",
            "ROLLBACK WORK",
            "ROLLBACK PREPARED 'other'",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
            "Start\n  Transaction READ ONLY",
            "PREPARE TRANSACTION 'other'",
            "/* a ; /* b */ */ COMMIT -- c",
        ],
    )
    def test_may_not_begin_or_end_a_transaction_itself(self, project: Project, statement: str) -> None:
        project.write(
            "0001_notes", f"CREATE TABLE notes ();\nCREATE TABLE words (); {statement}\n; CREATE TABLE tags ();"
        )

        with pytest.raises(
            MigrationError, match=r"^cannot apply 0001_notes, line 2: it may not begin or end a transaction itself"
        ):
            project.up()

        assert project.tables() == []

    def test_may_have_savepoints_and_an_isolation_level(self, project: Project) -> None:
        project.write(
            "0001_notes",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SAVEPOINT a; CREATE TABLE notes (); ROLLBACK TO a;"
            " ROLLBACK WORK TO SAVEPOINT a; RELEASE a; CREATE TABLE tags AS SELECT 'COMMIT;' AS \"END;\"",
        )

        project.up()

        assert project.tables() == ["tags"]

    def test_may_not_hold_two_statements_that_look_like_one(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the split is wrong, the server refuses what would run unseen."""
        monkeypatch.setattr(migrate, "split", lambda sql: [Statement(sql, 1, ("CREATE",))])
        project.write("0001_notes", "CREATE TABLE notes (); COMMIT; CREATE TABLE tags ();")

        with pytest.raises(MigrationError, match=r"cannot insert multiple commands into a prepared statement$"):
            project.up()

        assert project.tables() == []

    @pytest.mark.parametrize("statement", ["COMMIT", "COMMIT AND CHAIN", "END", "ROLLBACK", "PREPARE TRANSACTION 'x'"])
    def test_goes_no_further_where_its_transaction_has_ended_unseen(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, statement: str
    ) -> None:
        monkeypatch.setattr(migrate, "_controls_transaction", lambda _statement: False)
        project.write("0001_notes", f"SELECT 1;\n{statement};\nCREATE TABLE tags ();")

        with pytest.raises(MigrationError, match=r"^cannot (go on with|apply) 0001_notes, line 2: "):
            project.up()

        assert project.tables() == []
        assert project.recorded() == []

    def test_is_named_where_the_transaction_fails_at_its_end(self, project: Project) -> None:
        project.write(
            "0001_notes",
            "CREATE TABLE notes (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO notes VALUES (1), (1);",
        )

        with pytest.raises(MigrationError, match=r"^cannot apply 0001_notes: duplicate key value violates unique"):
            project.up()

        assert project.tables() == []

    def test_may_hold_functions_with_blocks(self, project: Project) -> None:
        project.write(
            "0001_one", "CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\nRETURN 1;\nEND;\n$$;"
        )

        project.up()

        assert project.query("SELECT one()") == [1]


class TestTwoRunsAtOnce:
    def test_apply_each_file_once(self, project: Project) -> None:
        project.write("0001_slow", "CREATE TABLE notes (); SELECT pg_sleep(0.5)")
        project.write("0002_next", "CREATE TABLE tags ()")

        with ThreadPoolExecutor() as threads:
            runs = [
                threads.submit(command, "up", folder=project.folder, DATABASE_URL=project.url)  # a process each
                for _ in range(3)
            ]
        answers = [run.result() for run in runs]

        assert [answer.returncode for answer in answers] == [0, 0, 0], answers
        assert sum(answer.stdout.count("applied  0001_slow") for answer in answers) == 1
        assert sum(answer.stdout.count("applied  0002_next") for answer in answers) == 1

    def test_do_not_block_an_index_that_is_built_concurrently(self, project: Project) -> None:
        """CREATE INDEX CONCURRENTLY waits for every statement that runs, so the second run may not wait inside one."""
        project.write("0001_notes", "CREATE TABLE notes (id int); SELECT pg_sleep(0.3)")
        project.write("0002_index", f"{migrate.NO_TRANSACTION}\nCREATE INDEX CONCURRENTLY notes_idx ON notes (id);")

        with ThreadPoolExecutor() as threads:
            runs = [threads.submit(project.up) for _ in range(3)]

        assert sorted(name for run in runs for name in run.result()) == ["0001_notes", "0002_index"]

    def test_give_up_after_a_while(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(migrate, "RUN_TIMEOUT", 0.2)
        with psycopg.connect(project.url) as other:
            other.execute("SELECT pg_advisory_lock(%s)", [migrate.LOCK_KEY])

            with pytest.raises(MigrationError, match=r"^could not start: another run has been busy for 0.2 s$"):
                project.up()


class TestARunAgainstABusyTable:
    def test_fails_clearly_and_does_not_hang(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "200ms")
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.up()
        project.write("0002_words", "CREATE TABLE tags (); ALTER TABLE notes ADD COLUMN words text")

        with psycopg.connect(project.url) as other:
            other.execute("SELECT * FROM notes")  # holds a lock on the table until its transaction ends
            started = time.monotonic()
            with pytest.raises(
                MigrationError, match=r"^could not apply 0002_words: a table was busy for 200ms; run it"
            ):
                project.up()
            assert time.monotonic() - started < 5

        assert project.tables() == ["notes"]
        assert project.up() == ["0002_words"]


class TestAppliedFiles:
    def test_may_not_change(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.up()
        project.write("0001_notes", "CREATE TABLE notes (); -- changed")
        project.write("0002_tags", "CREATE TABLE tags ()")

        with pytest.raises(
            MigrationError, match=r"^cannot go on: applied migrations have changed: 0001_notes; restore"
        ):
            project.up()
        with pytest.raises(MigrationError, match=r"have changed: 0001_notes"):
            migrate.status(project.url, project.folder)
        assert project.tables() == ["notes"]

    def test_may_not_go_missing(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.up()
        (project.folder / "0001_notes.sql").rename(project.folder / "0001_memos.sql")

        with pytest.raises(MigrationError, match=r"^cannot go on: applied migrations have no file: 0001_notes$"):
            project.up()

    @pytest.mark.parametrize("ask", [Project.up, lambda project: migrate.status(project.url, project.folder)])
    def test_may_not_be_followed_by_a_lower_number(self, project: Project, ask: Callable[[Project], Any]) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.write("0003_words", "CREATE TABLE words ()")
        project.up()
        project.write("0002_tags", "CREATE TABLE tags ()")
        project.write("0004_after", "CREATE TABLE after ()")

        with pytest.raises(MigrationError) as error:
            ask(project)

        assert str(error.value) == (
            "cannot go on: 0003_words is applied, and these numbers before it are not: 0002_tags; rename what is new,"
            " from 0005 on"
        )
        assert project.tables() == ["notes", "words"]
        (project.folder / "0002_tags.sql").rename(project.folder / "0005_tags.sql")
        assert project.up() == ["0004_after", "0005_tags"]

    def test_may_have_the_line_ends_of_another_system(self, project: Project) -> None:
        (project.folder / "0001_notes.sql").write_bytes(b"CREATE TABLE notes ();\n")
        project.up()
        (project.folder / "0001_notes.sql").write_bytes(b"CREATE TABLE notes ();\r\n")

        assert project.up() == []


class TestWithoutATransaction:
    def test_runs_each_statement_by_itself(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes (id int)")
        project.write(
            "0002_index",
            f"{migrate.NO_TRANSACTION}\n"
            "-- An index; on a busy table.\n"
            "DROP INDEX CONCURRENTLY IF EXISTS notes_idx; \n"
            "CREATE INDEX CONCURRENTLY notes_idx\n    ON notes (id);\n",
        )

        assert project.up() == ["0001_notes", "0002_index"]
        assert project.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_idx'::regclass") == [True]
        assert project.recorded() == ["0001_notes", "0002_index"]

    def test_may_not_begin_a_transaction_either(self, project: Project) -> None:
        project.write("0001_notes", f"{migrate.NO_TRANSACTION}\nCREATE TABLE notes (); BEGIN; CREATE TABLE tags ();")

        with pytest.raises(MigrationError, match=r"^cannot apply 0001_notes, line 2: .* so take BEGIN out$"):
            project.up()

        assert project.tables() == []

    def test_may_call_a_procedure_that_commits(self, project: Project) -> None:
        """The way to fill a large table in batches."""
        project.write("0001_notes", "CREATE TABLE notes (id int)")
        project.write(
            "0002_fill",
            f"{migrate.NO_TRANSACTION}\nTRUNCATE notes; DO $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO notes VALUES (i);"
            " COMMIT; END LOOP; END $$;",
        )

        project.up()

        assert project.query("SELECT id FROM notes") == [1, 2, 3]

    def test_is_asked_for_in_the_first_line_only(self, project: Project) -> None:
        project.write("0001_notes", f"CREATE TABLE notes (id int);\n{migrate.NO_TRANSACTION}\nSELECT 1 / 0;")

        with pytest.raises(MigrationError):
            project.up()

        assert project.tables() == []

    def test_is_not_recorded_before_its_last_statement_and_then_runs_again_from_the_first(
        self, project: Project
    ) -> None:
        project.write("0001_notes", "CREATE TABLE notes AS SELECT 1 AS id FROM generate_series(1, 2)")
        project.write(
            "0002_index",
            f"{migrate.NO_TRANSACTION}\n"
            "DROP INDEX CONCURRENTLY IF EXISTS notes_idx;\n"
            "CREATE UNIQUE INDEX CONCURRENTLY notes_idx ON notes (id);\n",
        )

        with pytest.raises(
            MigrationError, match=r'^cannot apply 0002_index, line 3: could not create unique index "notes_idx"$'
        ):
            project.up()
        assert project.recorded() == ["0001_notes"]
        assert project.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_idx'::regclass") == [False]

        project.run("TRUNCATE notes")
        assert project.up() == ["0002_index"]
        assert project.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes_idx'::regclass") == [True]

    def test_is_not_recorded_while_an_index_that_it_names_is_invalid(self, project: Project) -> None:
        """IF NOT EXISTS skips the index that the first, failed run has left."""
        project.write("0001_notes", "CREATE TABLE notes AS SELECT 1 AS id FROM generate_series(1, 2)")
        project.write(
            "0002_index",
            f"{migrate.NO_TRANSACTION}\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS notes_idx ON notes (id);",
        )
        with pytest.raises(MigrationError):
            project.up()
        project.run("TRUNCATE notes")

        with pytest.raises(MigrationError, match=r"^cannot record 0002_index: an earlier run left notes_idx invalid;"):
            project.up()

        assert project.recorded() == ["0001_notes"]


class TestFiles:
    @pytest.mark.parametrize("name", ["notes.sql", "1_notes.sql", "0001-notes.sql", "0001_Notes.sql", "0001.sql"])
    def test_are_named_by_number_and_noun(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()

        with pytest.raises(MigrationError, match=f"not NNNN_noun.sql: {name}$"):
            migrate.files(tmp_path)

    def test_have_a_number_each(self, tmp_path: Path) -> None:
        for name in ("0001_notes.sql", "0002_tags.sql", "0002_words.sql"):
            (tmp_path / name).touch()

        with pytest.raises(MigrationError, match=r"with the same number: 0002$"):
            migrate.files(tmp_path)

    @pytest.mark.parametrize(("content", "reason"), [(b"-- caf\xe9", "not UTF-8"), (b"SELECT 1;\0SELECT 2", "a NUL")])
    def test_are_text(self, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "0001_notes.sql").write_bytes(content)

        with pytest.raises(MigrationError, match=f"^cannot read 0001_notes.sql: it (is|holds) {reason}"):
            migrate.files(tmp_path)

    def test_are_files_that_can_be_read(self, tmp_path: Path) -> None:
        path = tmp_path / "0001_notes.sql"
        path.mkdir()
        with pytest.raises(MigrationError, match=r"^cannot read 0001_notes.sql: Is a directory$"):
            migrate.files(tmp_path)
        path.rmdir()
        path.symlink_to("nowhere")
        with pytest.raises(MigrationError, match=r"^cannot read 0001_notes.sql: No such file or directory$"):
            migrate.files(tmp_path)


class TestPgvector:
    def test_that_the_role_may_not_enable_is_left_to_an_administrator(self, project: Project, role: str) -> None:
        project.write("0001_vector", "CREATE EXTENSION IF NOT EXISTS vector")

        with pytest.raises(MigrationError) as error:
            list(migrate.up(role, project.folder))
        assert str(error.value) == (
            'cannot apply 0001_vector, line 1: permission denied to create extension "vector"; have an administrator'
            " run CREATE EXTENSION vector in this database once (on Neon any owner may)"
        )

        project.run("CREATE EXTENSION vector")
        assert [migration.name for migration, _ in migrate.up(role, project.folder)] == ["0001_vector"]

    def test_that_the_server_does_not_have_is_asked_for(self, project: Project) -> None:
        project.write("0001_vector", "CREATE EXTENSION vector VERSION '0.0.1'")

        with pytest.raises(MigrationError, match=r"; install pgvector on the database server first: https://"):
            project.up()

    def test_is_not_what_other_errors_speak_of(self, project: Project, role: str) -> None:
        project.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        project.run(f"REVOKE CREATE ON SCHEMA public FROM {conninfo_to_dict(role)['user']}")

        with pytest.raises(MigrationError, match=r"^could not go on: permission denied for schema public$"):
            list(migrate.up(role, project.folder))


class TestStatus:
    def test_lists_what_is_applied_and_what_is_pending_and_changes_nothing(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        applied, pending = migrate.status(project.url, project.folder)
        assert applied == []
        assert [migration.name for migration in pending] == ["0001_notes"]
        assert project.query("SELECT to_regclass('schema_migrations')") == [None]

        project.up()
        project.write("0002_tags", "CREATE TABLE tags ()")

        applied, pending = migrate.status(project.url, project.folder)
        assert [record.name for record in applied] == ["0001_notes"]
        assert [migration.name for migration in pending] == ["0002_tags"]


class TestNew:
    def test_makes_a_file_with_the_next_number(self, tmp_path: Path) -> None:
        assert migrate.new("notes", tmp_path).name == "0001_notes.sql"
        (tmp_path / "0009_tags.sql").touch()
        path = migrate.new("words_2", tmp_path)

        assert path.name == "0010_words_2.sql"
        assert path.read_text().startswith("-- What this changes")

    @pytest.mark.parametrize("name", ["Notes", "two words", "", "notes.sql", "../0009_notes", "a/b", "é"])
    def test_refuses_a_name_that_is_not_a_few_words(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(MigrationError, match=r"^cannot use .* as a name: use lower-case letters"):
            migrate.new(name, tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_applies_and_says_so(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")

        first = command(folder=project.folder, DATABASE_URL=project.url)
        second = command("up", folder=project.folder, DATABASE_URL=project.url)

        assert first.returncode == second.returncode == 0, first.stderr + second.stderr
        assert first.stdout.startswith("applied  0001_notes  ")
        assert first.stdout.endswith(" ms\n1 applied, database up to date\n")
        assert second.stdout == "0 applied, database up to date\n"

    def test_shows_the_status(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.up()
        project.write("0002_tags", "CREATE TABLE tags ()")

        answer = command("status", folder=project.folder, DATABASE_URL=project.url)

        applied, pending = answer.stdout.splitlines()
        assert applied.startswith("applied  0001_notes  20")
        assert pending == "pending  0002_tags"

    def test_makes_a_file_without_a_database(self, tmp_path: Path) -> None:
        answer = command("new", "notes", folder=tmp_path)

        assert (answer.returncode, answer.stdout) == (0, f"{tmp_path / '0001_notes.sql'}\n")

    def test_exits_with_1_and_one_line_where_a_file_fails(self, project: Project) -> None:
        project.write("0001_notes", "SELECT 1 / 0")

        answer = command(folder=project.folder, DATABASE_URL=project.url)

        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr == "migrate: cannot apply 0001_notes, line 1: division by zero\n"

    def test_needs_nothing_but_psycopg(self) -> None:
        script = f"import sys; sys.path.append({str(ROOT)!r}); from scripts import migrate; print(*sys.modules)"

        answer = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)

        modules = {name.partition(".")[0] for name in answer.stdout.split()}
        installed = packages_distributions()
        packages = {package for module in modules for package in installed.get(module, [])}
        # typing_extensions is what psycopg itself needs on older Pythons.
        assert packages - {"typing_extensions"} == {"psycopg", "psycopg-binary"}
        assert "lib" not in modules


class TestAnInterrupt:
    """One line and exit status 130, whatever it comes in the middle of."""

    def interrupted(self, project: Project, statement: str) -> tuple[int, str, str]:
        """What the command said to a SIGINT while statement ran."""
        process = start(folder=project.folder, DATABASE_URL=project.url)
        while project.query(
            f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{statement}%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        ) == [0]:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def test_undoes_the_file_and_keeps_the_ones_before(self, project: Project) -> None:
        project.write("0001_notes", "CREATE TABLE notes ()")
        project.write("0002_tags", "CREATE TABLE tags (); SELECT pg_sleep(60)")

        status, out, err = self.interrupted(project, "SELECT pg_sleep")

        assert (status, err) == (130, "migrate: interrupted; what was not applied was rolled back\n")
        assert out.startswith("applied  0001_notes ")
        assert project.tables() == ["notes"]
        assert project.recorded() == ["0001_notes"]

    def test_leaves_what_a_file_without_a_transaction_has_done(self, project: Project) -> None:
        project.write("0001_tags", f"{migrate.NO_TRANSACTION}\nCREATE TABLE tags (); SELECT pg_sleep(60)")

        answer = self.interrupted(project, "SELECT pg_sleep")

        line = "migrate: interrupted; 0001_tags keeps what it had done by then, and starts again from its top\n"
        assert answer == (130, "", line)
        assert project.tables() == ["tags"]
        assert project.recorded() == []


class TestWhichDatabase:
    def test_is_the_direct_one_before_the_other(self) -> None:
        both = {"DATABASE_URL_UNPOOLED": "postgresql://direct/db", "DATABASE_URL": "postgresql://a-pooler.host/db"}

        assert migrate.database_url(both) == "postgresql://direct/db"
        assert migrate.database_url({"DATABASE_URL": " postgresql://other/db\n"}) == "postgresql://other/db"
        assert migrate.database_url({**both, "DATABASE_URL_UNPOOLED": "", "DATABASE_URL": "dbname=x"}) == "dbname=x"

    def test_must_be_named(self) -> None:
        with pytest.raises(MigrationError, match=r"set DATABASE_URL_UNPOOLED or DATABASE_URL$"):
            migrate.database_url({"DATABASE_URL": ""})

    @pytest.mark.parametrize("url", ["postgresql://u:p@ep-a-1-pooler.eu.neon.tech/db", "host=ep-a-1-pooler.neon.tech"])
    def test_is_never_a_pooler(self, url: str) -> None:
        with pytest.raises(MigrationError, match=r"^cannot migrate through a pooler, .*: set DATABASE_URL_UNPOOLED$"):
            migrate.database_url({"DATABASE_URL": url})


class TestPasswords:
    """No output holds one, and there is always one line that says what is wrong."""

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            (f"postgresql://u:{SECRET}@127.0.0.1:1/db", "could not connect"),
            (f"postgresql://u@127.0.0.1:1/db?password={SECRET}", "could not connect"),
            (f"host=127.0.0.1 port=1 password={SECRET}", "could not connect"),
            # What libpq quotes when it cannot read it: special characters that should have been encoded.
            (f"postgresql://u:@{SECRET}@127.0.0.1:1/db", "cannot read"),
            (f"postgresql://u:{SECRET}/@127.0.0.1:1/db", "cannot read"),
            (f"postgresql://u:1/{SECRET}@127.0.0.1:1/db", "cannot read"),
            (f"postgresql://u:%{SECRET}@127.0.0.1:1/db", "cannot read"),
            (f"postgresql://u:{SECRET}@[127.0.0.1:1/db", "cannot read"),
            (f"postgresql://u:a@127.0.0.1:1/db?{SECRET}=1", "cannot read"),
            (f"postgres+asyncpg://u:{SECRET}@127.0.0.1:1/db", "cannot read"),
            (SECRET, "cannot read"),
        ],
    )
    def test_are_not_printed_where_the_database_cannot_be_reached(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, reason: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL_UNPOOLED", url)

        status = migrate.main(["up"], directory=tmp_path)

        output = capsys.readouterr()
        assert (status, output.out) == (1, "")
        assert output.err.startswith(f"migrate: {reason}")
        assert output.err.count("\n") == 1
        assert SECRET not in output.err

    def test_are_not_printed_where_they_are_wrong(self, tmp_path: Path) -> None:
        with postgres.temporary() as url:
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
                [(hba,)] = conn.execute("SHOW hba_file").fetchall()
                rules = Path(hba).read_text()
                Path(hba).write_text(f"local all guarded scram-sha-256\n{rules}")
                conn.execute("SELECT pg_reload_conf()")
            wrong = make_conninfo(url, user="guarded", password=SECRET)

            answer = command(folder=tmp_path, DATABASE_URL=wrong)

        assert answer.returncode == 1
        assert SECRET not in answer.stdout + answer.stderr
        assert answer.stderr.startswith("migrate: could not connect to the database: connection failed: ")
        assert answer.stderr.endswith('FATAL:  password authentication failed for user "guarded"\n')
