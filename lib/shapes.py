"""What answers look like, for the OpenAPI document and for tests, which hold every answer against these models.

PostgreSQL writes the JSON of answers. No endpoint imports this, and so no cold start pays for it.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from lib.models import Content, Model, Role, ToolCall


class Context(Model):
    """A stored context: one conversation, a container of messages."""

    id: UUID = Field(description="The context's id.")
    name: str | None = Field(description="A name for people.")
    external_id: str | None = Field(description="The client's own id, unique among contexts that are not deleted.")
    metadata: dict[str, Any] = Field(
        description="The client's JSON object, equal as JSON; keys and digits may be written in another way."
    )
    message_count: int = Field(description="The number of its messages.")
    total_tokens: int = Field(description="The sum of their tokens.")
    latest_version: int = Field(description="The version of its newest message; 0 where it has none.")
    parent_id: UUID | None = Field(description="The context that it is a fork of. Always null so far.")
    fork_version: int | None = Field(description="The version of the parent that it forks at. Always null so far.")
    created_at: datetime = Field(description="When it was created, in UTC.")
    updated_at: datetime = Field(description="When it was last changed or appended to, in UTC.")
    deleted_at: datetime | None = Field(description="When it was deleted, in UTC; null while it lives.")


class Message(Model):
    """A stored message. It never changes."""

    id: UUID = Field(description="The message's id.")
    context_id: UUID = Field(description="The context that it is in.")
    version: int = Field(description="Its number in the context: 1, 2, 3 … without gaps.")
    role: Role = Field(description="Who speaks; tool is the result of a tool call.")
    content: Content = Field(description="A text, a list of parts, or null beside toolCalls; as it was sent.")
    tool_calls: list[ToolCall] | None = Field(description="The calls that an assistant message makes; as they came.")
    tool_call_id: str | None = Field(description="The id of the call that a tool message answers.")
    tool_name: str | None = Field(description="The tool that a tool message comes from.")
    model: str | None = Field(description="The model that wrote the message.")
    metadata: dict[str, Any] = Field(description="The client's JSON object, to the letter; {} where none was sent.")
    token_count: int = Field(description="Tokens, as they were sent or counted; what windows are chosen by.")
    has_embedding: bool = Field(description="Whether an embedding was stored with it.")
    created_at: datetime = Field(description="When it was said, in UTC; never before the message before it.")


class Health(Model):
    """Whether the service can serve: healthy, degraded (it does, but see checks) or unhealthy."""

    status: Literal["healthy", "degraded", "unhealthy"] = Field(
        description="degraded is served with 200, unhealthy with 503."
    )
    timestamp: datetime = Field(description="The time of the answer, in UTC.")
    version: str = Field(description="The version of the service.")
    checks: dict[str, dict[str, Any]] = Field(
        description="What was looked at: database and, where that can be reached, migrations. Empty for liveness."
    )
