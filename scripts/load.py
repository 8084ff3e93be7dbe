"""Loads transcripts into a running API: `python -m scripts.load FILE --url URL [--key KEY] [--fork]`.

FILE holds one transcript per line in OpenAI's chat shape: an object with `messages`, or the bare list of them. Each
becomes a context; the command prints what it holds and what windows of three budgets would send. With --fork each is
forked before five of its user messages, spread over it, and goes on there with that message edited: what a model would
be sent then stands below. The whole file is read before anything is sent, so a line that is no transcript stores
nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from tqdm import tqdm

BUDGETS = (2000, 4000, 8000)

# Forks of a transcript, at most, and what the message behind each says besides.
FORKS = 5
EDIT = "Answer in one sentence, please."

# The API takes 1,000 messages and 4,500,000 bytes at once.
MAX_BATCH = 1000
MAX_BATCH_BYTES = 4_000_000

ATTEMPTS = 5
DEFAULT_RETRY_SECONDS = 1.0
TIMEOUT_SECONDS = 60

KEPT = {"role", "content", "model", "metadata"}
RENAMED = {"tool_calls": "toolCalls", "tool_call_id": "toolCallId"}


class LoadError(Exception):
    """The file could not be loaded; the text says why."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One line of the file: its number, its messages as they stand there, and its other scalar members."""

    line: int
    messages: list[dict[str, Any]]
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A context: how much it holds, and (messages, tokens) of a window for each budget."""

    context_id: str
    messages: int
    tokens: int
    windows: list[tuple[int, int]]


def transcripts(path: Path) -> Iterator[Transcript]:
    """The transcripts of the file, in order. Raises LoadError for what is none."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield _transcript(number, text)
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}") from None


