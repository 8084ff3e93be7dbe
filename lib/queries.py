"""What a query string may have: the pydantic models that validate parameters and document them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from lib import errors, jsontext
from lib.models import MAX_BIGINT, MAX_INTEGER, MAX_NAME_LENGTH, ExternalId, Model, Order

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

_AT = "Answer as it was when this version was the newest: 0 to the latest version; the latest where absent."


class ContextsQuery(Model):
    """The parameters of a list of contexts."""

    limit: Limit = Field(DEFAULT_LIMIT, description="How many contexts a page has at most.")
    cursor: Annotated[str, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="nextCursor of the page before; absent for the first page."
    )
    order: Order = Field("desc", description="By the time of creation: desc is newest first, asc oldest first.")
    metadata: Annotated[str, BeforeValidator(_json_object)] | None = Field(
        None,
        description="A JSON object that a context's metadata must contain: its members, and those of objects in it, "
        "with equal values; an array contains another if it has all of its elements.",
    )
    external_id: Annotated[ExternalId, AfterValidator(_storable)] | None = Field(
        None, description="The client's own id, which one context that is not deleted has at most."
    )


class MessagesQuery(Model):
    """The parameters of a page of messages."""

    cursor: Version | None = Field(
        None, description="The version to start after, which is nextCursor of the page before; absent for the first."
    )
    limit: Limit = Field(DEFAULT_LIMIT, description="How many messages a page has at most.")
    order: Order = Field("asc", description="By version: asc is oldest first, desc newest first.")
    at: Version | None = Field(None, description=_AT)


class WindowQuery(Model):
    """The parameters of a window."""

    budget: Annotated[
        int,
        Field(ge=1, le=MAX_INTEGER, description="Tokens that the window's messages may have together."),
        BeforeValidator(_whole),
    ]
    at: Version | None = Field(None, description=_AT)
