"""Windows of histories without a database: what windows are made of, and every window that a policy may choose.

A window is here a head, or none, and all messages from an opening on: the rule of windows chooses among these.
"""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lib import jsontext
from lib.batches import Batch
from lib.formats import conversion
from lib.formats.conversion import Rendered
from lib.models import ProviderAppend
from lib.runs import Candidate
from lib.windows import Window

type Message = dict[str, Any]

# Of Hypothesis, for each test and format: some seconds each. A change of a format deserves thousands.
EXAMPLES = int(os.environ.get("FORMAT_EXAMPLES", "30"))

FORMATS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ai-sdk")

# Where a format has the turns of a request.
TURNS = {"openai-responses": "input", "gemini": "contents"}


def turns(name: str, data: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a window in a format, as an append in that format takes them."""
    found: list[dict[str, Any]] = data[TURNS.get(name, "messages")]
    return found


def candidates(
    messages: Sequence[Message], natives: Sequence[tuple[str, str] | None] = (), name: str = ""
) -> list[Candidate]:
    """Messages of an append in our own format as rows of a window; natives has of each the format and the text."""
    rows: list[Candidate] = []
    made: dict[str, int] = {}
    for version, message in enumerate(messages, 1):
        role, calls = message["role"], message.get("toolCalls") or None
        given = natives[version - 1] if natives else None
        native = given[1] if given and given[0] == name else None
        failed = role == "tool" and (message.get("metadata") or {}).get("isError") is True
        said = json.dumps([role, None if native else message.get("content"), None if native else calls, failed])
        text = f"{said[:-1]},{native or 'null'}]"
        ids = [call["id"] for call in calls] if calls else None
        call_version = made.get(message["toolCallId"], 0) if role == "tool" else None
        rows.append(
            Candidate(
                version, False, 1, role == "user", call_version, ids, message.get("toolCallId"), 1, None, text, None
            )
        )
        made.update(dict.fromkeys(ids or (), version))
    return rows


def appended(name: str, messages: Sequence[Any] | str) -> Batch:
    """What an append in a provider's format stores: of messages, or of their JSON text. Raises InvalidBody."""
    given = messages if isinstance(messages, str) else json.dumps(messages, ensure_ascii=False)
    text = f'{{"format":"{name}","messages":{given}}}'
    return conversion.parse(ProviderAppend.model_validate(jsontext.parse(text)), text)


def stored(batch: Batch, came: str, name: str) -> list[Candidate]:
    """What an append stored as rows of a window in a format, with what was given where it came in that format."""
    pieces = jsontext.split(jsontext.split(batch.body)["messages"])
    members = [jsontext.split(text) for text in pieces.values()]
    natives = [None if each["native"] == "null" else (came, each["native"]) for each in members]
    return candidates(json.loads(batch.body)["messages"], natives, name)


def window(rows: Sequence[Candidate], name: str, first: int, head: Sequence[Candidate] = ()) -> Window:
    """The window with a head, and all from an opening on that have their calls in it."""
    run = [row for row in rows if row.version >= first]
    lost = [row.version for row in run if row.call_version is not None and row.call_version < first]
    kept = [row for row in run if row.version not in lost]
    return Window([*head, *kept], {}, len(rows), 0, name, lost)


def windows(rows: Sequence[Candidate], name: str) -> Iterator[Window]:
    """Every window of a history: from each opening on, without a head, with the first messages, with a request."""
    for opening in rows:
        if opening.call_version is not None:
            continue
        yield window(rows, name, opening.version)
        before = [row for row in rows if row.version < opening.version]
        preamble = [row for row in before if json.loads(row.json or "")[0] == "system"][:2]
        request = [row for row in before if row.is_user][-1:]
        if preamble or request:
            yield window(rows, name, opening.version, [*preamble, *request])


def render(shown: Window) -> tuple[dict[str, Any], Rendered]:
    """A window's members, read, and all of what was rendered."""
    rendered = conversion.render(shown)
    return json.loads(rendered.data), rendered


def given_back(name: str, given: Sequence[dict[str, Any]], read_as: str = "") -> list[Candidate]:
    """Turns that a format gave, appended and so kept as they were, as rows of a window in it, or in another."""
    text = json.dumps({"format": name, "messages": given})
    batch = conversion.parse(ProviderAppend.model_validate(jsontext.parse(text)), text)
    messages = json.loads(batch.body)["messages"]
    natives = [message.pop("native") for message in messages]
    kept = [(name, json.dumps(native)) if native else None for native in natives]
    return candidates(messages, kept, read_as or name)
