"""What operations are made of: parameters, bodies, answers with their headers, and problems."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from lib import errors
from lib.errors import Problem
from lib.web.answers import problem_document
from scripts.openapi import examples
from scripts.openapi.examples import Example
from scripts.openapi.schemas import Schema, parameters_of, ref

# Kinds of problems, and what each means where it is met.
type Meanings = Mapping[type[Problem], str]


def meaning(*kinds: type[Problem]) -> dict[type[Problem], str]:
    """Kinds of problems that mean the same everywhere."""
    return {kind: kind.__doc__ or "" for kind in kinds}


ALWAYS = meaning(errors.Unauthorized, *errors.Unavailable.__subclasses__())
ON_A_CONTEXT = meaning(errors.InvalidId, errors.ContextNotFound)
ON_A_COMPACTION: dict[type[Problem], str] = {
    errors.InvalidId: "the id in the path is not a UUID, or the number is none of 1, 2, 3 …",
    **meaning(errors.ContextNotFound),
    errors.CompactionNotFound: "the context has no compaction of this number",
}
WITH_A_BODY = {
    **meaning(errors.MalformedJson, errors.InvalidBody),
    errors.InvalidRequest: "the database cannot take a value that every check before it had let through",
    **meaning(errors.UnsupportedMediaType),
}
# Answers that are the same everywhere, by their status and their name in the document.
SHARED = {401: "Unauthorized", 503: "Unavailable"}

HEADERS: dict[str, Schema] = {
    "X-Request-Id": {
        "description": "The request's id, which the log has as well: as it was sent in a header of this name where "
        "that is 1 to 128 letters, digits, dots, underscores, colons and hyphens, and a new one otherwise.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "The path of the context.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/v1/contexts/[0-9a-f-]{36}$"},
    },
    "CompactionLocation": {
        "description": "The path of the compaction.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/v1/contexts/[0-9a-f-]{36}/compactions/[1-9][0-9]*$"},
    },
    "ContextETag": {
        "description": "The context's own ETag: its latest version, and the microsecond of its last change.",
        "required": True,
        "schema": {"type": "string", "pattern": r'^"[0-9]+\.[0-9]+"$'},
    },
    "VersionETag": {
        "description": "The version that the answer shows.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "WindowETag": {
        "description": "The version that the answer shows; behind a dot, once policies or compactions of the context, "
        "or those that a fork shares, have changed, and in a provider's format, a number that moves with them.",
        "required": True,
        "schema": {"type": "string", "pattern": r'^"[0-9]+(\.[0-9]+)?"$'},
    },
    "Idempotent-Replayed": {
        "description": "Present where an earlier request with the same Idempotency-Key got this answer first.",
        "schema": {"const": "true"},
    },
    "WWW-Authenticate": {
        "description": "How to send a key.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to send the request again.",
        "required": True,
        "schema": {"type": "integer"},
    },
}


def header(name: str, description: str, **schema: str) -> Schema:
    """An optional request header."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key "
    "with the same payload gets the first answer, and nothing is stored twice.",
    pattern="^[!-~]{1,255}$",
)
IF_MATCH = header(
    "If-Match",
    'Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get '
    "412 otherwise. What is no such ETag is none that it has.",
)
IF_NONE_MATCH = header("If-None-Match", "Get 304 without a body if the answer still has one of these ETags.")
CONTEXT_ID: Schema = {
    "name": "contextId",
    "in": "path",
    "required": True,
    "description": "The context's id.",
    "schema": {"type": "string", "format": "uuid"},
}
NUMBER: Schema = {
    "name": "number",
    "in": "path",
    "required": True,
    "description": "The compaction's number.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}


def operation(
    operation_id: str,
    tag: str,
    summary: str,
    description: str,
    *,
    answers: Mapping[int, tuple[str, str, Sequence[str]]],
    problems: Meanings,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | Sequence[type[BaseModel]] = (),
    body_required: bool = True,
    parameters: Sequence[Schema] = (),
    public: bool = False,
) -> Schema:
    """One method of a path. answers has for each status what it says, its schema, and its headers."""
    described: Schema = {"operationId": operation_id, "tags": [tag], "summary": summary, "description": description}
    if given := [*(query_parameters(query) if query else ()), *parameters]:
        described["parameters"] = given
    if body:
        models = [body] if isinstance(body, type) else body
        refs = [ref(model.__name__) for model in models]
        content = _content(refs[0] if len(refs) == 1 else {"oneOf": refs}, examples.REQUESTS[operation_id])
        described["requestBody"] = {"required": body_required, "content": content}
    responses = {
        str(status): _answer(text, _content(ref(schema), examples.ANSWERS[operation_id, status]), headers)
        for status, (text, schema, headers) in answers.items()
    }
    if IF_NONE_MATCH in parameters:
        [(_, _, headers)] = answers.values()
        responses["304"] = _answer("Nothing has changed since the answer with that ETag.", None, headers)
    described["responses"] = responses | problem_answers(
        {**problems, **(WITH_A_BODY if body else {}), **({} if public else ALWAYS)}
    )
    return described | ({"security": []} if public else {})


def _answer(description: str, content: Schema | None, headers: Sequence[str] = ()) -> Schema:
    """An answer with these of HEADERS beside the one that all have."""
    answer: Schema = {
        "description": description,
        "headers": {
            next((real for real in ("ETag", "Location") if name.endswith(real)), name): {
                "$ref": f"#/components/headers/{name}"
            }
            for name in ("X-Request-Id", *headers)
        },
    }
    return answer if content is None else {**answer, "content": content}


def _content(schema: Schema, shown: Mapping[str, tuple[str, Example]]) -> Schema:
    """JSON of this schema, with examples."""
    named = {name: {"summary": summary, "value": value} for name, (summary, value) in shown.items()}
    return {"application/json": {"schema": schema, "examples": named}}


def problem_answers(problems: Meanings) -> dict[str, Schema]:
    """The answer of each status that problems have: the shared ones by name."""
    statuses = dict.fromkeys(kind.status for kind in problems)
    return {
        str(status): {"$ref": f"#/components/responses/{SHARED[status]}"}
        if status in SHARED
        else problem_answer({kind: text for kind, text in problems.items() if kind.status == status})
        for status in statuses
    }


def shared_answers() -> dict[str, Schema]:
    """The answers that are the same everywhere, by name."""
    headers = {401: ["WWW-Authenticate"], 503: ["Retry-After"]}
    return {
        name: problem_answer({kind: text for kind, text in ALWAYS.items() if kind.status == status}, headers[status])
        for status, name in SHARED.items()
    }


def problem_answer(problems: Meanings, headers: Sequence[str] = ()) -> Schema:
    """A problem document with one of these codes."""
    description = "\n".join(f"* `{kind.code}`: {text}" for kind, text in problems.items())
    shown = {kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in problems}
    content = {"application/problem+json": {"schema": ref("Problem"), "examples": shown}}
    return _answer(description, content, headers)


def problem_examples(codes: Sequence[str]) -> dict[str, Schema]:
    """An example of the document of each code."""

    def kinds(of: type[Problem]) -> list[type[Problem]]:
        return [kind for child in of.__subclasses__() for kind in (child, *kinds(child))]

    return {
        kind.code: {"value": json.loads(problem_document(examples.problem(kind), examples.REQUEST_ID).body)}
        for kind in kinds(Problem)
        if kind.code in codes
    }


def query_parameters(model: type[BaseModel]) -> list[Schema]:
    """The members of a query's model as parameters."""
    schema = parameters_of(model)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": member["description"],
            # The filter of a list is JSON text; its model says only that it is text.
            **(
                {"content": {"application/json": {"schema": {"type": "object"}}}}
                if name == "metadata"
                else {"schema": _parameter_schema(member, schema.get("$defs", {}))}
            ),
        }
        for name, member in schema["properties"].items()
    ]


def _parameter_schema(member: Schema, definitions: Schema) -> Schema:
    """A member's schema without what a query cannot say: null, and so an absent value."""
    options = [option for option in member.get("anyOf", [member]) if option.get("type") != "null"]
    options = [definitions[option["$ref"].rpartition("/")[2]] if "$ref" in option else option for option in options]
    kept = {name: value for name, value in member.items() if name not in {"anyOf", "$ref", "description"}}
    schema: dict[str, Any] = {**kept, **(options[0] if len(options) == 1 else {"anyOf": options})}
    return {name: value for name, value in schema.items() if (name, value) != ("default", None)}
