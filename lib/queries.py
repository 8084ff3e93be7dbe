"""What a query string may have: the pydantic models that validate parameters and document them."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from lib import errors, jsontext
from lib.models import (
    MAX_BIGINT,
    MAX_INTEGER,
    MAX_NAME_LENGTH,
    UUID_TEXT,
    ClearToolResults,
    CompactionDue,
    ExternalId,
    Format,
    Model,
    Order,
    rfc_3339,
)

MAX_LIMIT = 1000
DEFAULT_LIMIT = 50


class NoQuery(Model):
    """The parameters of what takes none."""


class HealthQuery(Model):
    """The parameter of health."""

    probe: Literal["readiness", "liveness"] = Field(
        "readiness", description="readiness asks the process and its database, liveness the process alone."
    )


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text", "holds U+0000, which PostgreSQL cannot store")
    return text


def _parent(text: str) -> UUID | Literal["none"]:
    if text == "none":
        return "none"
    if not UUID_TEXT.fullmatch(text):
        raise PydanticCustomError("parent", "must be the id of a context, or none")
    return UUID(text)


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


def _at(text: str) -> Any:
    if re.fullmatch(r"-?[0-9]+", text, re.ASCII):
        version = _whole(text)
        if not 0 <= version <= MAX_BIGINT:
            raise PydanticCustomError("version", "must be a version from 0 on")
        return version
    try:
        return rfc_3339(text.replace(" ", "+"))  # in a query string + means a space
    except PydanticCustomError:
        message = "must be a version, or a time such as 2026-11-21T09:30:00Z (RFC 3339)"
        raise PydanticCustomError("at", message) from None


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise PydanticCustomError("flag", "must be true or false")
    return text == "true"


def _keep_tokens(text: str) -> dict[str, int] | None:
    return None if text == "off" else {"keepTokens": _whole(text)}


def _due(text: str) -> dict[str, float] | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,17})?),([0-9]{1,19})", text, re.ASCII)
    if not found:
        raise PydanticCustomError("due", "must be off, or a threshold and tokens such as 0.8,4000")
    return {"threshold": float(found[1]), "keepTokens": int(found[2])}


type Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_whole)]
type Version = Annotated[int, Field(ge=0, le=MAX_BIGINT), BeforeValidator(_whole)]

type Cursor = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]

_CURSOR = "nextCursor of the page before; absent for the first page."
_BY_CREATION = "By the time of creation: desc is newest first, asc oldest first."

type At = Annotated[int, Field(ge=0, le=MAX_BIGINT)] | datetime

_AT = (
    "Answer as it was when this version was the newest: 0 to the latest version, or a time (RFC 3339): the newest "
    "version that existed then. The latest where absent."
)


# What these two are as text, for the OpenAPI document. The pattern leaves out thresholds with zeros before or more
# than 8 behind, and tokens from 2,000,000,000 on.
_CLEAR: dict[str, JsonValue] = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}, {"type": "string", "const": "off"}]
}
_COMPACTION_DUE: dict[str, JsonValue] = {
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^(1(\.0{1,8})?|0\.([0-9]{0,16}[1-9]|[0-9]{0,8}[1-9]0{1,8})),1?[0-9]{1,9}$",
            "examples": ["0.8,4000"],
        },
        {"type": "string", "const": "off"},
    ]
}


class ContextsQuery(Model):
    """The parameters of a list of contexts."""

    limit: Limit = Field(DEFAULT_LIMIT, description="How many contexts a page has at most.")
    cursor: Cursor | None = Field(None, description=_CURSOR)
    order: Order = Field("desc", description=_BY_CREATION)
    metadata: Annotated[str, BeforeValidator(_json_object)] | None = Field(
        None,
        description="A JSON object that a context's metadata must contain: its members, and those of objects in it, "
        "with equal values; an array contains another if it has all of its elements.",
    )
    external_id: Annotated[ExternalId, AfterValidator(_storable)] | None = Field(
        None, description="The client's own id, which one context that is not deleted has at most."
    )
    parent_id: Annotated[UUID | Literal["none"], BeforeValidator(_parent)] | None = Field(
        None, description="Only the forks of this context, which may be deleted; `none` for contexts that are no forks."
    )


class ForksQuery(Model):
    """The parameters of a page of forks."""

    limit: Limit = Field(DEFAULT_LIMIT, description="How many forks a page has at most.")
    cursor: Cursor | None = Field(None, description=_CURSOR)
    order: Order = Field("desc", description=_BY_CREATION)


class MessagesQuery(Model):
    """The parameters of a page of messages."""

    cursor: Version | None = Field(
        None, description="The version to start after, which is nextCursor of the page before; absent for the first."
    )
    limit: Limit = Field(DEFAULT_LIMIT, description="How many messages a page has at most.")
    order: Order = Field("asc", description="By version: asc is oldest first, desc newest first.")
    at: Annotated[At, BeforeValidator(_at)] | None = Field(None, description=_AT)
    include: Literal["native"] | None = Field(
        None, description="`native` adds what a provider gave, as it gave it, and in which format."
    )


class CompactionsQuery(Model):
    """The parameters of a page of compactions."""

    cursor: Version | None = Field(
        None, description="The number to go on below, which is nextCursor of the page before; absent for the first."
    )
    limit: Limit = Field(DEFAULT_LIMIT, description="How many compactions a page has at most.")


class WindowQuery(Model):
    """The parameters of a window. Each member of a policy overrides that of the context's own."""

    budget: Annotated[int, Field(ge=1, le=MAX_INTEGER), BeforeValidator(_whole)] | None = Field(
        None,
        description="Tokens that the window's messages may have together, the head included; required where the policy "
        "has none.",
    )
    keep_preamble: Annotated[bool, BeforeValidator(_flag)] | None = Field(
        None,
        description="Whether the preamble is in the window: the system messages that the history begins with, 16 at "
        "most.",
    )
    keep_request: Annotated[bool, BeforeValidator(_flag)] | None = Field(
        None,
        description="Whether the request, the newest user message, is in the window, unless the newest unit would then "
        "not fit.",
    )
    start_on: Literal["any", "user"] | None = Field(
        None,
        description="`user`: the run moves on to its first user message if that skips at most a quarter of what the "
        "head leaves of the budget.",
    )
    step: Annotated[int, Field(ge=0, le=MAX_INTEGER), BeforeValidator(_whole)] | None = Field(
        None,
        description="Tokens by which a full window moves on at once; at most half of what the head leaves of the "
        "budget counts.",
    )
    clear_tool_results: Annotated[ClearToolResults | None, BeforeValidator(_keep_tokens)] = Field(
        None,
        description="Tool messages that lie more than about so many tokens back stay, and their content is "
        "`[cleared]`; `off` clears none.",
        json_schema_extra=_CLEAR,
    )
    compaction_due: Annotated[CompactionDue | None, BeforeValidator(_due)] = Field(
        None,
        description="When the window says that a compaction is due: the part of the budget beyond which one is, above "
        "0 and at most 1, and the tokens to leave behind it at most, such as `0.8,4000`; `off` for never.",
        json_schema_extra=_COMPACTION_DUE,
    )
    policy: Literal["none"] | None = Field(
        None,
        description="`none` sets the context's own policy aside, its budget too; not its compactions, nor other "
        "parameters.",
    )
    at: Annotated[At, BeforeValidator(_at)] | None = Field(None, description=_AT)
    format: Format = Field(
        "kata",
        description="The shape of data: `kata` are messages as they are stored, any other the members to put into that "
        "provider's request, which it accepts as they are.",
    )
    include: Literal["figures"] | None = Field(
        None, description="`figures` answers with the figures alone, without data."
    )

    def overrides(self) -> dict[str, Any]:
        """The members of a policy that are given; null for one that is turned off."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude={"policy", "at", "format", "include"})
