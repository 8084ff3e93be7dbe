"""What the reference shows of each operation in code: curl, made of the examples, and texts/snippets.md.

The tests of both clients run that file as it stands, those of the reference run curl; all in its order.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.openapi.schemas import Schema

TEXTS = Path(__file__).with_name("texts")
# What an example of an answer was asked with stands at the front of its summary.
QUERY = re.compile(r"\?([^\s,]+)")
# Characters of a line, as many as the page has room for.
WIDTH = 96


def snippets() -> dict[str, dict[str, str]]:
    """The code in sh, python and ts of `start` and of each operation, in the order of a conversation."""
    _, *sections = re.split(r"^## (\w+)$", (TEXTS / "snippets.md").read_text(), flags=re.MULTILINE)
    return {
        name: dict(re.findall(r"^```(\w+)\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE))
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


def curl(operation: Schema) -> str:
    """A command for each example of a body, or else for each query of an example of an answer."""
    url = operation["path"].replace("{contextId}", "$CONTEXT").replace("{number}", "1")
    method = operation["method"].upper()
    option = "" if method in {"GET", "POST"} else f"-X {method} "
    if "requestBody" in operation:
        asked = [
            (example["summary"], "", f" \\\n  -H 'Content-Type: application/json' \\\n  -d {quoted(example['value'])}")
            for example in _examples(operation["requestBody"])
        ]
    else:
        asked = [(summary, f"?{query}" if query else "", "") for query, summary in _queries(operation).items()]
    commands = [f'curl {option}"$KATA{url}{query}"{body}' for _, query, body in asked]
    if len(asked) == 1:
        return commands[0]
    return "\n\n".join(f"# {summary}\n{command}" for (summary, _, _), command in zip(asked, commands, strict=True))


def _queries(operation: Schema) -> dict[str, str]:
    """Each query that the first answer's examples were asked with, percent-encoded, and what it shows."""
    queries: dict[str, str] = {}
    for example in _examples(next(iter(operation["responses"].values()))):
        asked = QUERY.match(example["summary"])
        said = example["summary"][asked.end() :].lstrip(", ") if asked else example["summary"]
        queries.setdefault(quote(asked[1], safe="=&") if asked else "", said or f"with {asked[1]}" if asked else said)
    return queries


def _examples(body: Schema) -> list[Schema]:
    [content] = body["content"].values()
    return list(content["examples"].values())


def quoted(value: Any) -> str:
    """JSON as one word of a shell."""
    return shlex.quote(shown(value, 2))


def shown(value: Any, indent: int = 0) -> str:
    """JSON, an object or array on one line where that is short enough."""
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or indent + len(flat) <= WIDTH:
        return flat
    inner = (
        [f"{json.dumps(name, ensure_ascii=False)}: {shown(member, indent + 2)}" for name, member in value.items()]
        if isinstance(value, dict)
        else [shown(member, indent + 2) for member in value]
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = f",\n{' ' * (indent + 2)}".join(inner)
    return f"{opening}\n{' ' * (indent + 2)}{lines}\n{' ' * indent}{closing}"
