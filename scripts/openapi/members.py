"""Descriptions and schemas as HTML: the tables of members and parameters, with their types and limits.

Must never let a text of the document through unescaped.
"""

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from scripts.openapi.schemas import Schema

PREFIX = "#/components/schemas/"
# The largest number that PostgreSQL's bigint has: what most versions are limited by.
NAMED_NUMBERS = {2**63 - 1: "2⁶³ - 1"}
# Members that limit a value from below and above, and what they count.
RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
)
BEYOND = {"exclusiveMinimum": "above", "exclusiveMaximum": "below"}
MARKS = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*")


def prose(text: str) -> str:
    """Markdown of paragraphs and lists of lines that begin with *."""
    made = []
    for block in text.split("\n\n"):
        if block.startswith("* "):
            items = "".join(f"<li>{inline(item)}" for item in block.removeprefix("* ").split("\n* "))
            made.append(f"<ul>{items}</ul>")
        else:
            made.append(f"<p>{inline(block)}</p>")
    return "\n".join(made)


def inline(text: str) -> str:
    """Markdown of `code` and **strong** within a line."""
    return MARKS.sub(
        lambda found: f"<code>{found[1]}</code>" if found[1] else f"<strong>{found[2]}</strong>",
        escape(text, quote=False),
    )


def code(value: Any) -> str:
    """A value as JSON."""
    return f"<code>{escape(json.dumps(value, ensure_ascii=False), quote=False)}</code>"


def table(caption: str, headings: list[str], rows: list[list[str]]) -> str:
    """A table of HTML in a region of its own that scrolls where it is too wide, named for those who cannot see it."""
    head = "".join(f"<th scope=col>{heading}" for heading in headings)
    body = "\n".join(f"<tr><th scope=row>{first}{''.join(f'<td>{cell}' for cell in rest)}" for first, *rest in rows)
    return (
        f'<div class=wide tabindex=0 role=group aria-label="{escape(caption)}"><table>\n'
        f"<thead><tr>{head}<tbody>\n{body}\n</table></div>"
    )


class Members:
    """The members of a document's schemas."""

    def __init__(self, schemas: dict[str, Schema]) -> None:
        self._schemas = schemas

    def table(self, name: str) -> str:
        """The members of a schema."""
        return table(f"Members of {name}", ["Member", "Type", "Meaning"], list(self._rows(self._schemas[name], "")))

    def parameters(self, operation_id: str, parameters: list[Schema]) -> str:
        """The parameters of an operation."""
        rows = []
        for parameter in parameters:
            schema = parameter.get("schema") or {"type": "object", "contentMediaType": "JSON text"}
            required = "<b>required</b>" if parameter.get("required") else "optional"
            name = f"<code>{escape(parameter['name'])}</code> <small>{required}</small>"
            rows.append([name, escape(parameter["in"]), self.described(schema), inline(parameter["description"])])
        return table(f"Parameters of {operation_id}", ["Parameter", "In", "Type", "Meaning"], rows)

    def described(self, schema: Schema) -> str:
        """What a value may be: its type, and below it its limits and default."""
        limits = ", ".join(dict.fromkeys(self._limits(schema)))
        if schema.get("default") is not None:
            limits += f"{', ' if limits else ''}{code(schema['default'])} if absent"
        return self.type(schema) + (f"<small>{limits}</small>" if limits else "")

    def type(self, schema: Schema) -> str:
        """The kind of a value, with links to the schemas that have names."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(PREFIX)
            return f'<a href="#schema-{name}">{name}</a>'
        if "const" in schema:
            return code(schema["const"])
        if "enum" in schema:
            return " or ".join(code(value) for value in schema["enum"])
        if options := schema.get("oneOf") or ("type" not in schema and schema.get("anyOf")):
            return " or ".join(dict.fromkeys(self.type(option) for option in options))
        kind = schema.get("type", "any JSON")
        if kind == "array":
            return f"array of {self.type(schema['items'])}"
        shown = " or ".join(kind) if isinstance(kind, list) else kind
        made = schema.get("format") or schema.get("contentMediaType")
        return escape(f"{shown} ({made})" if made else shown)

    def _limits(self, schema: Schema) -> Iterator[str]:
        named = self._schemas[schema["$ref"].removeprefix(PREFIX)] if "$ref" in schema else {}
        options = schema.get("anyOf", ()) if "type" not in schema else ()
        for inner in (*options, {} if "properties" in named else named):
            yield from self._limits(inner) if inner else ()
        yield from (f"{word} {number(schema[bound])}" for bound, word in BEYOND.items() if bound in schema)
        for least, most, unit in RANGES:
            yield from between(schema.get(least), schema.get(most), unit)
        if "pattern" in schema:
            yield f"<code>{escape(schema['pattern'], quote=False)}</code>"

    def _rows(self, schema: Schema, above: str) -> Iterator[list[str]]:
        for name, member in schema.get("properties", {}).items():
            place = f"{above}{name}"
            optional = "" if name in schema.get("required", ()) else " <small>optional</small>"
            yield [
                f"<code>{escape(place)}</code>{optional}",
                self.described(member),
                inline(member.get("description", "")),
            ]
            if "items" in member:
                yield from self._rows(member["items"], f"{place}[].")
            for option in member.get("oneOf", ()):
                yield from self._rows(option, f"{place}.")


def between(least: float | None, most: float | None, unit: str) -> Iterator[str]:
    """What a range is called, if there is one."""
    low, high = ("" if bound is None else number(bound) for bound in (least, most))
    if low and high:
        yield f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
    elif low or high:
        yield f"at least {low}{unit}" if low else f"at most {high}{unit}"


def number(value: float) -> str:
    """A limit, as people read it."""
    return NAMED_NUMBERS.get(int(value), "") or (f"{value:,}" if isinstance(value, int) else f"{value:g}")
