"""Splits SQL text into its statements, where psql would: at semicolons outside of quotes, comments and bodies.

Knows no grammar beyond that, and reads strings as `standard_conforming_strings` has them. Whoever runs the statements
by the extended protocol, which takes one at a time, learns from the server where this is wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What is left open runs to the end of the text. 'it''s' and "a""b" are two tokens each, which changes nothing here.
TOKEN = re.compile(
    r"""
    --[^\n]*
    | (?P<comment> /\* )
    | [eE]'(?: [^'\\] | \\. | '' )*+'?
    | '[^']*'?
    | "[^"]*"?
    | (?P<dollars> \$ (?: [A-Za-z_\x80-\U0010FFFF] [A-Za-z0-9_\x80-\U0010FFFF]* )? \$ ) .*? (?: (?P=dollars) | \Z )
    | (?P<word> [A-Za-z_\x80-\U0010FFFF] [A-Za-z0-9_$\x80-\U0010FFFF]* )
    | \S
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT_MARK = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text from its first token to its semicolon, its first line's number, its words in capitals.

    The words are those outside of quotes and comments, keywords and names alike.
    """

    text: str
    line: int
    words: tuple[str, ...]


def split(sql: str) -> Iterator[Statement]:
    """The statements of sql, in order; nothing for a semicolon or a comment alone."""
    start, line, words = -1, 1, list[str]()
    counted = parentheses = blocks = 0
    for token in _tokens(sql):
        if start < 0 and token[0] != ";":
            start = token.start()
            line += sql.count("\n", counted, start)
            counted = start
        if token["word"]:
            words.append(token[0].upper())
            blocks = _blocks(blocks, words)
        # CREATE RULE … DO (…; …) has statements in parentheses.
        parentheses = max(0, parentheses + (token[0] == "(") - (token[0] == ")"))
        if token[0] == ";" and not parentheses and not blocks and start >= 0:
            yield Statement(sql[start : token.end()], line, tuple(words))
            start, words = -1, []
    if start >= 0:
        yield Statement(sql[start:].rstrip(), line, tuple(words))


def _blocks(depth: int, words: list[str]) -> int:
    """How many ENDs the last of words leaves to come in a body that BEGIN ATOMIC began; a CASE in it has an END too."""
    if words[-2:] == ["BEGIN", "ATOMIC"]:
        return 1
    return max(0, depth + (words[-1] == "CASE") - (words[-1] == "END")) if depth else 0


def _tokens(sql: str) -> Iterator[re.Match[str]]:
    """Everything but white space and comments."""
    position = 0
    while token := TOKEN.search(sql, position):
        position = _end_of_comment(sql, token.start()) if token["comment"] else token.end()
        if not token["comment"] and not token[0].startswith("--"):
            yield token


def _end_of_comment(sql: str, start: int) -> int:
    """The end of the comment at start: comments nest."""
    depth = 0
    for mark in COMMENT_MARK.finditer(sql, start):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)
