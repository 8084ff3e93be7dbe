"""Splitting SQL into statements. That PostgreSQL reads them so too is in tests/scripts/test_migrate.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.statements import Statement, split

# Each is one statement, whatever stands around it.
STATEMENTS = (
    "SELECT 1;",
    "SELECT 'it''s; '';', E'\\';', e'a''b\\\\';",
    "SELECT U&'\\';",
    'SELECT "a""b;"\n;',
    "SELECT 1 /* ; /* ' */ ; \" */ + -- ; '\n 1;",
    "DO $$ BEGIN ; END; $$;",
    "DO $a$ $$ ; $b$ ; $a$;",
    "SELECT a$$ FROM b$c$;",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
    "create procedure p() begin /* ; */ atomic end;",
    "CREATE RULE r AS ON DELETE TO t DO (SELECT 1; SELECT 2);",
    "SELECT CASE WHEN true THEN 1 END;",
    "COMMIT;",
)
BETWEEN = (" ", "\n", ";", "-- a ; comment's\n", "/* 'a' ; /* $$ */ */", "\t\n\n")


@given(st.lists(st.tuples(st.sampled_from(BETWEEN), st.sampled_from(STATEMENTS))))
def test_statements_are_those_that_were_put_together(pieces: list[tuple[str, str]]) -> None:
    found = list(split("".join(between + statement for between, statement in pieces)))

    assert [statement.text for statement in found] == [statement for _, statement in pieces]


@given(st.text("ab'\"$e\\;()-/* \n;"))
def test_splitting_what_was_split_changes_nothing(text: str) -> None:
    found = [statement.text for statement in split(text)]

    assert [statement.text for statement in split("".join(found))] == found


@pytest.mark.parametrize("opened", ["'", '"', "E'\\'", "$$", "$a$ $$", "(", "CREATE FUNCTION f() BEGIN ATOMIC"])
def test_what_is_left_open_is_open_to_the_end(opened: str) -> None:
    text = f"SELECT 1 {opened} ; COMMIT;"

    assert [statement.text for statement in split(text)] == [text]


@pytest.mark.parametrize("text", ["", " \n", ";;", "-- a comment", "/* a comment", "/* a /* comment */ ;"])
def test_blanks_and_comments_are_no_statement(text: str) -> None:
    assert list(split(text)) == []


def test_words_are_in_capitals_and_stand_outside_of_quotes_and_comments() -> None:
    sql = "\n/* a */ Commit -- b\n and \"c\" 'd' $$e$$ E'f' Chain1"

    assert list(split(sql)) == [Statement(sql[9:], 2, ("COMMIT", "AND", "CHAIN1"))]
