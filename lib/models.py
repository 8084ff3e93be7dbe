"""What requests and answers look like: the pydantic models that validate the one and document the other.

Answers are not built from these models (PostgreSQL writes their JSON), but tests hold every answer against them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    JsonValue,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from lib import errors, jsontext

EMBEDDING_DIMENSIONS = 1536
# Characters. Some libraries carry a signature in the id of a call.
MAX_NAME_LENGTH = 255
MAX_CALL_ID_LENGTH = 4096
MAX_BATCH = 1000
MAX_LIMIT = 1000
DEFAULT_LIMIT = 50

# PostgreSQL's integer and bigint.
MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1

# pgvector keeps single-precision floats and refuses what is larger.
MAX_SINGLE = 3.4028234663852886e38

# A context's metadata, as a request brings it: JSON text. It is read with every context of a list, and is indexed.
MAX_METADATA_BYTES = 65_536

# How far the clock of a client may be ahead of ours.
MAX_AHEAD = timedelta(minutes=1)

# The types of parts whose `text` a model reads, in OpenAI's (chat and responses) and Anthropic's shapes.
TEXT_PARTS = {"text", "input_text", "output_text"}

type Role = Literal["system", "user", "assistant", "tool"]
type Order = Literal["asc", "desc"]


def _integral(value: Any) -> Any:
    """JSON has one kind of number, so 5.0 is the integer 5 (JSON Schema, 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Model(BaseModel):
    """camelCase outside, snake_case inside, no unknown members, no silent conversions.

    Built when they are first used, because a cold start uses few of them.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, defer_build=True)


class Sent(Model):
    """What a client sends as JSON."""

    @model_validator(mode="before")
    @classmethod
    def _few_members(cls, value: Any) -> Any:
        # An error for each unknown member takes a kilobyte, and there may be half a million of them.
        if isinstance(value, dict) and len(value) > len(cls.model_fields) + errors.MAX_PLACES:
            raise PydanticCustomError("too_many", "has more than {most} unknown members", {"most": errors.MAX_PLACES})
        return value


# Of the following, known members are checked and unknown ones kept as they came. Dictionaries, because a message may
# have 200,000 parts, and a model of each would take three times the time and twice the memory.
OPEN = ConfigDict(extra="allow", strict=True)

type Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]
type ExternalId = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
type CallId = Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_LENGTH)]


# --- Messages


class Part(TypedDict):
    """One part of a message's content. Types this API does not know are kept untouched."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way of configuring a TypedDict

    type: str


class Function(TypedDict):
    """The function that a tool call names; arguments is the JSON text that the model wrote, valid or not."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # as above

    name: Name
    arguments: str


class ToolCall(TypedDict):
    """One call that an assistant message makes."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # as above

    id: CallId
    type: Literal["function"]
    function: Function


def _content_kind(value: Any) -> str | None:
    return {str: "text", list: "parts", NoneType: "null"}.get(type(value))


# Of a list that is wrong throughout, one error says enough, and millions would take seconds and gigabytes.
type Parts = Annotated[list[Part], FailFast()]
type ToolCalls = Annotated[list[ToolCall], FailFast()]

type Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[Parts, Tag("parts")] | Annotated[None, Tag("null")],
    Discriminator(
        _content_kind, custom_error_type="content", custom_error_message="must be a string, a list of parts or null"
    ),
]


type Embedding = Annotated[
    list[Annotated[float, Field(ge=-MAX_SINGLE, le=MAX_SINGLE)]],
    Field(min_length=EMBEDDING_DIMENSIONS, max_length=EMBEDDING_DIMENSIONS),
]


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def time(value: Any) -> Any:
    """The time that an RFC 3339 text names, in UTC and to the microsecond; PydanticCustomError for any other text."""
    if not isinstance(value, str):
        return value
    try:
        if _RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("time", "must be a time such as 2026-11-21T09:30:00Z (RFC 3339)")


type Time = Annotated[datetime, BeforeValidator(time)]


# What the validators below say across members, for the OpenAPI document.
_TEXT_OR_PARTS: dict[str, JsonValue] = {"content": {"type": ["string", "array"]}}
_NO_CALLS: dict[str, JsonValue] = {"toolCalls": {"type": "null"}}
_NO_ANSWER: dict[str, JsonValue] = {"toolCallId": {"type": "null"}}
_SHAPES: list[JsonValue] = [
    {
        "properties": {"role": {"enum": ["system", "user"]}, **_TEXT_OR_PARTS, **_NO_CALLS, **_NO_ANSWER},
        "required": ["content"],
    },
    {
        "properties": {"role": {"const": "assistant"}, **_TEXT_OR_PARTS, **_NO_ANSWER},
        "required": ["content"],
    },
    {
        "properties": {"role": {"const": "assistant"}, "toolCalls": {"type": "array", "minItems": 1}, **_NO_ANSWER},
        "required": ["toolCalls"],
    },
    {
        "properties": {"role": {"const": "tool"}, **_TEXT_OR_PARTS, **_NO_CALLS, "toolCallId": {"type": "string"}},
        "required": ["content", "toolCallId"],
    },
]


