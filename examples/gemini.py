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
        now = kata.get("window", params={"format": "gemini"}).raise_for_status()
        window, key = now.json(), now.headers["etag"]
        turns = [each["parts"] for each in window["data"]["contents"] if each["role"] == "model"]
        newest = [part["functionCall"] for part in (turns or [[]])[-1] if "functionCall" in part]
        names = [each["name"] for each in newest]
        # Older models give calls no ids: then it is the name, and the how manieth of it in its content.
        ids = [f"{name}:{names[:at].count(name)}" for at, name in enumerate(names, 1)]
        made = {each.get("id") or id_: each for id_, each in zip(ids, newest, strict=True)}
        if calls := [made[id_] for id_ in window["pendingCalls"] if id_ in made]:
            marks = [{name: value for name, value in each.items() if name in {"id", "name"}} for each in calls]
            given = [{"response": {"output": run(each["name"], each["args"])}} for each in calls]
            results = [{"functionResponse": mark | got} for mark, got in zip(marks, given, strict=True)]
            append(kata, [{"role": "user", "parts": results}], key)
            continue
        contents: Any = [types.Content.model_validate_json(json.dumps(each)) for each in window["data"]["contents"]]
        config: Any = {"tools": TOOLS, "system_instruction": window["data"].get("systemInstruction")}
        said: Any = client.models.generate_content(model=MODEL, contents=contents, config=config)
        content = said.candidates[0].content.model_dump_json(by_alias=True, exclude_none=True)
        append(kata, [json.loads(content)], key)
        if not said.function_calls:
            return said.text or ""


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
