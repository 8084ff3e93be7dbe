"""Sessions of the Agents SDK on the stack, and what the service's own tests know of OpenAI's items."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from agents import set_tracing_disabled

from kata_context import AsyncClient
from kata_context.openai_agents import KataSession
from tests.conftest import ROOT, Stack

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Open = Callable[..., KataSession]

set_tracing_disabled(disabled=True)


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a coroutine, all of a test in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def client(stack: Stack, run: Run) -> Iterator[AsyncClient]:
    """A client of the service itself, past the proxy."""
    client = AsyncClient(stack.url)
    yield client
    run(client.close())


@pytest.fixture
def opened(client: AsyncClient, unique: str) -> Open:
    """Makes a session, of one id for each test unless it says another."""

    def open_session(session_id: str = unique, **arguments: Any) -> KataSession:
        return KataSession(session_id, **{"client": client, **arguments})

    return open_session


@pytest.fixture
def session(opened: Open) -> KataSession:
    """A new session, without a budget."""
    return opened()


def of_root(code: str, value: Any = None) -> Any:
    """What code of the repository's root prints as JSON; its tests are a package of our tests' name."""
    command = [str(ROOT / ".venv/bin/python"), "-c", f"import json, sys\n{code}"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(value), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def constructs() -> dict[str, list[Any]]:
    """Each construct of OpenAI's items that the service's tests have."""
    code = "from tests.formats.constructs import CONSTRUCTS; print(json.dumps(CONSTRUCTS['openai-responses']))"
    found: dict[str, list[Any]] = of_root(code)
    return found


@pytest.fixture(scope="session")
def transcripts() -> list[list[Any]]:
    """The transcripts of a real agent, as items: reasoning of our own in front of each of the assistant's turns."""
    lines = (ROOT / "tests/data/agent-transcripts.jsonl").read_text().splitlines()
    return [list(_items(json.loads(line)["messages"])) for line in lines]


def _items(messages: list[Any]) -> Iterator[Any]:
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            output = {"call_id": message["tool_call_id"], "output": message["content"]}
            yield {"type": "function_call_output", **output}
            continue
        if message["role"] != "assistant":
            yield {"role": message["role"], "content": message["content"]}
            continue
        yield {"type": "reasoning", "id": f"rs_{place}", "summary": [], "encrypted_content": "gAAA"}
        if text := message["content"]:
            content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
            said = {"id": f"msg_{place}", "role": "assistant", "status": "completed", "content": content}
            yield {"type": "message", **said}
        for number, call in enumerate(message.get("tool_calls") or ()):
            made = {"id": f"fc_{place}_{number}", "call_id": call["id"], "status": "completed", **call["function"]}
            yield {"type": "function_call", **made}
