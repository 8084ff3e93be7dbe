"""Providers that are played: endpoints on real sockets, which refuse with 400 whatever the real ones would.

A request is held against the provider's own types and rules, and against what was given to this client before: whatever
is said to be the model's must be what it said, to the last member. An answer is the next of a script, in the provider's
own shape, with all that only the provider can read: signatures, encrypted reasoning, redacted thinking.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from threading import Thread
from typing import Any, NamedTuple, Protocol

from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.vendors import wrong

type Json = dict[str, Any]

# Items of Responses that a model gives, beside messages.
MODELS = ("reasoning", "function_call")

# What a request has messages in, as each provider calls it.
LISTS = ("messages", "input", "contents")

# What chat completions give and take, and their types do not know.
UNTYPED = "ChatCompletionAssistantMessageParam.annotations: Extra inputs are not permitted"

SAID = "The order has been shipped, and it will be with you before noon of the day after tomorrow. " * 4


class Step(NamedTuple):
    """What the model does next: the number of the answer, how many tools it calls at once, and whether it thinks."""

    number: int
    calls: int = 0
    thinks: bool = False

    @property
    def text(self) -> str:
        """What it says where it calls nothing."""
        return f"{SAID}That was answer {self.number}."

    def ids(self, prefix: str) -> list[str]:
        """The ids of its calls."""
        return [f"{prefix}{self.number:04}{place}" for place in range(self.calls)]

    def opaque(self, name: str) -> str:
        """A value that only the provider can read."""
        return base64.b64encode(f"{name} {self.number} \xff\xfe?>".encode("latin-1")).decode()


class Provider(Protocol):
    """One of them: its name as a format, and what is its own in requests and answers."""

    name: str

    def members(self, body: Json) -> Json:
        """Of a request's body the members that a window has."""

    def broken(self, body: Json, data: Json) -> list[str]:
        """What it refuses in a request, whose members are data."""

    def models(self, data: Json) -> list[Any]:
        """What the model said, by a request: turns, items or contents."""

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        """What models of a later request has of this answer, and the answer itself."""


class Anthropic:
    """The Messages API."""

    name = "anthropic"

    def members(self, body: Json) -> Json:
        return {name: body[name] for name in ("system", "messages") if name in body}

    def broken(self, body: Json, data: Json) -> list[str]:
        marked = [] if body.get("cache_control") == {"type": "ephemeral"} else ["the request has no cache mark"]
        return marked + anthropic.broken(data, natives=True)

    def models(self, data: Json) -> list[Any]:
        return [turn["content"] for turn in data["messages"] if turn["role"] == "assistant"]

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        content: list[Json] = []
        if step.thinks:
            content.append({"type": "thinking", "thinking": "Where is it?", "signature": step.opaque("thinking")})
            if step.number % 2:
                content.append({"type": "redacted_thinking", "data": step.opaque("redacted")})
        text = "I shall look." if step.calls else step.text
        content.append({"type": "text", "text": text, "citations": None})
        for place, id_ in enumerate(step.ids("toolu_")):
            given = {"number": step.number + place}
            content.append({"type": "tool_use", "id": id_, "name": "find_order", "input": given})
        return [content], {
            "id": f"msg_{step.number}",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-4-8",
            "content": content,
            "stop_reason": "tool_use" if step.calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }


class OpenaiChat:
    """Chat Completions."""

    name = "openai-chat"

    def members(self, body: Json) -> Json:
        return {"messages": body["messages"]}

    def broken(self, body: Json, data: Json) -> list[str]:
        return openai_chat.broken(data, natives=True)

    def models(self, data: Json) -> list[Any]:
        return [message for message in data["messages"] if message["role"] == "assistant"]

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        message: Json = {"role": "assistant", "content": None if step.calls else step.text}
        # OpenAI gives both with every answer, and takes them back; its own types know the first alone.
        message |= {"refusal": None, "annotations": []}
        if step.calls:
            message["tool_calls"] = [
                {
                    "id": id_,
                    "type": "function",
                    "function": {"name": "find_order", "arguments": f'{{"number":  {step.number + place}}}'},
                }
                for place, id_ in enumerate(step.ids("call_"))
            ]
        reason = "tool_calls" if step.calls else "stop"
        return [message], {
            "id": f"chatcmpl-{step.number}",
            "object": "chat.completion",
            "created": 1795287076,
            "model": "gpt-5.2",
            "choices": [{"index": 0, "finish_reason": reason, "logprobs": None, "message": message}],
        }