def _transcript(number: int, text: bytes) -> Transcript:
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise LoadError(f"line {number} is not JSON: {error.msg} at column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise LoadError(f"line {number} is not UTF-8: byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise LoadError(f"line {number} cannot be read: {error}") from None
    members = value if isinstance(value, dict) else {"messages": value}
    messages = members.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise LoadError(f"line {number} is no transcript: it must be a list of messages, or an object that has one")
    scalars = {name: value for name, value in members.items() if isinstance(value, str | int | float | bool)}
    return Transcript(number, messages, scalars)


def renamed(message: dict[str, Any]) -> dict[str, Any]:
    """A message of OpenAI's chat shape in this API's; a member that this API does not know goes to the metadata."""
    names = RENAMED | ({"name": "toolName"} if message.get("role") == "tool" else {})
    shaped: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in message.items():
        if name in names:
            # Some clients write an empty list of calls, which the API would take for calls.
            if value not in (None, []):
                shaped[names[name]] = value
        elif name in KEPT:
            shaped[name] = value
        elif value is not None:
            others[name] = value
    if others:
        shaped["metadata"] = {**others, **(shaped.get("metadata") or {})}
    return shaped


def batches(messages: list[dict[str, Any]]) -> Iterator[str]:
    """The bodies that append messages, in order, each as large as the API takes."""
    batch: list[str] = []
    size = 0
    for message in messages:
        text = json.dumps(renamed(message))
        if batch and (len(batch) == MAX_BATCH or size + len(text) > MAX_BATCH_BYTES):
            yield _append(batch)
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield _append(batch)


def _append(batch: list[str]) -> str:
    return '{"messages":[' + ",".join(batch) + "]}"


def load(client: httpx.Client, transcript: Transcript) -> Loaded:
    """Stores a transcript as a context of its own. Raises LoadError."""
    body = json.dumps({"metadata": {**transcript.members, "line": transcript.line}})
    context_id: str = _send(client, "POST", "/api/v1/contexts", body)["data"]["id"]
    return _append_all(client, context_id, 0, transcript.messages)


def fork(client: httpx.Client, context_id: str, transcript: Transcript, version: int) -> Loaded:
    """Forks a transcript's context at a version, and appends the message behind that, edited. Raises LoadError."""
    body = json.dumps({"version": version})
    fork_id: str = _send(client, "POST", f"/api/v1/contexts/{context_id}/forks", body)["data"]["id"]
    return _append_all(client, fork_id, version, [edited(transcript.messages[version])])


def fork_versions(messages: Sequence[dict[str, Any]]) -> list[int]:
    """The versions before user messages, FORKS of them at most and spread evenly, from the first to the last."""
    asked = [version for version, message in enumerate(messages) if message.get("role") == "user"]
    most = min(FORKS, len(asked))
    return [asked[place * (len(asked) - 1) // max(most - 1, 1)] for place in range(most)]


def edited(message: dict[str, Any]) -> dict[str, Any]:
    """A message that says EDIT besides."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": EDIT}]}
    return {**message, "content": f"{content or ''} {EDIT}".strip()}


def _append_all(client: httpx.Client, context_id: str, version: int, messages: list[dict[str, Any]]) -> Loaded:
    """Appends messages to a context that has as many as version says, and shows what it holds then."""
    path = f"/api/v1/contexts/{context_id}"
    for batch in batches(messages):
        _send(client, "POST", f"{path}/messages", batch)
    windows = [_send(client, "GET", f"{path}/window?budget={budget}") for budget in BUDGETS]
    return Loaded(
        context_id,
        version + len(messages),
        windows[0]["totalTokens"],
        [(len(window["data"]), window["usedTokens"]) for window in windows],
    )


def _send(client: httpx.Client, method: str, path: str, body: str | None = None) -> dict[str, Any]:
    """The answer's JSON. A 503 is tried again, under one key, so that nothing is stored twice. Raises LoadError."""
    headers = {} if body is None else {"content-type": "application/json", "idempotency-key": uuid4().hex}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = client.request(method, path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LoadError(f"could not reach {client.base_url}: {error or type(error).__name__}") from None
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == ATTEMPTS:
            break
        after = answer.headers.get("retry-after", "")
        time.sleep(float(after) if after.isdecimal() else DEFAULT_RETRY_SECONDS)
    try:
        value = answer.json()
    except ValueError:
        value = None
    if not isinstance(value, dict) or not answer.is_success:
        raise LoadError(_refusal(answer, value if isinstance(value, dict) else {}))
    return value


def _refusal(answer: httpx.Response, problem: dict[str, Any]) -> str:
    text = f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code}"
    if "detail" not in problem:
        return f"{text}, which is not from this API"
    places = "; ".join(f"{place['pointer']} {place['detail']}" for place in problem.get("errors", ()))
    return f"{text}: {problem['detail']}" + (f": {places}" if places else "")


def run(path: Path, url: str, key: str | None, *, forks: bool = False) -> None:
    """Loads the file and prints a row for each transcript, and for each of its forks. Raises LoadError."""
    total = sum(1 for _ in transcripts(path))
    messages = tokens = 0
    with _client(url, key) as client, tqdm(total=total, unit=" transcripts", leave=False) as progress:
        for transcript in transcripts(path):
            try:
                loaded = load(client, transcript)
                if progress.n == 0:
                    progress.write(_row("line", "context", "messages", "tokens", *(f"window {b:,}" for b in BUDGETS)))
                progress.write(_figures(str(transcript.line), loaded))
                for version in fork_versions(transcript.messages) if forks else ():
                    progress.write(_figures(f"@{version}", fork(client, loaded.context_id, transcript, version)))
            except LoadError as error:
                raise LoadError(f"line {transcript.line}: {error}") from None
            progress.update()
            messages += loaded.messages
            tokens += loaded.tokens
    print(f"{total:,} transcripts, {messages:,} messages, {tokens:,} tokens; a window is messages / tokens.")
    if forks:
        print("@ is a fork at that version, where the next message was edited.")


def _client(url: str, key: str | None) -> httpx.Client:
    try:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)
    except httpx.InvalidURL as error:
        raise LoadError(f"cannot use {url} as a URL: {error}") from None
    except UnicodeEncodeError:
        raise LoadError("cannot use this key: it is not ASCII") from None


def _figures(line: str, loaded: Loaded) -> str:
    windows = [f"{count:,} / {used:,}" for count, used in loaded.windows]
    return _row(line, loaded.context_id, f"{loaded.messages:,}", f"{loaded.tokens:,}", *windows)


def _row(line: str, context: str, *figures: str) -> str:
    return f"{line:>5}  {context:<36}" + "".join(f"{figure:>14}" for figure in figures)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m scripts.load", description="Loads transcripts over HTTP.")
    parser.add_argument("file", type=Path, metavar="FILE", help="transcripts in OpenAI's chat shape, one per line")
    parser.add_argument("--url", required=True, help="where the API is, such as http://127.0.0.1:3000")
    parser.add_argument("--key", help="bearer token, where the API has keys")
    parser.add_argument("--fork", action="store_true", help="also fork each at five user messages, which are edited")
    chosen = parser.parse_args(arguments)
    try:
        run(chosen.file, chosen.url, chosen.key, forks=chosen.fork)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("load: stopped; what is listed above is stored", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
