"""The agent loops of examples/: 200 turns each by the provider's rules, in small windows, with all that happens."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import anthropic
import httpx
import openai
import pytest
from google import genai

from examples import anthropic_messages, gemini, openai_chat, openai_responses
from tests.examples import talk
from tests.examples.fakes import Anthropic, Endpoint, Gemini, OpenaiChat, OpenaiResponses, Provider, Step, serving
from tests.examples.talk import Resent, Talk

EXAMPLES: list[tuple[Provider, Any]] = [
    (OpenaiChat(), openai_chat),
    (OpenaiResponses(), openai_responses),
    (Anthropic(), anthropic_messages),
    (Gemini(), gemini),
]

# What each vendor's client takes its endpoint from.
ADDRESSES = {
    "openai-chat": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "openai-responses": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
}


def client(provider: Provider, url: str) -> Any:
    """The vendor's own client of an endpoint."""
    match provider.name:
        case "anthropic":
            return anthropic.Anthropic(api_key="none", base_url=url, max_retries=0)
        case "gemini":
            return genai.Client(api_key="none", http_options={"base_url": url})
    return openai.OpenAI(api_key="none", base_url=url, max_retries=0)


def address(api: httpx.Client) -> str:
    """The URL of a new context."""
    return f"{str(api.base_url).rstrip('/')}{talk.context(api)}"


def hold(api: httpx.Client, provider: Provider, example: Any, endpoint: Endpoint, turns: int = talk.TURNS) -> Talk:
    """A talk, from its first turn on, with an example's loop."""
    with (
        httpx.Client(base_url=address(api), headers=api.headers, transport=Resent(), timeout=60) as kata,
        client(provider, endpoint.url) as model,
    ):

        def say(text: str) -> None:
            said = {"parts": [{"text": text}]} if provider.name == "gemini" else {"content": text}
            example.append(kata, [{"role": "user", **said}], str(uuid4()))

        held = Talk(kata, provider.name)
        held.hold(say, lambda run: example.answer(kata, model, run), turns)
        return held


@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=list(ADDRESSES))
def test_two_hundred_turns_never_break_a_rule(api: httpx.Client, provider: Provider, example: Any) -> None:
    with serving(provider, talk.script()) as endpoint:
        held = hold(api, provider, example, endpoint)

    assert endpoint.refused == []
    assert len(endpoint.sent) > talk.TURNS
    # Windows have moved on by steps, and by compactions; and of what they were made of, little had to be mended.
    assert endpoint.continued() >= talk.CONTINUED
    assert held.most_dropped > talk.TURNS
    assert held.compactions > 1
    assert held.kept_request
    assert held.repairs <= talk.MENDED


@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=list(ADDRESSES))
def test_what_a_provider_would_refuse_is_refused(api: httpx.Client, provider: Provider, example: Any) -> None:
    """Else nothing is proved by what is not."""
    with serving(provider, talk.script()) as endpoint:
        hold(api, provider, example, endpoint, turns=3)
        last = {**endpoint.sent[-1], "store": False, "cache_control": {"type": "ephemeral"}}
        name = next(name for name in ("messages", "input", "contents") if name in last)

        assert endpoint.complaints(last) == []
        assert endpoint.complaints({**last, name: last[name][:-1]})
        assert endpoint.complaints({**last, name: last[name][::-1]})
        for other in ({"role": "assistant", "content": "Never"}, {"role": "model", "parts": [{"text": "Never"}]}):
            assert endpoint.complaints({**last, name: [*last[name], other]})

        answer = httpx.post(endpoint.url, json={**last, name: last[name][:-1]})

        assert answer.status_code == 400
        assert endpoint.refused


@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=list(ADDRESSES))
def test_an_example_runs_as_it_says(api: httpx.Client, provider: Provider, example: Any) -> None:
    context = address(api)
    url, key = ADDRESSES[provider.name]
    script = iter([Step(1, 2, thinks=True), Step(2)])
    with serving(provider, script) as endpoint:
        environment = {
            "CONTEXT": context,
            url: endpoint.url,
            key: "none",
            "KATA_KEY": os.environ.get("TEST_API_KEY", ""),
        }
        ran = subprocess.run(
            [sys.executable, Path(example.__file__), "Where is my order 1042?"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    assert endpoint.refused == []
    assert (ran.returncode, ran.stdout) == (0, f"{Step(2).text}\n"), ran.stderr
    # What the preamble, the question, the calls, their results and the answer have become.
    assert [message["role"] for message in api.get(f"{context}/messages").json()["data"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