class NewMessage(Sent):
    """A message as a client appends it. null stands for an absent member."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _SHAPES})

    role: Role
    tool_calls: ToolCalls | None = Field(None, description="assistant only")
    content: Content = Field(None, validate_default=True, description="null only where toolCalls is given")
    tool_call_id: CallId | None = Field(
        None, validate_default=True, description="the call that a tool message answers; required for role tool"
    )
    tool_name: Name | None = None
    model: Name | None = None
    metadata: dict[str, Any] | None = None
    token_count: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(_integral)] | None = Field(
        None, description="tokens, taken as they are; counted with o200k_base where absent"
    )
    embedding: Embedding | None = None
    created_at: Time | None = Field(
        None, description="not before the message before it, nor in the future; the time of the append where absent"
    )

    def texts(self) -> Iterator[str]:
        """What a model reads as text: the content or its text parts, each call's name and arguments."""
        if isinstance(self.content, str):
            yield self.content
        for part in self.content if isinstance(self.content, list) else ():
            text = part.get("text")
            if part["type"] in TEXT_PARTS and isinstance(text, str):
                yield text
        for call in self.tool_calls or ():
            yield call["function"]["name"]
            yield call["function"]["arguments"]

    @field_validator("tool_calls")
    @classmethod
    def _calls_are_an_assistants(cls, value: list[ToolCall] | None, info: ValidationInfo) -> list[ToolCall] | None:
        if value is not None and info.data.get("role", "assistant") != "assistant":
            raise PydanticCustomError("tool_calls", "only an assistant message makes tool calls")
        return value

    @field_validator("content")
    @classmethod
    def _content_or_calls(cls, value: str | list[Part] | None, info: ValidationInfo) -> str | list[Part] | None:
        if value is None and "tool_calls" in info.data and not info.data["tool_calls"]:
            raise PydanticCustomError("content", "may be null or absent only where toolCalls is given")
        return value

    @field_validator("tool_call_id")
    @classmethod
    def _answer_is_a_tools(cls, value: str | None, info: ValidationInfo) -> str | None:
        role = info.data.get("role")
        if value is None and role == "tool":
            raise PydanticCustomError("tool_call_id", "a tool message must name the call that it answers")
        if value is not None and role not in {"tool", None}:
            raise PydanticCustomError("tool_call_id", "only a tool message answers a call")
        return value


def _small(patch: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(patch, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata", f"must not be larger than {MAX_METADATA_BYTES:,} bytes")
    return patch


class Append(Sent):
    """The body of an append."""

    messages: Annotated[list[NewMessage], Field(min_length=1, max_length=MAX_BATCH)]
    expected_version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None, description="the latest version that the context must have; 409 if it has another"
    )
    context_metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(
        None, description="a merge patch (RFC 7396) of the context's metadata, applied with the messages or not at all"
    )


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's Idempotency-Key, and the SHA-256 of the payload that it stands for."""

    key: str
    fingerprint: bytes


class Message(Model):
    """A stored message."""

    id: UUID
    context_id: UUID
    version: int
    role: Role
    content: Content
    tool_calls: list[ToolCall] | None
    tool_call_id: str | None
    tool_name: str | None
    model: str | None
    metadata: dict[str, Any]
    token_count: int
    has_embedding: bool
    created_at: datetime


# --- Contexts


class NewContext(Sent):
    """The body that creates a context."""

    name: Name | None = None
    external_id: ExternalId | None = Field(
        None, description="the client's own id; where a context has it, that one is the answer (200) and none is made"
    )
    metadata: dict[str, Any] | None = None


class ContextPatch(Sent):
    """The body that changes a context: metadata by JSON merge patch (RFC 7396), null clears any member."""

    name: Name | None = None
    external_id: ExternalId | None = Field(None, description="409 where another context has it")
    metadata: dict[str, Any] | None = None


class Context(Model):
    """A stored context."""

    id: UUID
    name: str | None
    external_id: str | None = Field(description="the client's own id, unique among contexts that are not deleted")
    metadata: dict[str, Any]
    message_count: int
    total_tokens: int = Field(description="tokens of all its messages")
    latest_version: int
    parent_id: UUID | None
    fork_version: int | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


# --- Health


class Health(Model):
    """Whether the service can serve: healthy, degraded (it works, but see checks) or unhealthy."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    version: str
    checks: dict[str, dict[str, Any]]


# --- Queries


class NoQuery(Model):
    """The parameters of what takes none."""


class HealthQuery(Model):
    """The parameter of health."""

    probe: Literal["readiness", "liveness"] = Field(
        "readiness", description="liveness asks the process alone, readiness the database too"
    )


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text", "holds U+0000, which PostgreSQL cannot store")
    return text


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        raise PydanticCustomError("whole", "must be a whole number within 64 bits")
    return int(text)


def _json_object(text: str) -> str:
    try:
        value = jsontext.parse(text)
    except errors.InvalidRequest:
        value = None
    if not isinstance(value, dict):
        raise PydanticCustomError("json_object", "must be the JSON text of an object")
    return text


type Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_whole)]
type Version = Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_whole)]


class ContextsQuery(Model):
    """The parameters of a list of contexts."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="nextCursor of the page before"
    )
    order: Order = Field("desc", description="by the time of creation; desc is newest first")
    metadata: Annotated[str, BeforeValidator(_json_object)] | None = Field(
        None, description="JSON object that a context's metadata must contain"
    )
    external_id: Annotated[ExternalId, AfterValidator(_storable)] | None = Field(
        None, description="the client's own id, which one context has at most"
    )


class MessagesQuery(Model):
    """The parameters of a page of messages."""

    cursor: Version | None = Field(None, description="version to start after")
    limit: Limit = DEFAULT_LIMIT
    order: Order = "asc"
    at: Version | None = Field(None, description="answer as it was when this version was the newest")


class WindowQuery(Model):
    """The parameters of a window."""

    budget: Annotated[int, Field(ge=1, le=MAX_INTEGER, description="tokens"), BeforeValidator(_whole)]
    at: Version | None = Field(None, description="answer as it was when this version was the newest")
