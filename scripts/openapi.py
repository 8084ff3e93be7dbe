"""Writes public/openapi.json from the models and the errors: `python -m scripts.openapi`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lib import __version__, models
from lib.errors import (
    ContextNotFound,
    ExternalIdTaken,
    IdempotencyKeyReused,
    InvalidBody,
    InvalidHeader,
    InvalidId,
    InvalidParameter,
    MalformedJson,
    PayloadTooLarge,
    PreconditionFailed,
    Problem,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    VersionConflict,
)
from lib.windows import Window
from scripts.stack.router import ROOT

PATH = ROOT / "public" / "openapi.json"

type Schema = dict[str, Any]

ANSWERED = (models.Context, models.Message, models.Health)
TAKEN = (models.NewContext, models.ContextPatch, models.Append)

ALWAYS: tuple[type[Problem], ...] = (Unauthorized, Unavailable)
WITH_BODY: tuple[type[Problem], ...] = (InvalidBody, MalformedJson, PayloadTooLarge, UnsupportedMediaType)
ON_A_CONTEXT: tuple[type[Problem], ...] = (InvalidId, ContextNotFound)

PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "code", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable; see the README"},
        "requestId": {"type": "string"},
        "currentVersion": {"type": "integer", "description": "with version_conflict and precondition_failed"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901), or /name of a parameter"},
                    "detail": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def header(name: str, description: str, **schema: str) -> Schema:
    """An optional request header."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


IDEMPOTENCY_KEY = header("Idempotency-Key", "sent again, it gets the first answer", pattern="^[!-~]{1,255}$")
IF_MATCH = header("If-Match", "act only where a read still has one of these ETags; 412 otherwise")
IF_NONE_MATCH = header("If-None-Match", "304 where the answer still has one of these ETags")


def document() -> Schema:
    """The OpenAPI document."""
    _, taken = models_json_schema([(model, "validation") for model in TAKEN], ref_template=REF)
    _, answered = models_json_schema([(model, "serialization") for model in ANSWERED], ref_template=REF)
    page: dict[str, Schema] = {"nextCursor": {"type": ["integer", "null"]}, "hasMore": {"type": "boolean"}}
    context, message = ref(models.Context), ref(models.Message)
    figures = {name: figure(value) for name, value in Window([], 0, 0).figures(1).items()}
    contexts = {
        "get": operation(
            "List contexts",
            200,
            listed(context, {**page, "nextCursor": {"type": ["string", "null"]}}),
            (InvalidParameter,),
            query=models.ContextsQuery,
        ),
        "post": operation(
            "Create a context",
            201,
            enveloped(context),
            (InvalidHeader, IdempotencyKeyReused),
            body=models.NewContext,
            body_required=False,
            parameters=[IDEMPOTENCY_KEY],
        ),
    }
    one_context = {
        "get": operation("Read a context", 200, enveloped(context), ON_A_CONTEXT, parameters=[IF_NONE_MATCH]),
        "patch": operation(
            "Rename a context, or merge into its metadata",
            200,
            enveloped(context),
            (*ON_A_CONTEXT, ExternalIdTaken, PreconditionFailed),
            body=models.ContextPatch,
            body_required=False,
            parameters=[IF_MATCH],
        ),
        "delete": operation(
            "Delete a context", 200, enveloped(context), (*ON_A_CONTEXT, PreconditionFailed), parameters=[IF_MATCH]
        ),
    }
    messages = {
        "get": operation(
            "Page through messages",
            200,
            listed(message, page),
            (*ON_A_CONTEXT, InvalidParameter),
            query=models.MessagesQuery,
            parameters=[IF_NONE_MATCH],
        ),
        "post": operation(
            "Append a batch of messages",
            201,
            listed(message, {}),
            (*ON_A_CONTEXT, InvalidHeader, VersionConflict, PreconditionFailed, IdempotencyKeyReused),
            body=models.Append,
            parameters=[IDEMPOTENCY_KEY, IF_MATCH],
        ),
    }
    window = {
        "get": operation(
            "The newest messages that fit a token budget",
            200,
            listed(message, figures),
            (*ON_A_CONTEXT, InvalidParameter, PayloadTooLarge),
            query=models.WindowQuery,
            parameters=[IF_NONE_MATCH],
        )
    }
    health = operation(
        "Whether the service can serve", 200, ref(models.Health), (InvalidParameter,), models.HealthQuery
    )
    del health["responses"]["401"]
    health["responses"]["503"] = answer("unhealthy", ref(models.Health))
    health["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kata Context",
            "version": __version__,
            "description": "A context store for AI agents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"bearer": []}],
        "paths": {
            "/api/v1/contexts": contexts,
            "/api/v1/contexts/{contextId}": on_a_context(one_context),
            "/api/v1/contexts/{contextId}/messages": on_a_context(messages),
            "/api/v1/contexts/{contextId}/window": on_a_context(window),
            "/api/health": {"get": health},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**answered["$defs"], **taken["$defs"], "Problem": PROBLEM},
        },
    }


