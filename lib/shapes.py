"""What answers look like, for the OpenAPI document and for tests, which hold every answer against these models.

PostgreSQL writes the JSON of answers. No endpoint imports this, and so no cold start pays for it.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from lib.formats.history import Code
from lib.models import ClearToolResults, CompactionDue, Content, Format, Model, Policy, Role, ToolCall


class Context(Model):
    """A stored context: one conversation, a container of messages."""

    id: UUID = Field(description="The context's id.")
    name: str | None = Field(description="A name for people.")
    external_id: str | None = Field(description="The client's own id, unique among contexts that are not deleted.")
    metadata: dict[str, Any] = Field(
        description="The client's JSON object, equal as JSON; keys and digits may be written in another way."
    )
    policy: Policy = Field(description="How windows of it are chosen: the members that are set, {} where none is.")
    message_count: int = Field(description="The number of its messages, of a fork those that it shares too.")
    total_tokens: int = Field(description="The sum of their tokens.")
    latest_version: int = Field(description="The version of its newest message; 0 where it has none.")
    parent_id: UUID | None = Field(
        description="The context that it is a fork of, which may be deleted by now; null where it is no fork."
    )
    fork_version: int | None = Field(
        description="The version up to which it shares the parent's history; null where it is no fork."
    )
    created_at: datetime = Field(description="When it was created, in UTC.")
    updated_at: datetime = Field(description="When it was last changed or appended to, in UTC.")
    deleted_at: datetime | None = Field(description="When it was deleted, in UTC; null while it lives.")


class Message(Model):
    """A stored message. It never changes."""

    id: UUID = Field(description="The message's id.")
    context_id: UUID = Field(
        description="The context that it was appended to: in a fork it may be one that the history is shared with."
    )
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


class NativeMessage(Message):
    """A stored message, and what a provider gave of it."""

    native_format: Format | None = Field(description="The format that native is in; null where there is none.")
    native: Any = Field(
        description="What the provider gave, to the letter, as this format's append takes it; null where the format "
        "makes an equal one of the message."
    )


class ClearedMessage(Message):
    """A tool message in a window whose content is cleared there; the stored message is as it was."""

    role: Literal["tool"] = Field(description="Only results of tools are cleared.")
    content: Literal["[cleared]"] = Field(description="What stands in place of the stored content.")
    tool_calls: None = Field(description="Always null.")
    token_count: int = Field(description="Tokens as they count in the window: 4, or fewer where the stored had fewer.")
    cleared: Literal[True] = Field(description="Always true; other messages have no such member.")


class Summary(Model):
    """The summary of the compaction in force, as a message of a window: with all members of one."""

    id: None = Field(description="Always null: it is no stored message.")
    context_id: UUID = Field(
        description="The context that made the compaction: in a fork it may be one that the history is shared with."
    )
    version: None = Field(description="Always null: it is no stored message.")
    role: Literal["user", "assistant", "system"] = Field(description="Who speaks, as the compaction has it.")
    content: str = Field(description="The summary, as it was sent.")
    tool_calls: None = Field(description="Always null.")
    tool_call_id: None = Field(description="Always null.")
    tool_name: None = Field(description="Always null.")
    model: None = Field(description="Always null.")
    metadata: dict[str, Any] = Field(description="The compaction's metadata, to the letter.")
    token_count: int = Field(description="Tokens of the summary, as they were sent or counted.")
    has_embedding: Literal[False] = Field(description="Always false.")
    created_at: datetime = Field(description="When the compaction was made, in UTC.")
    compaction_number: int = Field(description="The compaction's number; other messages have no such member.")


class InForce(Model):
    """The compaction that a window is built on."""

    number: int = Field(description="Its number.")
    through_version: int = Field(description="The newest version that its summary stands in for.")


class Due(Model):
    """Up to where a compaction is due, and what it would stand in for."""

    through_version: int = Field(description="The version to send as throughVersion.")
    messages: int = Field(description="The number of messages that it would stand in for, beyond what is so already.")
    tokens: int = Field(description="The tokens of these messages, as they are stored.")


class WindowPolicy(Model):
    """How a window was chosen: all members of a policy, as they were in effect."""

    budget: int = Field(description="Tokens of the whole window, the head included.")
    keep_preamble: bool = Field(description="Whether the preamble is in the window, where there is one.")
    keep_request: bool = Field(description="Whether the request is in the window, where that fits.")
    start_on: Literal["any", "user"] = Field(description="What the run opens with: a user message if near, or any.")
    step: int = Field(description="Tokens by which the window moves on at once: half of what the head leaves at most.")
    clear_tool_results: ClearToolResults | None = Field(
        description="From where on results of tools are cleared, at most what head and step leave; null for off."
    )
    compaction_due: CompactionDue | None = Field(
        description="When a compaction is due, keepTokens at most the budget; null for never."
    )


class WindowFigures(Model):
    """What stands beside a window's messages: figures of the whole window, at the version that it shows."""

    budget: int = Field(description="Tokens that the window may have: the parameter's, or else the policy's.")
    used_tokens: int = Field(description="Tokens of the window's messages together, the head's and cleared ones too.")
    over_budget: bool = Field(description="Whether it has more than the budget: head and newest unit alone are larger.")
    total_tokens: int = Field(description="Tokens of all messages up to the version that the window shows.")
    first_version: int | None = Field(description="The oldest version of the run; null where the run is empty.")
    last_version: int | None = Field(
        description="The newest version of the run; null where the run is empty. An answer without its call is left "
        "out, so it may be less than the version that the window shows: that is in the ETag."
    )
    dropped_count: int = Field(
        description="The number of messages that are neither in the window nor behind a summary that is: what nobody "
        "will see."
    )
    preamble_count: int = Field(description="The number of the preamble's messages in the window.")
    request_version: int | None = Field(
        description="The version of the request where it stands in the head; null where it is in the run or not kept."
    )
    compaction: InForce | None = Field(
        description="The compaction in force, whose summary is in the window; null where there is none."
    )
    cleared_count: int = Field(description="The number of messages in the window whose content is cleared.")
    tokens_to_edge: int | None = Field(
        description="Tokens that may come until the window opens with another message than now; null where bytes and "
        "not tokens decide. Without a step it is 0 once the window is full."
    )
    pending_calls: list[str] = Field(
        description="The ids of calls in the run that no message answers, in order: run these tools first."
    )
    compaction_due: Due | None = Field(
        description="Where a compaction is due by the policy, up to where; null where none is, or none would pay."
    )
    policy: WindowPolicy = Field(description="How the window was chosen, with every member as it was in effect.")


