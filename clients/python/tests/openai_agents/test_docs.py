"""The blocks of the document run as they stand; OpenAI is a server of ours."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests import snippets
from tests.conftest import ROOT, Stack

ANSWERS = {
    "Where is my order 1042?": "It has been shipped.",
    "When will it be here?": "Tomorrow before noon.",
    "When will it be in Berlin?": "On Monday.",
}


class OpenAI(BaseHTTPRequestHandler):
    """Responses: one call of the tool in a conversation, and an answer to each question."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = [item["content"] for item in asked["input"] if item.get("role") == "user"][-1]
        if any(item.get("type") == "function_call_output" for item in asked["input"]):
            text = {"type": "output_text", "text": ANSWERS[question], "annotations": []}
            output = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        else:
            call = {"call_id": "call_1", "name": "find_order", "arguments": '{"number": 1042}'}
            output = {"type": "function_call", "id": "fc_1", "status": "completed", **call}
        answer = {"id": "resp_1", "object": "response", "created_at": 0, "model": asked["model"], "output": [output]}
        body = json.dumps({**answer, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OpenAI) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("openai")
def test_five_minutes_for_the_agents_sdk(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATA_CONTEXT_URL", stack.url)

    snippets.run(ROOT / "docs/clients/openai-agents.md")