REF = "#/components/schemas/{model}"


def ref(model: type[BaseModel]) -> Schema:
    """A reference to a model's schema."""
    return {"$ref": REF.format(model=model.__name__)}


def enveloped(data: Schema, members: Mapping[str, Schema] | None = None) -> Schema:
    """`{"data": …, …members}`."""
    properties = {"data": data, **(members or {})}
    return {"type": "object", "required": [*properties], "properties": properties, "additionalProperties": False}


def listed(item: Schema, members: Mapping[str, Schema]) -> Schema:
    """`{"data": […], …members}`."""
    return enveloped({"type": "array", "items": item}, members)


def figure(value: float | None) -> Schema:
    """The schema of a figure beside a window, by its value in an empty one."""
    if value is None:
        return {"type": ["integer", "null"]}
    return {"type": "boolean" if isinstance(value, bool) else "integer"}


def on_a_context(operations: Schema) -> Schema:
    """The operations below a context's path."""
    parameter = {"name": "contextId", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    return {"parameters": [parameter], **operations}


def operation(
    summary: str,
    status: int,
    schema: Schema,
    problems: Sequence[type[Problem]],
    query: type[BaseModel] | None = None,
    *,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    parameters: Sequence[Schema] = (),
) -> Schema:
    """One method of a path."""
    described: Schema = {"summary": summary, "responses": {str(status): answer("success", schema)}}
    given = [*(query_parameters(query) if query else ()), *parameters]
    if given:
        described["parameters"] = given
    if IF_NONE_MATCH in parameters:
        described["responses"]["304"] = {"description": "not modified"}
    if body:
        content = {"application/json": {"schema": ref(body)}}
        described["requestBody"] = {"required": body_required, "content": content}
    for problem in (*problems, *ALWAYS, *(WITH_BODY if body else ())):
        described["responses"].setdefault(str(problem.status), problem_answer())
        codes = described["responses"][str(problem.status)]
        codes["description"] = ", ".join(filter(None, [codes["description"], problem.code]))
    return described


def answer(description: str, schema: Schema) -> Schema:
    """An answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def problem_answer() -> Schema:
    """A problem document, still without the codes that it may have."""
    schema = {"$ref": REF.format(model="Problem")}
    return {"description": "", "content": {"application/problem+json": {"schema": schema}}}


def query_parameters(model: type[BaseModel]) -> list[Schema]:
    """The members of a query's model as parameters."""
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            **({"description": member["description"]} if "description" in member else {}),
            # The filter of a list is JSON text; its model says only that it is text.
            **(
                {"content": {"application/json": {"schema": {"type": "object"}}}}
                if name == "metadata"
                else {"schema": parameter_schema(member, schema.get("$defs", {}))}
            ),
        }
        for name, member in schema["properties"].items()
    ]


def parameter_schema(member: Schema, definitions: Schema) -> Schema:
    """A member's schema without what a query cannot say: null, and so an absent value."""
    [option, *_] = member.get("anyOf", [member])
    if "$ref" in option:
        option = definitions[option["$ref"].rpartition("/")[2]]
    given = {**member, **option}
    hidden = {"anyOf", "$ref", "title", "description"} | ({"default"} if given.get("default", ...) is None else set())
    return {name: value for name, value in given.items() if name not in hidden}


def main() -> None:
    """The command."""
    PATH.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
