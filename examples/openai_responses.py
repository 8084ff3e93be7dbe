"""An agent on OpenAI's Responses, which keep nothing: Kata Context keeps the history. See README.md beside this."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx
import openai

MODEL = os.environ.get("MODEL", "gpt-5.2")
NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
FIND_ORDER = {"name": "find_order", "description": "The state of an order, by its number.", "parameters": NUMBER}
TOOLS: Any = [{"type": "function", "strict": False, **FIND_ORDER}]


def answer(kata: httpx.Client, client: openai.OpenAI, run: Callable[[str, dict[str, Any]], str]) -> str:
    """Goes on until the model calls no tool, also where an earlier loop has ended between a call and its result."""
    while True:
        read = kata.get("window", params={"format": "openai-responses"}).raise_for_status()
        window, key = read.json(), read.headers["etag"]
        if calls := pending(window):
            append(kata, [result(call, run) for call in calls], key)
            continue
        said: Any = client.responses.create(
            model=MODEL, tools=TOOLS, store=False, include=["reasoning.encrypted_content"], **window["data"]
        )
        append(kata, [item.to_dict() for item in said.output], key)
        if not any(item.type == "function_call" for item in said.output):
            return str(said.output_text)


def pending(window: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls that nothing has answered; of an id that is used again the newest."""
    made = {each["call_id"]: each for each in window["data"]["input"] if each.get("type") == "function_call"}
    return [made[call_id] for call_id in window["pendingCalls"] if call_id in made]


def result(call: dict[str, Any], run: Callable[[str, dict[str, Any]], str]) -> dict[str, Any]:
    """What a call returns, as OpenAI takes it."""
    output = run(call["name"], json.loads(call["arguments"]))
    return {"type": "function_call_output", "call_id": call["call_id"], "output": output}


def append(kata: httpx.Client, messages: Sequence[dict[str, Any]], key: str) -> None:
    """May be sent again, with the same key: it is stored once, and so is one of two that go on from the same window."""
    body = {"format": "openai-responses", "messages": messages}
    kata.post("messages", json=body, headers={"Idempotency-Key": key}).raise_for_status()


def find_order(name: str, given: dict[str, Any]) -> str:
    """What the tool returns: here the same for every order."""
    return json.dumps({"tool": name, "order": given["number"], "status": "shipped"})


if __name__ == "__main__":
    headers = {"Authorization": f"Bearer {os.environ.get('KATA_KEY') or 'none'}"}
    with httpx.Client(base_url=os.environ["CONTEXT"], headers=headers) as kata, openai.OpenAI() as client:
        append(kata, [{"role": "user", "content": sys.argv[1]}], str(uuid4()))
        print(answer(kata, client, find_order))
