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
    """A command for each example of a body, or else for each query that an example was answered to."""
    url = operation["path"].replace("{contextId}", "$CONTEXT").replace("{number}", "1")
    method = operation["method"].upper()
    option = "" if method in {"GET", "POST"} else f"-X {method} "
    sent = operation.get("requestBody")
    commands: dict[str, str] = {}
    for example in _examples(sent or next(iter(operation["responses"].values()))):
        asked = QUERY.match(example["summary"])
        query = f"?{quote(asked[1], safe='=&')}" if asked and not sent else ""
        body = f" \\\n  -H 'Content-Type: application/json' \\\n  -d {quoted(example['value'])}" if sent else ""
        commands.setdefault(f'curl {option}"$KATA{url}{query}"{body}', "" if query else f"# {example['summary']}\n")
    if len(commands) == 1:
        return next(iter(commands))
    return "\n\n".join(f"{comment}{command}" for command, comment in commands.items())


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