class OpenaiResponses:
    """Responses."""

    name = "openai-responses"

    def members(self, body: Json) -> Json:
        return {name: body[name] for name in ("instructions", "input") if name in body}

    def broken(self, body: Json, data: Json) -> list[str]:
        kept = [] if body.get("store") is False else ["the request is stored"]
        # Whether a turn is sent whole is held against what was given: one that had no reasoning has an id all the same.
        flaws = openai_responses.broken(data, natives=True)
        return kept + [flaw for flaw in flaws if not flaw.endswith("has its id without its reasoning")]

    def models(self, data: Json) -> list[Any]:
        runs = groupby(data["input"], lambda item: item.get("role") == "assistant" or item.get("type") in MODELS)
        return [list(items) for is_models, items in runs if is_models]

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        output: list[Json] = []
        if step.thinks or step.number % 3:
            summary = [{"type": "summary_text", "text": "Where is it?"}] if step.thinks else []
            reasoning = {"type": "reasoning", "summary": summary, "encrypted_content": step.opaque("reasoning")}
            output.append({"id": f"rs_{step.number}", **reasoning})
        for place, id_ in enumerate(step.ids("call_")):
            output.append(
                {
                    "id": f"fc_{step.number}_{place}",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": id_,
                    "name": "find_order",
                    "arguments": f'{{"number":  {step.number + place}}}',
                }
            )
        if not step.calls:
            said = {"type": "output_text", "text": step.text, "annotations": [], "logprobs": []}
            output.append(
                {
                    "id": f"msg_{step.number}",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "phase": "final_answer",
                    "content": [said],
                }
            )
        return [output], {
            "id": f"resp_{step.number}",
            "object": "response",
            "created_at": 1795287076,
            "model": "gpt-5.2",
            "status": "completed",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }


class Gemini:
    """The generateContent of Gemini's own API, whose calls have ids or none, by the model: here every other turn's."""

    name = "gemini"

    def members(self, body: Json) -> Json:
        data: Json = {name: body[name] for name in ("systemInstruction", "contents") if name in body}
        # Google's SDK adds the role of a system instruction, which the API leaves aside.
        data.get("systemInstruction", {}).pop("role", None)
        return data

    def broken(self, body: Json, data: Json) -> list[str]:
        return gemini.broken(data, natives=True)

    def models(self, data: Json) -> list[Any]:
        return [content["parts"] for content in data["contents"] if content["role"] == "model"]

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        parts: list[Json] = [{"text": "Where is it?", "thought": True}] if step.thinks else []
        for place, id_ in enumerate(step.ids("call-")):
            marked = {"id": id_} if step.number % 2 else {}
            parts.append({"functionCall": {**marked, "name": "find_order", "args": {"number": step.number + place}}})
            if not place:
                # The API's own alphabet is the one of URLs, as the SDK's is.
                signature = step.opaque("thought").replace("+", "-").replace("/", "_")
                parts[-1]["thoughtSignature"] = signature
        if not step.calls:
            parts.append({"text": step.text})
        content = {"role": "model", "parts": parts}
        candidate = {"index": 0, "content": content, "finishReason": "STOP"}
        return [parts], {"candidates": [candidate], "modelVersion": "gemini-3.5-pro"}


