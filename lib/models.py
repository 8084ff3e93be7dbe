"""What a client sends: the pydantic models that validate bodies and document them, and limits that all share."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
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

from lib import errors

EMBEDDING_DIMENSIONS = 1536
# Characters. Some libraries carry a signature in the id of a call.
MAX_NAME_LENGTH = 255
MAX_CALL_ID_LENGTH = 4096
MAX_BATCH = 1000
# A provider's own messages, of which several may be one of ours.
MAX_ITEMS = 10_000

# PostgreSQL's integer and bigint.
MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1

# pgvector keeps single-precision floats and refuses what would round beyond their largest: from here on.
BEYOND_SINGLE = 3.4028235677973366e38

# Vercel carries bodies of 4.5 MB each way. Pages and windows leave room for what surrounds their messages.
MAX_BODY_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_400_000

# A context's metadata, as a request brings it: JSON text. It is read with every context of a list, and is indexed.
MAX_METADATA_BYTES = 65_536

# The summary of a compaction, in UTF-8.
MAX_SUMMARY_BYTES = 262_144

# UUID() alone would also take braces, urn: and hyphens anywhere.
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

# How far the clock of a client may be ahead of ours.
MAX_AHEAD = timedelta(minutes=1)

# The types of parts that a model reads as text, in OpenAI's (chat and responses) and Anthropic's shapes, and the member
# that has it; and those of what it has thought or refused.
TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "reasoning": "text",
    "refusal": "refusal",
}

type Role = Literal["system", "user", "assistant", "tool"]
type Format = Literal["kata", "openai-chat", "openai-responses", "anthropic", "gemini", "ai-sdk"]
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
    """One part of a message's content, in any provider's shape: members that this API does not know are kept."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way of configuring a TypedDict

    type: Annotated[
        str,
        Field(
            description="What the part is. Tokens are counted of the `text` of text, input_text, output_text and "
            "reasoning, and of a refusal."
        ),
    ]


class Function(TypedDict):
    """The function that a tool call names, and what the model gives to it."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # as above

    name: Annotated[Name, Field(description="The function's name.")]
    arguments: Annotated[str, Field(description="The JSON text that the model wrote, valid or not, to the letter.")]


class ToolCall(TypedDict):
    """One call that an assistant message makes."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # as above

    id: Annotated[CallId, Field(description="The call's id, which the tool message that answers it names.")]
    type: Annotated[Literal["function"], Field(description="Always function.")]
    function: Annotated[Function, Field(description="What is called.")]


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
    list[Annotated[float, Field(gt=-BEYOND_SINGLE, lt=BEYOND_SINGLE)]],
    Field(min_length=EMBEDDING_DIMENSIONS, max_length=EMBEDDING_DIMENSIONS),
    FailFast(),
]


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])",
    re.ASCII,
)


def rfc_3339(value: Any) -> Any:
    """The time that a text is; what is no text comes back as it is. Raises PydanticCustomError."""
    if not isinstance(value, str):
        return value
    try:
        if _RFC_3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("time", "must be a time such as 2026-11-21T09:30:00Z (RFC 3339)")


type Time = Annotated[datetime, BeforeValidator(rfc_3339)]


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
    """A message as a client appends it; null stands for an absent member.

    Any role may have content. Only an assistant makes tool calls, and then needs no content; only a tool message
    answers a call, and it must.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": _SHAPES})

    role: Role = Field(description="Who speaks; tool is the result of a tool call.")
    tool_calls: ToolCalls | None = Field(None, description="The calls that an assistant message makes.")
    content: Content = Field(
        None, validate_default=True, description="A text or a list of parts; absent only where toolCalls is given."
    )
    tool_call_id: CallId | None = Field(
        None, validate_default=True, description="The id of the call that a tool message answers; required there."
    )
    tool_name: Name | None = Field(None, description="The tool that a tool message comes from; kept as it is.")
    model: Name | None = Field(None, description="The model that wrote the message; kept as it is.")
    metadata: dict[str, Any] | None = Field(
        None, description="Any JSON object of the client's, kept to the letter; {} where absent."
    )
    token_count: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(_integral)] | None = Field(
        None,
        description="Tokens, taken as they are. Where absent, the texts of content and toolCalls are counted with "
        "o200k_base, the vocabulary of GPT-4o and later models.",
    )
    embedding: Embedding | None = Field(
        None, description="Kept in single precision and never sent back: answers have hasEmbedding."
    )
    created_at: Time | None = Field(
        None,
        description="When it was said, for a history that is imported: RFC 3339, kept to the microsecond. At most one "
        "minute in the future, and not before the message before it, in the batch or stored. Where absent, the time "
        "of the append, or of the message before it if that is later.",
    )

    def texts(self) -> Iterator[str]:
        """What a model reads as text: the content or its text parts, each call's name and arguments."""
        if isinstance(self.content, str):
            yield self.content
        for part in self.content if isinstance(self.content, list) else ():
            member = TEXT_PARTS.get(part["type"])
            text = member and part.get(member)
            if isinstance(text, str):
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


