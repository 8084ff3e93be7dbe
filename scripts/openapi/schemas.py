"""The schemas of what the API takes and answers: the models', and of the envelopes and problems around them."""

from collections.abc import Collection
from typing import Any, override

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from lib import models, shapes

type Schema = dict[str, Any]

REF = "#/components/schemas/{model}"

TAKEN = (
    models.NewContext,
    models.ContextPatch,
    models.Append,
    models.ProviderAppend,
    models.NewCompaction,
    models.NewFork,
)
ANSWERED = (
    shapes.Context,
    shapes.Message,
    shapes.NativeMessage,
    shapes.ClearedMessage,
    shapes.Summary,
    shapes.WindowFigures,
    shapes.Repairs,
    shapes.Compaction,
    shapes.Health,
)


class Untitled(GenerateJsonSchema):
    """Without titles of members: they would only repeat the names."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": REF.format(model=name)}


def parameters_of(model: type[BaseModel]) -> Schema:
    """The schema of a query's model."""
    return model.model_json_schema(schema_generator=Untitled)


def components() -> dict[str, Schema]:
    """Every schema that operations refer to, by name."""
    _, taken = models_json_schema(
        [(model, "validation") for model in TAKEN], ref_template=REF, schema_generator=Untitled
    )
    _, answered = models_json_schema(
        [(model, "serialization") for model in ANSWERED], ref_template=REF, schema_generator=Untitled
    )
    schemas = {**answered["$defs"], **taken["$defs"]}
    figures = schemas.pop("WindowFigures")["properties"]
    repairs = schemas.pop("Repairs")["properties"]
    return {**schemas, **_envelopes(figures, repairs), "Problem": PROBLEM}


def _envelopes(figures: Schema, repairs: Schema) -> dict[str, Schema]:
    context, compaction = ref("Context"), ref("Compaction")
    message = {"type": "array", "items": ref("Message")}
    kinds = [ref("Message"), ref("ClearedMessage"), ref("Summary")]
    more = {
        "type": "boolean",
        "description": "Whether there are more. Go on while it is true: a page may be shorter than limit.",
    }
    end = "where the next page starts, to be sent as cursor; null where there is none."
    return {
        "ContextAnswer": _envelope("A context.", {"data": {**context, "description": "The context."}}),
        "ContextPage": _envelope(
            "A page of a list of contexts.",
            {
                "data": {
                    "type": "array",
                    "items": context,
                    "description": "The contexts, in the order that was asked for.",
                },
                "nextCursor": {"type": ["string", "null"], "description": f"Opaque: {end}"},
                "hasMore": more,
            },
        ),
        "AppendAnswer": _envelope(
            "What an append has stored.",
            {"data": {**message, "description": "The stored messages, in the order of the batch."}},
        ),
        "MessagePage": _envelope(
            "A page of a context's messages.",
            {
                "data": {
                    "type": "array",
                    "items": {"oneOf": [ref("Message"), ref("NativeMessage")]},
                    "description": "The messages, in the order that was asked for.",
                },
                "nextCursor": {"type": ["integer", "null"], "description": f"A version: {end}"},
                "hasMore": more,
            },
        ),
        "WindowAnswer": _envelope(
            "A window of a context's messages, and figures of it.",
            {
                "data": {
                    "oneOf": [{"type": "array", "items": {"oneOf": kinds}}, *PROVIDERS],
                    "description": "What to send to the model, in order: the head, then the run; in a provider's "
                    "format the members to put into its request. Absent with include=figures.",
                },
                **figures,
                **repairs,
            },
            optional={"data", *repairs},
        ),
        "CompactionAnswer": _envelope("A compaction.", {"data": {**compaction, "description": "The compaction."}}),
        "CompactionPage": _envelope(
            "A page of a context's compactions.",
            {
                "data": {
                    "type": "array",
                    "items": compaction,
                    "description": "The compactions, newest first, those that are undone too.",
                },
                "nextCursor": {"type": ["integer", "null"], "description": f"A number: {end}"},
                "hasMore": more,
            },
        ),
    }


def _members(title: str, *names: str, text: str | None = None) -> Schema:
    """The members of a provider's request: a list of objects, and perhaps what stands beside."""
    shown = {"messages": "The messages.", "input": "The items.", "contents": "The contents."}
    members: Schema = {
        name: {"type": "array", "items": {"type": "object"}, "description": shown[name]} for name in names
    }
    if text:
        kinds = ["object"] if text == "systemInstruction" else ["string", "array"]
        members[text] = {"type": kinds, "description": "The system messages that the window begins with."}
    return {
        "type": "object",
        "title": title,
        "required": list(names),
        "properties": members,
        "additionalProperties": False,
    }


# What data is in a provider's format.
PROVIDERS = [
    _members("openai-chat, anthropic, ai-sdk", "messages", text="system"),
    _members("openai-responses", "input", text="instructions"),
    _members("gemini", "contents", text="systemInstruction"),
]


def _envelope(description: str, members: Schema, *, optional: Collection[str] = ()) -> Schema:
    """An object of these members, all of which are there but the optional ones."""
    return {
        "type": "object",
        "description": description,
        "required": [name for name in members if name not in optional],
        "properties": members,
        "additionalProperties": False,
    }


PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457), without anything of what was sent. Decide on code.",
    "required": ["type", "title", "status", "detail", "code", "requestId"],
    "properties": {
        "type": {"type": "string", "description": "urn:kata-context:problem: and the code."},
        "title": {"type": "string", "description": "The code in words."},
        "status": {"type": "integer", "description": "The status of the answer."},
        "detail": {"type": "string", "description": "What is wrong here, for people."},
        "code": {"type": "string", "description": "The kind of problem. Codes never change."},
        "requestId": {"type": "string", "description": "The id of the request, as in X-Request-Id and in the log."},
        "currentVersion": {
            "type": "integer",
            "description": "The context's latest version; with version_conflict and precondition_failed.",
        },
        "currentNumber": {
            "type": "integer",
            "description": "The number of the compaction in force, 0 for none; with compaction_conflict.",
        },
        "errors": {
            "type": "array",
            "description": "The places in the request that are not valid, up to 20 of them.",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "A JSON Pointer (RFC 6901) into the body, or / and the name of a parameter.",
                    },
                    "detail": {"type": "string", "description": "What is wrong there."},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
