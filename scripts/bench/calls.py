"""Requests of single functions on Vercel's runtime, for the bench of the bundle, and the CPU that they take."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from scripts.bundle import API_KEY, CONTEXTS
from scripts.stack.vercel.deployment import Deployment
from scripts.stack.vercel.functions import Instance

CONNECTIONS = 8

MESSAGES = 400
BUDGET = 8000
TOKENS = 60
TEXT = "The quick brown fox jumps over the lazy dog. " * 6

# The endpoint files that exist in the measured copies alone.
NOOP = "api/noop"
SPARED = "api/spared"


@dataclass(frozen=True, slots=True)
class Call:
    """A request of one function; of several each connection sends one."""

    name: str
    function: str
    requests: Sequence[str]


def calls(deployment: Deployment) -> dict[str, Call]:
    """What is measured, on a context of MESSAGES messages."""
    with httpx.Client(base_url=deployment.url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=60) as http:
        path, *scratch = (
            http.post(CONTEXTS, json={"name": "bench"}).headers["location"] for _ in range(CONNECTIONS + 1)
        )
        message = {"role": "user", "content": TEXT, "tokenCount": TOKENS}
        http.post(f"{path}/messages", json={"messages": [message] * MESSAGES}).raise_for_status()
    one = "api/v1/contexts/[id]"
    turn = [{"role": role, "content": TEXT} for role in ("user", "assistant")]
    counted = json.dumps({"messages": turn})
    given = json.dumps({"messages": [{**message, "tokenCount": TOKENS} for message in turn]})
    window = f"{path}/window?budget={BUDGET}"
    return {
        "noop": Call("no-op, the runtime alone", NOOP, [request("GET", "/api/noop")]),
        "spared": Call("the same, spared the imports that must fail", SPARED, [request("GET", "/api/spared")]),
        "nothing": Call("a path that does not exist", "api/not_found", [request("GET", "/nothing")]),
        "health": Call("GET /api/health", "api/health", [request("GET", "/api/health")]),
        "list": Call("GET /api/v1/contexts", "api/v1/contexts/index", [request("GET", f"{CONTEXTS}?limit=50")]),
        "context": Call("GET /api/v1/contexts/{id}", f"{one}/index", [request("GET", path)]),
        "page": Call("GET …/messages, 50", f"{one}/messages", [request("GET", f"{path}/messages?limit=50")]),
        "window": Call(f"GET …/window, {BUDGET:,} tokens", f"{one}/window", [request("GET", window)]),
        "given": Call(
            "POST …/messages, a turn, tokens given",
            f"{one}/messages",
            [request("POST", f"{own}/messages", given) for own in scratch],
        ),
        "counted": Call(
            "POST …/messages, a turn, tokens counted",
            f"{one}/messages",
            [request("POST", f"{own}/messages", counted) for own in scratch],
        ),
    }


def request(method: str, path: str, body: str = "") -> str:
    """The text of a request that carries the key."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {API_KEY}"]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body])


def cpu_milliseconds(instance: Instance) -> float:
    """What the process's threads have had of a core: wall-clock times rise with whatever else runs here."""
    threads = Path(f"/proc/{instance.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6