class Appending(Sent):
    """What every append may have beside its messages."""

    expected_version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None, description="The latest version that the context must have, 0 where it has no messages; 409 otherwise."
    )
    expected_external_id: ExternalId | None = Field(
        None,
        description="The externalId that the context must have, as it may have moved to a fork meanwhile; 409 "
        "otherwise.",
    )
    context_metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(
        None,
        description="A merge patch (RFC 7396) of the context's metadata, stored together with the messages: members "
        "are set, and those that are null removed. At most 65,536 bytes of JSON.",
    )


class Append(Appending):
    """The body of an append: all of it is stored, or nothing."""

    format: Literal["kata"] | None = Field(None, description="The format that messages are in: our own.")
    messages: Annotated[list[NewMessage], Field(min_length=1, max_length=MAX_BATCH)] = Field(
        description="1 to 1,000 messages, oldest first. They get the versions behind the context's latest."
    )


type Tokens = Annotated[int, Field(ge=0, le=MAX_INTEGER), BeforeValidator(_integral)]


type TokenCounts = Annotated[list[Tokens], FailFast()]


class ProviderAppend(Appending):
    """The body of an append in a provider's format: all of it is stored, or nothing."""

    format: Format = Field(
        description="The format that messages are in, as that provider gave or was sent them.",
        json_schema_extra={"enum": ["openai-chat", "openai-responses", "anthropic", "gemini", "ai-sdk"]},
    )
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ITEMS), FailFast()] = Field(
        description="The provider's own messages, contents or items, 10,000 at most and oldest first: at most 1,000 of "
        "ours come of them. "
        "A turn with several results becomes as many messages, the items of one turn of the assistant become one."
    )
    model: Name | None = Field(None, description="The model that wrote the assistant's messages; kept as it is.")
    metadata: dict[str, Any] | None = Field(
        None, description="Any JSON object of the client's, which every message gets; {} where absent."
    )
    token_counts: TokenCounts | None = Field(
        None,
        description="Tokens of each of messages, taken as they are: shared, as we counted, where one becomes several, "
        "and added up where several become one. Where absent, texts are counted, and what is no text is 0.",
    )


def appended_as(value: Any) -> type[Append | ProviderAppend]:
    """The model of an append's body."""
    given = value.get("format") if isinstance(value, dict) else None
    return Append if given is None or given == "kata" else ProviderAppend


class Idempotency(NamedTuple):
    """A client's Idempotency-Key, and the SHA-256 of the payload that it stands for."""

    key: str
    fingerprint: bytes


# --- Policies


class ClearToolResults(Sent):
    """From where on the results of tools are cleared."""

    keep_tokens: Tokens = Field(
        description="Tool messages that lie more than about so many tokens back stay in place, and their content is "
        "`[cleared]`. At most what the step leaves of the budget counts."
    )


class CompactionDue(Sent):
    """When a window says that a compaction is due, and up to where."""

    threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        description="The part of the budget beyond which one is due: what the head, without the request, and all "
        "messages that compete for the run take together."
    )
    keep_tokens: Tokens = Field(
        description="Tokens to leave behind what is compacted, at most; at most the budget counts."
    )


class Policy(Sent):
    """How a context's windows are chosen, unless a request says otherwise; null stands for an absent member."""

    budget: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(_integral)] | None = Field(
        None, description="Tokens of the whole window, the head included. Where absent, each request must say."
    )
    keep_preamble: bool | None = Field(
        None,
        description="Whether the preamble, the system messages that the history begins with, 16 at most, is in every "
        "window. False where absent.",
    )
    keep_request: bool | None = Field(
        None,
        description="Whether the request, the newest user message, is in every window, unless the newest unit would "
        "then not fit. False where absent.",
    )
    start_on: Literal["any", "user"] | None = Field(
        None,
        description="`user`: the run moves on to its first user message if that skips at most a quarter of what the "
        "head leaves of the budget. `any` where absent.",
    )
    step: Tokens | None = Field(
        None,
        description="Tokens by which a full window moves on at once, so that requests begin as those before them until "
        "then. At most half of what the head leaves of the budget counts; 0, also where absent, moves on with each "
        "message.",
    )
    clear_tool_results: ClearToolResults | None = Field(
        None, description="From where on results of tools are cleared; none are where absent."
    )
    compaction_due: CompactionDue | None = Field(
        None, description="When a window says that a compaction is due; never where absent."
    )


# --- Contexts


class NewContext(Sent):
    """The body that creates a context; null stands for an absent member."""

    name: Name | None = Field(None, description="A name for people.")
    external_id: ExternalId | None = Field(
        None,
        description="The client's own id, any text without U+0000, unique among contexts that are not deleted. Where "
        "one has it already, that one is the answer (200), unchanged, and none is made.",
    )
    metadata: dict[str, Any] | None = Field(
        None, description="Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it."
    )
    policy: Policy | None = Field(None, description="How windows of it are chosen; {} where absent.")

    def policy_text(self) -> str:
        """The JSON text of the policy's members."""
        return self.policy.model_dump_json(by_alias=True, exclude_none=True) if self.policy else "{}"


