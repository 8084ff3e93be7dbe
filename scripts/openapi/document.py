"""The OpenAPI document: the API's operations, what each does, and which problems it may answer with."""

import re

from lib import __version__, models, queries
from lib.errors import (
    CompactionConflict,
    CompactionNotOwned,
    ExternalIdMissing,
    ExternalIdTaken,
    ForkTooDeep,
    IdempotencyKeyReused,
    InvalidHeader,
    InvalidParameter,
    InvalidRequest,
    PayloadTooLarge,
    PreconditionFailed,
    VersionConflict,
)
from scripts.openapi.parts import (
    CONTEXT_ID,
    HEADERS,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    NUMBER,
    ON_A_COMPACTION,
    ON_A_CONTEXT,
    WITH_A_BODY,
    meaning,
    operation,
    problem_examples,
    shared_answers,
)
from scripts.openapi.schemas import Schema, components

ABOUT = """\
Stores what AI agents say and do, and answers which messages to send to a model next.

A **context** is one conversation, a container of messages. A **message** is one entry in it and never changes. A \
**version** is a message's number in its context: 1, 2, 3 … without gaps. A **window** is what to send to a model \
next, within a budget of tokens: a **head**, which always goes first, and the **run**, the newest messages. A **unit** \
is a message that is no tool message and the tool messages directly behind it; a run holds whole units. A **policy** \
is how a context's windows are chosen unless a request says otherwise. A **format** is the shape of a provider's \
request, and a **repair** what was changed so that the provider accepts a window. A **compaction** is a summary that \
stands in for all messages up to a version in windows, and deletes nothing. A **fork** is a context that shares \
another's history up to a version, without copying it.

Bodies and answers are JSON in UTF-8, times are RFC 3339 in UTC. Members and parameters that are unknown or given more \
than once are refused. HEAD works where GET does, and OPTIONS everywhere. Every error is a problem document \
(RFC 9457): decide on its `code`. Beside those at each operation there are `route_not_found` (404) for a path that the \
API does not have, `method_not_allowed` (405) for a method that a path does not serve, and `internal_error` (500) for \
a fault in the service.

Send a write again with the same Idempotency-Key when the connection broke or the answer was a 502, 503 or 504."""

TAGS = {
    "Contexts": "Conversations: create one or find it by an id of your own, list, read, change and delete.",
    "Messages": "What was said in a context: append it in batches, page through it, also as it was in the past.",
    "Windows": "What to send to a model next within a budget of tokens, without an answer whose call is missing.",
    "Compactions": "Summaries that stand in for messages in windows: make one, list, read and undo them.",
    "Forks": "Contexts that share another's history up to a version: make one, list them.",
    "Health": "Whether the service can serve.",
}

CONTEXT_TOO_LARGE = "the body is larger than 65,536 bytes: nothing was stored"


def document() -> Schema:
    """The OpenAPI document."""
    paths = {
        "/api/v1/contexts": {"get": LIST_CONTEXTS, "post": CREATE_CONTEXT},
        "/api/v1/contexts/{contextId}": {
            "parameters": [CONTEXT_ID],
            "get": GET_CONTEXT,
            "patch": UPDATE_CONTEXT,
            "delete": DELETE_CONTEXT,
        },
        "/api/v1/contexts/{contextId}/messages": {
            "parameters": [CONTEXT_ID],
            "get": LIST_MESSAGES,
            "post": APPEND_MESSAGES,
        },
        "/api/v1/contexts/{contextId}/window": {"parameters": [CONTEXT_ID], "get": GET_WINDOW},
        "/api/v1/contexts/{contextId}/compactions": {
            "parameters": [CONTEXT_ID],
            "get": LIST_COMPACTIONS,
            "post": MAKE_COMPACTION,
        },
        "/api/v1/contexts/{contextId}/compactions/{number}": {
            "parameters": [CONTEXT_ID, NUMBER],
            "get": GET_COMPACTION,
            "delete": UNDO_COMPACTION,
        },
        "/api/v1/contexts/{contextId}/forks": {"parameters": [CONTEXT_ID], "get": LIST_FORKS, "post": FORK_CONTEXT},
        "/api/health": {"get": GET_HEALTH},
    }
    responses = shared_answers()
    codes = re.findall(r"#/components/examples/(\w+)", f"{paths}{responses}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kata Context",
            "version": __version__,
            "summary": "A context store for AI agents.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the keys of the service. Without any it is open, as on a laptop.",
                }
            },
            "schemas": components(),
            "headers": HEADERS,
            "responses": responses,
            "examples": problem_examples(codes),
        },
    }


LIST_CONTEXTS = operation(
    "listContexts",
    "Contexts",
    "List contexts",
    "Contexts that are not deleted, forks too, by the time of their creation. Of several filters, all must hold. A "
    "page ends at limit or before 4,400,000 bytes, and where many match metadata, or it has in it what the index does "
    "not know, also after looking at 10,000 contexts: it may be empty and have more behind it, so go on while hasMore "
    "is true.",
    answers={200: ("A page of contexts.", "ContextPage", [])},
    problems={**meaning(InvalidParameter), InvalidRequest: WITH_A_BODY[InvalidRequest]},
    query=queries.ContextsQuery,
)