class Repair(Model):
    """What was changed in a window, so that a provider takes it."""

    version: int | None = Field(description="The message's version; null for a summary.")
    code: Code = Field(description="The kind of change. Codes never change.")
    detail: str = Field(description="What was changed, for people.")


class Repairs(Model):
    """What stands beside a window in a provider's format besides."""

    repairs: list[Repair] = Field(
        description="The newest 1,000 changes without which the provider would refuse the window, or that it has no "
        "form for, by version. Only in a provider's format."
    )
    repair_count: int = Field(description="The number of all such changes. Only in a provider's format.")


class Compaction(Model):
    """A compaction: a summary that stands in for all messages up to a version in windows, and deletes nothing."""

    number: int = Field(description="Its number in the context: 1, 2, 3 … without gaps; none is used twice.")
    context_id: UUID = Field(
        description="The context that made it: in a fork it may be one that the history is shared with."
    )
    through_version: int = Field(description="The newest version that it stands in for.")
    made_at_version: int = Field(
        description="The context's latest version when it was made; windows of the past have it from there on."
    )
    based_on: int = Field(description="The number of the compaction in force when it was made; 0 for none.")
    role: Literal["user", "assistant", "system"] = Field(description="Who speaks in windows.")
    summary: str = Field(description="What a model reads in place of those messages, as it was sent.")
    metadata: dict[str, Any] = Field(description="The client's JSON object, to the letter; {} where none was sent.")
    token_count: int = Field(description="Tokens of the summary, as they were sent or counted.")
    created_at: datetime = Field(description="When it was made, in UTC.")
    undone_at: datetime | None = Field(description="When it was undone, in UTC; null while it is not.")


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
