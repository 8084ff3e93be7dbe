"""Kata Context: every conversation of an agent kept, and the messages that fit a token budget.

    kata = Client()
    context = kata.create_context(external_id="ticket-2077", policy={"budget": 8000, "keepRequest": True})
    kata.append(context["id"], [{"role": "user", "content": "Where is my order 1042?"}])
    window = kata.window(context["id"], format="openai-responses")

_client         Client and AsyncClient
_requests       each call as a request, how its answer is read, and when it is sent again
_appends        an append as the requests that it takes
types           what the API takes and answers
errors          what can go wrong
openai_agents   a session of OpenAI's Agents SDK
langchain       a middleware for agents of LangChain, and a chat history
pydantic_ai     a conversation store of pydantic-ai
mcp             a server for agents in editors: `kata-context mcp`
"""

from kata_context import errors, types
from kata_context._client import AsyncClient, AsyncPages, Client, Pages
from kata_context.errors import KataError

__all__ = ["AsyncClient", "AsyncPages", "Client", "KataError", "Pages", "errors", "types"]