CREATE_CONTEXT = operation(
    "createContext",
    "Contexts",
    "Create a context, or get the one with this externalId",
    "Without a body the context is empty. With an externalId that another context has already, that context is the "
    "answer, unchanged and whatever else the body says, and none is made; of any number of such requests at once, "
    "one makes it. An Idempotency-Key stands for the whole body, and for as long as the service does. It is claimed "
    "only where a context was made, and is shared by all who use the service, for forks too: take a UUID.",
    answers={
        201: ("The new context.", "ContextAnswer", ["Location", "ContextETag", "Idempotent-Replayed"]),
        200: ("The context that has this externalId already.", "ContextAnswer", ["Location", "ContextETag"]),
    },
    problems={
        **meaning(InvalidParameter, InvalidHeader, IdempotencyKeyReused),
        PayloadTooLarge: CONTEXT_TOO_LARGE,
    },
    body=models.NewContext,
    body_required=False,
    parameters=[IDEMPOTENCY_KEY],
)

GET_CONTEXT = operation(
    "getContext",
    "Contexts",
    "Read a context",
    "The context, without its messages.",
    answers={200: ("The context.", "ContextAnswer", ["ContextETag"])},
    problems={**ON_A_CONTEXT, **meaning(InvalidParameter)},
    parameters=[IF_NONE_MATCH],
)

UPDATE_CONTEXT = operation(
    "updateContext",
    "Contexts",
    "Change a context's name, externalId, metadata or policy",
    "Absent members stay as they are. metadata and policy are merge patches (RFC 7396). A policy counts for windows of "
    "the past as well. takeExternalIdFrom moves another context's externalId here in the same moment. If-Match takes "
    "the context's own ETag: nothing has been appended or changed since then.",
    answers={200: ("The changed context.", "ContextAnswer", ["ContextETag"])},
    problems={
        **ON_A_CONTEXT,
        **meaning(InvalidParameter, ExternalIdTaken, ExternalIdMissing, VersionConflict, PreconditionFailed),
        PayloadTooLarge: CONTEXT_TOO_LARGE,
    },
    body=models.ContextPatch,
    body_required=False,
    parameters=[IF_MATCH],
)

DELETE_CONTEXT = operation(
    "deleteContext",
    "Contexts",
    "Delete a context",
    "From then on every operation answers 404 for it, and its externalId is free. Nothing changes for its forks. "
    "If-Match takes the context's own ETag: nothing has been appended or changed since then.",
    answers={200: ("The context as it was, with deletedAt.", "ContextAnswer", [])},
    problems={**ON_A_CONTEXT, **meaning(InvalidParameter, PreconditionFailed)},
    parameters=[IF_MATCH],
)

LIST_MESSAGES = operation(
    "listMessages",
    "Messages",
    "Page through a context's messages",
    "Messages by version. A page ends at limit or before 4,400,000 bytes, so go on while hasMore is true.",
    answers={200: ("A page of messages.", "MessagePage", ["VersionETag"])},
    problems={**ON_A_CONTEXT, **meaning(InvalidParameter)},
    query=queries.MessagesQuery,
    parameters=[IF_NONE_MATCH],
)

APPEND_MESSAGES = operation(
    "appendMessages",
    "Messages",
    "Append a batch of messages",
    "Stores all of the messages and the patch of the context's metadata, or nothing. With a format, messages are what "
    "that provider gave or was sent: they are stored as messages of ours, beside what was given where that is needed "
    "to give it back equal. An Idempotency-Key belongs to its context, stands for messages and contextMetadata, with a "
    "format for all but what is expected, and is looked at before that and If-Match. If-Match takes the ETag of "
    "messages, of a window or of the context, of which only the version counts. Without any of these, writers queue, "
    "and each append is stored behind the one before.",
    answers={201: ("The stored messages.", "AppendAnswer", ["VersionETag", "Idempotent-Replayed"])},
    problems={
        **ON_A_CONTEXT,
        **meaning(InvalidParameter, InvalidHeader, VersionConflict, ExternalIdMissing, PreconditionFailed),
        **meaning(IdempotencyKeyReused),
        PayloadTooLarge: "the body is larger than 4,500,000 bytes, or with 400 more for each message, or a message "
        "with what was given of it than 4,400,000: nothing was stored",
    },
    body=[models.Append, models.ProviderAppend],
    parameters=[IDEMPOTENCY_KEY, IF_MATCH],
)

