"""The schemas of what the API takes and answers: the models', and of the envelopes and problems around them."""

from collections.abc import Mapping
from typing import Any, override

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from lib import models, shapes
from lib.windows import Window

type Schema = dict[str, Any]

REF = "#/components/schemas/{model}"

TAKEN = (models.NewContext, models.ContextPatch, models.Append)
ANSWERED = (shapes.Context, shapes.Message, shapes.Health)


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
    return {**answered["$defs"], **taken["$defs"], **_envelopes(), "Problem": PROBLEM}


def _envelopes() -> dict[str, Schema]:
    context, message = ref("Context"), {"type": "array", "items": ref("Message")}
    more = {
        "type": "boolean",
        "description": "Whether there are more. Go on while it is true: a page may be shorter than limit.",
    }
    end = "where the next page starts, to be sent as cursor; null where there is none."
    return {
        "ContextAnswer": _envelope("A context.", {**context, "description": "The context."}),
        "ContextPage": _envelope(
            "A page of a list of contexts.",
            {"type": "array", "items": context, "description": "The contexts, in the order that was asked for."},
            {"nextCursor": {"type": ["string", "null"], "description": f"Opaque: {end}"}, "hasMore": more},
        ),
        "AppendAnswer": _envelope(
            "What an append has stored.", {**message, "description": "The stored messages, in the order of the batch."}
        ),
        "MessagePage": _envelope(
            "A page of a context's messages.",
            {**message, "description": "The messages, in the order that was asked for."},
            {"nextCursor": {"type": ["integer", "null"], "description": f"A version: {end}"}, "hasMore": more},
        ),
        "WindowAnswer": _envelope(
            "A window of a context's messages.",
            {**message, "description": "The messages, oldest first; their versions are consecutive."},
            {
                name: {**_figure(value), "description": FIGURES[name]}
                for name, value in Window([], 0, 0).figures(1).items()
            },
        ),
    }


FIGURES = {
    "budget": "The budget as it was sent, in tokens.",
    "usedTokens": "The tokens of the window's messages together.",
    "overBudget": "Whether the newest unit alone is larger than the budget; it is the window then.",
    "totalTokens": "The tokens of all of the context's messages together, up to the version that was asked for.",
    "firstVersion": "The version of the window's oldest message; null where the context is empty.",
    "lastVersion": "The version of the window's newest message; null where the context is empty.",
    "droppedCount": "The number of older messages, which are not in the window.",
}


def _envelope(description: str, data: Schema, members: Mapping[str, Schema] | None = None) -> Schema:
    """`{"data": …, …members}`."""
    properties = {"data": data, **(members or {})}
    return {
        "type": "object",
        "description": description,
        "required": [*properties],
        "properties": properties,
        "additionalProperties": False,
    }


def _figure(value: float | None) -> Schema:
    """The schema of a figure beside a window, by its value in an empty one."""
    if value is None:
        return {"type": ["integer", "null"]}
    return {"type": "boolean" if isinstance(value, bool) else "integer"}


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
