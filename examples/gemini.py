"""An agent on Google's generateContent whose history Kata Context keeps: see README.md beside this.

Contents go to and from Google's SDK as JSON text: its dictionaries encode thought signatures a second time.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx
from google import genai
from google.genai import types

MODEL = os.environ.get("MODEL", "gemini-3.5-pro")
NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
FIND_ORDER = {"name": "find_order", "description": "The state of an order.", "parameters_json_schema": NUMBER}
TOOLS: Any = [{"function_declarations": [FIND_ORDER]}]


def answer(kata: httpx.Client, client: genai.Client, run: Callable[[str, dict[str, Any]], str]) -> str:
    """Goes on until the model calls no tool, also where an earlier loop has ended between a call and its result."""
    while True:
        read = kata.get("window", params={"format": "gemini"}).raise_for_status()
        window, key = read.json(), read.headers["etag"]
        if calls := pending(window):
            append(kata, [{"role": "user", "parts": [result(call, run) for call in calls]}], key)
            continue
        contents: Any = [types.Content.model_validate_json(json.dumps(each)) for each in window["data"]["contents"]]
        config: Any = {"tools": TOOLS, "system_instruction": window["data"].get("systemInstruction")}
        said: Any = client.models.generate_content(model=MODEL, contents=contents, config=config)
        append(kata, [json.loads(said.candidates[0].content.model_dump_json(by_alias=True, exclude_none=True))], key)
        if not said.function_calls:
            return said.text or ""


def pending(window: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of the model's newest turn that nothing has answered."""
    turns = [each["parts"] for each in window["data"]["contents"] if each["role"] == "model"]
    newest = [part["functionCall"] for part in (turns or [[]])[-1] if "functionCall" in part]
    names = [each["name"] for each in newest]
    # Older models give calls no ids: then it is the name, and the how manieth of it in its content.
    ids = [f"{name}:{names[:at].count(name)}" for at, name in enumerate(names, 1)]
    made = {each.get("id") or call_id: each for call_id, each in zip(ids, newest, strict=True)}
    return [made[call_id] for call_id in window["pendingCalls"] if call_id in made]


def result(call: dict[str, Any], run: Callable[[str, dict[str, Any]], str]) -> dict[str, Any]:
    """What a call returns, as Gemini takes it: with the call's id where that has one."""
    mark = {name: value for name, value in call.items() if name in {"id", "name"}}
    return {"functionResponse": {**mark, "response": {"output": run(call["name"], call.get("args", {}))}}}


def append(kata: httpx.Client, messages: Sequence[dict[str, Any]], key: str) -> None:
    """May be sent again, with the same key: it is stored once, and so is one of two that go on from the same window."""
    body = {"format": "gemini", "messages": messages}
    kata.post("messages", json=body, headers={"Idempotency-Key": key}).raise_for_status()


def find_order(name: str, given: dict[str, Any]) -> str:
    """What the tool returns: here the same for every order."""
    return json.dumps({"tool": name, "order": given["number"], "status": "shipped"})


if __name__ == "__main__":
    headers = {"Authorization": f"Bearer {os.environ.get('KATA_KEY') or 'none'}"}
    with httpx.Client(base_url=os.environ["CONTEXT"], headers=headers) as kata, genai.Client() as client:
        append(kata, [{"role": "user", "parts": [{"text": sys.argv[1]}]}], str(uuid4()))
        print(answer(kata, client, find_order))