GET_WINDOW = operation(
    "getWindow",
    "Windows",
    "Get what to send to a model next, within a token budget",
    "The head, as the context's policy has it: the preamble, the summary of the compaction in force, and the request "
    "where the run has left it behind. Then the run: as many of the newest units as the rest of the budget takes, and "
    "whose JSON is within 4,400,000 bytes. Where no unit fits, the newest one is the run, and overBudget is true. An "
    "answer whose call lies before the run is left out. Parameters count instead of the policy's members; together "
    "they are brought within limits and never refused, and policy in the answer shows what was in effect. In a "
    "provider's format, data has the members to put into its request, which it accepts whatever the history holds; "
    "repairs say what had to be changed for that, and nothing in the store is.",
    answers={200: ("The window.", "WindowAnswer", ["WindowETag"])},
    problems={
        **ON_A_CONTEXT,
        InvalidParameter: f"{InvalidParameter.__doc__}; also where neither budget is given nor the policy has one",
        PayloadTooLarge: "head and newest unit alone would make an answer of more than 4,500,000 bytes; pages have "
        "these messages, and include=figures the figures",
    },
    query=queries.WindowQuery,
    parameters=[IF_NONE_MATCH],
)

MAKE_COMPACTION = operation(
    "makeCompaction",
    "Compactions",
    "Let a summary stand in for all messages up to a version",
    "Windows then begin with the summary, behind the preamble. Nothing is deleted: pages show all messages, and "
    "windows of the past are as they were. In force is the compaction that reaches furthest, of these the newest. The "
    "summary is the client's: this service calls no model. With expectedNumber, one of any number of clients at once "
    "wins. An Idempotency-Key belongs to its context, stands for the body but expectedNumber, and is "
    "looked at before that.",
    answers={201: ("The new compaction.", "CompactionAnswer", ["CompactionLocation", "Idempotent-Replayed"])},
    problems={
        **ON_A_CONTEXT,
        **meaning(InvalidParameter, InvalidHeader, CompactionConflict, IdempotencyKeyReused),
        PayloadTooLarge: "the body is larger than 4,500,000 bytes: nothing was stored",
    },
    body=models.NewCompaction,
    parameters=[IDEMPOTENCY_KEY],
)

LIST_COMPACTIONS = operation(
    "listCompactions",
    "Compactions",
    "List a context's compactions",
    "Newest first, those that are undone too. A page ends at limit or before 4,400,000 bytes, so go on while hasMore "
    "is true.",
    answers={200: ("A page of compactions.", "CompactionPage", [])},
    problems={**ON_A_CONTEXT, **meaning(InvalidParameter)},
    query=queries.CompactionsQuery,
)

GET_COMPACTION = operation(
    "getCompaction",
    "Compactions",
    "Read a compaction",
    "The compaction, undone or not.",
    answers={200: ("The compaction.", "CompactionAnswer", [])},
    problems={**ON_A_COMPACTION, **meaning(InvalidParameter)},
)

UNDO_COMPACTION = operation(
    "undoCompaction",
    "Compactions",
    "Undo a compaction",
    "Windows are at once as if it had never been, those of the past and of forks that share it too. It stays in the "
    "list, with undoneAt; to undo it again changes nothing. Only the context that made it can.",
    answers={200: ("The compaction, with undoneAt.", "CompactionAnswer", [])},
    problems={**ON_A_COMPACTION, **meaning(InvalidParameter, CompactionNotOwned)},
)

LIST_FORKS = operation(
    "listForks",
    "Forks",
    "List a context's forks",
    "Its forks that are not deleted, by the time of their creation, and not theirs in turn. A page ends at limit or "
    "before 4,400,000 bytes, so go on while hasMore is true. Forks of a deleted context are found by the parentId of "
    "a list of contexts.",
    answers={200: ("A page of forks.", "ContextPage", [])},
    problems={**ON_A_CONTEXT, **meaning(InvalidParameter)},
    query=queries.ForksQuery,
)

FORK_CONTEXT = operation(
    "forkContext",
    "Forks",
    "Fork a context at a version",
    "The fork is a context of its own that begins with the same messages up to the version, and sees the compactions "
    "that had been made by then. Nothing is copied, however long the history is; what is appended to one of the two "
    "the other does not see. With moveExternalId the parent's externalId is the fork's in the same moment. An "
    "Idempotency-Key stands for the parent and the whole body, and for as long as the service does. It is shared by "
    "all who use the service, for creations too: take a UUID.",
    answers={201: ("The fork.", "ContextAnswer", ["Location", "ContextETag", "Idempotent-Replayed"])},
    problems={
        **ON_A_CONTEXT,
        **meaning(InvalidParameter, InvalidHeader, ExternalIdMissing, ExternalIdTaken, ForkTooDeep, VersionConflict),
        **meaning(IdempotencyKeyReused),
        PayloadTooLarge: CONTEXT_TOO_LARGE,
    },
    body=models.NewFork,
    body_required=False,
    parameters=[IDEMPOTENCY_KEY],
)

GET_HEALTH = operation(
    "getHealth",
    "Health",
    "Ask whether the service can serve",
    "Needs no key. Also at /health.",
    answers={
        200: ("It can, or with restrictions (degraded).", "Health", []),
        503: ("It cannot.", "Health", ["Retry-After"]),
    },
    problems=meaning(InvalidParameter),
    query=queries.HealthQuery,
    public=True,
)