class AiSdk:
    """A model of Vercel's AI SDK, which talk.mjs plays: it sends the window that it was given, and the prompt of it."""

    name = "ai-sdk"

    def members(self, body: Json) -> Json:
        data: Json = body["data"]
        return data

    def broken(self, body: Json, data: Json) -> list[str]:
        said = [message["role"] for message in body["prompt"]]
        sent = ["system"] * ("system" in data) + [message["role"] for message in data["messages"]]
        other = [] if said == sent else [f"the prompt has roles {said}, and the window {sent}"]
        return other + ai_sdk.broken(data, natives=True)

    def models(self, data: Json) -> list[Any]:
        return [message["content"] for message in data["messages"] if message["role"] == "assistant"]

    def answer(self, step: Step) -> tuple[list[Any], Json]:
        content: list[Json] = []
        options = {"anthropic": {"signature": step.opaque("thinking")}}
        if step.thinks:
            content.append({"type": "reasoning", "text": "Where is it?", "providerMetadata": options})
        if not step.calls:
            content.append({"type": "text", "text": step.text})
        for place, id_ in enumerate(step.ids("call_")):
            given = {"toolCallId": id_, "toolName": "find_order", "input": f'{{"number":  {step.number + place}}}'}
            content.append({"type": "tool-call", **given})
        said: list[Json] = [
            {
                "type": "tool-call",
                "toolCallId": part["toolCallId"],
                "toolName": part["toolName"],
                "input": json.loads(part["input"]),
            }
            if part["type"] == "tool-call"
            else {"providerOptions" if name == "providerMetadata" else name: value for name, value in part.items()}
            for part in content
        ]
        return [said], {"content": content, "calls": bool(step.calls)}


class Endpoint:
    """A provider's endpoint at a URL: what it was sent, what it gave, and what it refused."""

    def __init__(self, provider: Provider, script: Iterator[Step], url: str) -> None:
        self.provider = provider
        self.url = url
        self.sent: list[Json] = []
        self.refused: list[str] = []
        self._script = script
        self._given = set[str]()
        self._read = set[str]()

    def complaints(self, body: Json) -> list[str]:
        """Why a request is refused."""
        data = self.provider.members(body)
        made_up = [said for said in map(text_of, self.provider.models(data)) if said not in self._given]
        return [
            *(flaw for flaw in wrong(self.provider.name, self._unread(data)) if not flaw.endswith(UNTYPED)),
            *self.provider.broken(body, data),
            *(f"the model never said {said}" for said in made_up),
        ]

    def _unread(self, data: Json) -> Json:
        """Members of a request without what was held against the types before, as each message is on its own."""
        unread: Json = {}
        for name, value in data.items():
            texts = [json.dumps(each) for each in value] if name in LISTS else []
            unread[name] = [json.loads(text) for text in texts if text not in self._read] if name in LISTS else value
            self._read.update(texts)
        return unread

    def reply(self, body: Json) -> tuple[int, Json]:
        """The status and the body of an answer."""
        if complaints := self.complaints(body):
            self.refused += complaints
            return 400, {"error": {"code": 400, "type": "invalid_request_error", "message": "; ".join(complaints)}}
        self.sent.append(self.provider.members(body))
        said, answer = self.provider.answer(next(self._script))
        self._given.update(map(text_of, said))
        return 200, answer

    def continued(self) -> float:
        """The part of all requests but the first that begin with the request before them."""
        pairs = list(zip(self.sent, self.sent[1:], strict=False))
        return sum(begins_with(now, before) for before, now in pairs) / len(pairs)


def text_of(value: Any) -> str:
    """The same text for values that are equal as JSON."""
    return json.dumps(value, sort_keys=True)


def begins_with(now: Json, before: Json) -> bool:
    """Whether a provider that has read one request has read the beginning of another."""
    if now.keys() != before.keys():
        return False
    return all(
        now[name][: len(value)] == value if name in LISTS else now[name] == value for name, value in before.items()
    )


@contextmanager
def serving(provider: Provider, script: Iterator[Step]) -> Iterator[Endpoint]:
    """A provider's endpoint, as long as it lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each answer waits 40 ms for its own headers to be acknowledged.
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = endpoint.reply(body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        endpoint = Endpoint(provider, script, f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