def _uuid(value: Any) -> UUID:
    if not (isinstance(value, str) and UUID_TEXT.fullmatch(value)):
        raise PydanticCustomError("uuid", "must be the id of a context")
    return UUID(value)


class Holder(Sent):
    """The context that has an externalId which another is to take."""

    context_id: Annotated[UUID, BeforeValidator(_uuid)] = Field(description="Its id.")
    expected_version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None, description="The latest version that it must have; 409 otherwise."
    )


class ContextPatch(Sent):
    """The body that changes a context: absent members stay as they are, null clears one."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"externalId": {"type": "string"}, "takeExternalIdFrom": {"type": "object"}},
                "required": ["externalId", "takeExternalIdFrom"],
            }
        }
    )

    name: Name | None = Field(None, description="A name for people; null clears it.")
    external_id: ExternalId | None = Field(
        None, description="The client's own id; null clears it. 409 where another context that is not deleted has it."
    )
    take_external_id_from: Holder | None = Field(
        None,
        description="The context whose externalId becomes this one's, at once: what a client calls by that id goes on "
        "here. 409 where it has none; not together with externalId. null is the same as absent.",
    )
    metadata: dict[str, Any] | None = Field(
        None,
        description="A merge patch (RFC 7396) of the metadata: members are set, and those that are null removed; null "
        "in its place empties it. Afterwards at most 131,072 bytes as PostgreSQL's jsonb writes it.",
    )
    policy: Policy | None = Field(
        None,
        description="A merge patch of the policy: members are set, and those that are null removed; null in its place "
        "empties it. It counts for windows of the past as well.",
    )

    @field_validator("take_external_id_from")
    @classmethod
    def _takes_or_sets(cls, value: Holder | None, info: ValidationInfo) -> Holder | None:
        if value and "external_id" in info.data and info.data["external_id"] is not None:
            raise PydanticCustomError("take_external_id_from", "must not be given beside externalId")
        return value

    def policy_text(self) -> str | None:
        """The JSON text of the policy's patch; None where the policy stays as it is."""
        if "policy" not in self.model_fields_set:
            return None
        return self.policy.model_dump_json(by_alias=True, exclude_unset=True) if self.policy else "null"


# --- Forks


class NewFork(Sent):
    """The body that forks a context; null stands for an absent member."""

    version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None,
        description="The version up to which the fork shares the history, 0 for none of it; the latest if absent. 400 "
        "above the latest.",
    )
    expected_version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None, description="The latest version that the parent must have; 409 otherwise."
    )
    name: Name | None = Field(None, description="A name for people; null where absent, and not the parent's.")
    metadata: dict[str, Any] | None = Field(
        None,
        description="Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it; the "
        "parent's where absent.",
    )
    policy: Policy | None = Field(
        None, description="How windows of the fork are chosen, as a whole; the parent's where absent."
    )
    external_id: ExternalId | None = Field(
        None,
        description="The client's own id for the fork; null where absent, and not the parent's. 409 where a context "
        "that is not deleted has it.",
    )
    move_external_id: bool | None = Field(
        None,
        description="Whether the parent's externalId moves to the fork, at once: what a client calls by that id goes "
        "on with the fork. 409 where it has none; not together with externalId.",
    )

    def policy_text(self) -> str | None:
        """The JSON text of the policy's members; None where the parent's counts."""
        return self.policy.model_dump_json(by_alias=True, exclude_none=True) if self.policy else None

    @field_validator("move_external_id")
    @classmethod
    def _moves_or_sets(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and info.data.get("external_id") is not None:
            raise PydanticCustomError("move_external_id", "must not be true where externalId is given")
        return value


# --- Compactions


def _utf8(text: str) -> str:
    if len(text.encode()) > MAX_SUMMARY_BYTES:
        raise PydanticCustomError("summary", f"must not be larger than {MAX_SUMMARY_BYTES:,} bytes")
    return text


class NewCompaction(Sent):
    """A summary that is to stand in for all messages up to a version; null stands for an absent member."""

    through_version: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] = Field(
        description="The newest version that it stands in for: behind the preamble, and the end of a unit whose calls "
        "are all answered."
    )
    summary: Annotated[str, Field(min_length=1), AfterValidator(_utf8)] = Field(
        description="What a model reads in place of those messages: 1 to 262,144 bytes."
    )
    role: Literal["user", "assistant", "system"] | None = Field(
        None, description="Who speaks in windows; user where absent."
    )
    token_count: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(_integral)] | None = Field(
        None, description="Tokens of the summary, taken as they are; counted with o200k_base where absent."
    )
    metadata: dict[str, Any] | None = Field(
        None,
        description="Any JSON object of the client's, kept to the letter, up to 65,536 bytes as sent; {} where absent.",
    )
    expected_number: Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_integral)] | None = Field(
        None,
        description="The number of the compaction that must be in force, 0 for none; 409 otherwise. Of several who "
        "expect the same at once one wins.",
    )
