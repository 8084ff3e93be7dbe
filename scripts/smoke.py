"""Proves that a deployment works: `python -m scripts.smoke URL [--key KEY]`, in seconds.

Health; then, on a context of its own: create, append, window, compact, fork, the fork's window, undo, delete. Needs
nothing but Python. Tries nothing twice, follows no redirect, which would take the key elsewhere, and never prints the
key. Context and fork are deleted whatever fails in between; only one whose creation's answer is lost may be left.
"""

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

# Between two bytes of an answer: the first may find both the function and the database's compute asleep.
TIMEOUT_SECONDS = 30

# An answer of this command's requests has some hundred bytes; of what is no answer of ours, no more is read.
MAX_ANSWER_BYTES = 1_000_000
MAX_SHOWN = 400

CONTEXTS = "/api/v1/contexts"
MESSAGES = [{"role": "user", "content": "Are you there? 👋"}, {"role": "assistant", "content": "I am."}]
BUDGET = 1000
COMPACTION = {"throughVersion": 1, "summary": "Somebody asked. 👋", "expectedNumber": 0}
FORKED = COMPACTION["summary"], MESSAGES[1]["content"]


class SmokeError(Exception):
    """The deployment does not work; the text says which step failed, what was expected and what came instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment at url, a scheme and a host; headers go with every request, and secrets are never shown."""

    url: str
    headers: dict[str, str]
    secrets: list[str]

    def call(self, step: str, status: int, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer that must have status; prints a line for it. Raises SmokeError."""
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        content = None if body is None else json.dumps(body)
        headers = self.headers if body is None else {**self.headers, "content-type": "application/json"}
        started = time.perf_counter()
        try:
            connection = kind(parts.netloc, timeout=TIMEOUT_SECONDS)
            try:
                connection.request(method, path, content, headers)
                answer = connection.getresponse()
                text = answer.read(MAX_ANSWER_BYTES)
                if answer.length:
                    raise IncompleteRead(text, answer.length)
            finally:
                connection.close()
        except (OSError, HTTPException, UnicodeError) as error:
            raise self.failure(
                step, f"expected {status}, got no answer: {str(error) or type(error).__name__}"
            ) from None
        value = _json(text)
        if answer.status != status or value is None:
            raise self.failure(step, f"expected {status}, got {_description(answer, value)}")
        print(f"  {step:<8}{status}{(time.perf_counter() - started) * 1000:>7.0f} ms", flush=True)
        return value

    def failure(self, step: str, text: str) -> SmokeError:
        """The error to raise: one line, without secrets, whatever the server has put into its answer."""
        for secret in self.secrets:
            text = text.replace(secret, "…").replace(json.dumps(secret)[1:-1], "…")
        return SmokeError(f"{step}: {' '.join(text.split())[:MAX_SHOWN]}")


def _json(text: bytes) -> Any:
    """The value; None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _description(answer: HTTPResponse, value: Any) -> str:
    """An answer in a few words: status, the problem's code and detail, and the id to look for in the logs."""
    match value:
        case {"code": str(code), "detail": str(detail)}:
            text = f"{code}: {detail}"
        case {}:  # health has no code
            text = json.dumps(value)
        case _:
            text = f"{answer.getheader('content-type', 'no content-type')}, which is not from this API"
            if answer.getheader("server") == "Vercel":
                text += "; for Vercel's deployment protection set VERCEL_AUTOMATION_BYPASS_SECRET"
    return f"{answer.status} (requestId {answer.getheader('x-request-id', 'missing')}) {text}"


def target(url: str, key: str | None = None, bypass: str | None = None) -> Target:
    """The deployment, with a key where it has keys and Vercel's secret where that protects it. Raises SmokeError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise SmokeError("cannot use this URL: it must be https://HOST or http://HOST:PORT")
    named = {"key": key, "bypass secret": bypass}
    for name, secret in named.items():
        if secret and not (secret.isascii() and secret.isprintable()):
            raise SmokeError(f"cannot use this {name}: it must be printable ASCII")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if bypass:
        headers["x-vercel-protection-bypass"] = bypass
    return Target(f"{parts.scheme}://{parts.netloc}", headers, [secret for secret in named.values() if secret])


def run(deployment: Target) -> None:
    """Takes every step and prints a line for each. Raises SmokeError for the first that fails."""
    health = deployment.call("health", 200, "GET", "/api/health")
    if not isinstance(health, dict) or health.get("status") != "healthy":
        raise deployment.failure("health", f"expected healthy, got {json.dumps(health)}")
    made = [_create(deployment, "create", CONTEXTS)]
    try:
        _use(deployment, made)
    except (SmokeError, KeyboardInterrupt) as failure:
        if left := _delete(deployment, made):
            raise SmokeError(f"{str(failure) or 'interrupted'}; {left}") from None
        raise
    if left := _delete(deployment, made):
        raise SmokeError(left)
    deployment.call("gone", 404, "GET", made[0])


def _delete(deployment: Target, made: list[str]) -> str:
    """Deletes what was made, the newest first; says why what is left behind."""
    left = []
    for path in reversed(made):
        try:
            deployment.call("delete", 200, "DELETE", path)
        except SmokeError as failure:
            left.append(f"{failure}; so {path} is left behind")
    return "; ".join(left)


def _create(deployment: Target, step: str, path: str) -> str:
    """The path of a new context, which a POST to path makes."""
    match deployment.call(step, 201, "POST", path, {"name": "smoke"}):
        case {"data": {"id": str(text)}}:
            try:
                return f"{CONTEXTS}/{UUID(text)}"
            except ValueError:
                pass
    raise deployment.failure(step, "expected a context with an id, got something else")


def _use(deployment: Target, made: list[str]) -> None:
    """Takes the steps on the context whose path is in made; a fork's is added to it."""
    [path] = made
    deployment.call("append", 201, "POST", f"{path}/messages", {"messages": MESSAGES})
    match deployment.call("window", 200, "GET", f"{path}/window?budget={BUDGET}"):
        case {"data": [{"version": 1, **first}, {"version": 2, **second}], "usedTokens": int(used)} if (
            used > 0 and [{name: message.get(name) for name in MESSAGES[0]} for message in (first, second)] == MESSAGES
        ):
            pass
        case _:
            raise deployment.failure("window", "expected the two messages that were appended, got something else")
    match deployment.call("format", 200, "GET", f"{path}/window?budget={BUDGET}&format=anthropic"):
        case {"data": {"messages": messages}, "repairs": []} if messages == MESSAGES:
            pass
        case _:
            raise deployment.failure("format", "expected the two messages as Anthropic takes them, got something else")
    deployment.call("compact", 201, "POST", f"{path}/compactions", COMPACTION)
    made.append(_create(deployment, "fork", f"{path}/forks"))
    match deployment.call("window", 200, "GET", f"{made[1]}/window?budget={BUDGET}"):
        case {"data": [{"compactionNumber": 1, "content": summary}, {"version": 2, "content": content}]} if (
            summary,
            content,
        ) == FORKED:
            pass
        case _:
            raise deployment.failure("window", "expected the summary and the second message of the fork, got another")
    deployment.call("undo", 200, "DELETE", f"{path}/compactions/1")


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, 1 where the deployment does not work, or 130 after an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m scripts.smoke", description="Proves that a deployment works.")
    parser.add_argument("url", metavar="URL", help="where it is, such as https://PROJECT.vercel.app")
    parser.add_argument("--key", help="bearer token, where the API has keys; API_KEY in the environment if absent")
    chosen = parser.parse_args(arguments)
    # Unhandled, this would end the process before the context is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        key = chosen.key or os.environ.get("API_KEY", "").strip()
        deployment = target(chosen.url, key, os.environ.get("VERCEL_AUTOMATION_BYPASS_SECRET", "").strip())
        run(deployment)
    except SmokeError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("smoke: interrupted", file=sys.stderr)
        return 130
    print(f"{deployment.url} works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
