"""An agent on Anthropic's Messages API whose history Kata Context keeps: see README.md beside this."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import anthropic
import httpx

MODEL = os.environ.get("MODEL", "claude-opus-4-8")
NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
TOOLS: Any = [{"name": "find_order", "description": "The state of an order, by its number.", "input_schema": NUMBER}]


def answer(kata: httpx.Client, claude: anthropic.Anthropic, run: Callable[[str, dict[str, Any]], str]) -> str:
    """Goes on until the model calls no tool, also where an earlier loop has ended between a call and its result."""
    while True:
        read = kata.get("window", params={"format": "anthropic"}).raise_for_status()
        window, key = read.json(), read.headers["etag"]
        if calls := pending(window):
            append(kata, [{"role": "user", "content": [result(call, run) for call in calls]}], key)
            continue
        said = claude.messages.create(
            model=MODEL, max_tokens=4096, tools=TOOLS, cache_control={"type": "ephemeral"}, **window["data"]
        )
        append(kata, [{"role": "assistant", "content": said.to_dict()["content"]}], key)
        if said.stop_reason != "tool_use":
            return "".join(block.text for block in said.content if block.type == "text")


def pending(window: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of the assistant's newest turn that nothing has answered."""
    turns = [each["content"] for each in window["data"]["messages"] if each["role"] == "assistant"]
    blocks = [each for each in (turns or [""])[-1] if isinstance(each, dict)]
    return [each for each in blocks if each["type"] == "tool_use" and each["id"] in window["pendingCalls"]]


def result(call: dict[str, Any], run: Callable[[str, dict[str, Any]], str]) -> dict[str, Any]:
    """What a call returns, as Anthropic takes it."""
    return {"type": "tool_result", "tool_use_id": call["id"], "content": run(call["name"], call["input"])}


def append(kata: httpx.Client, messages: Sequence[dict[str, Any]], key: str) -> None:
    """May be sent again, with the same key: it is stored once, and so is one of two that go on from the same window."""
    body = {"format": "anthropic", "messages": messages}
    kata.post("messages", json=body, headers={"Idempotency-Key": key}).raise_for_status()


def find_order(name: str, given: dict[str, Any]) -> str:
    """What the tool returns: here the same for every order."""
    return json.dumps({"tool": name, "order": given["number"], "status": "shipped"})


if __name__ == "__main__":
    headers = {"Authorization": f"Bearer {os.environ.get('KATA_KEY') or 'none'}"}
    with httpx.Client(base_url=os.environ["CONTEXT"], headers=headers) as kata, anthropic.Anthropic() as claude:
        append(kata, [{"role": "user", "content": sys.argv[1]}], str(uuid4()))
        print(answer(kata, claude, find_order))
