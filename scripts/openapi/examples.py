"""A conversation as requests and answers, from the creation of its context to its deletion.

The answers are what the server gives to the requests, one after the other; a test has that conversation with it, and
compares all but ids and times. They go into databases: fuzzing starts from them, so the documents' examples are others.
"""

from typing import Any
from uuid import UUID

from lib import __version__
from lib.errors import (
    DatabaseUnavailable,
    InvalidBody,
    InvalidHeader,
    InvalidParameter,
    MalformedJson,
    Place,
    PreconditionFailed,
    Problem,
    VersionConflict,
)

type Example = dict[str, Any]

CONTEXT_ID = "b8fcdcfb-5026-421d-af59-e8bf6d17af31"
CREATED_AT = "2026-11-21T09:03:32.966772Z"
APPENDED_AT = "2026-11-21T09:03:33.060175Z"
CHANGED_AT = "2026-11-21T09:03:33.120394Z"
DELETED_AT = "2026-11-21T09:03:33.223748Z"


def _context(**members: Any) -> Example:
    return {
        "id": CONTEXT_ID,
        "name": "Order 1042",
        "externalId": "ticket-1042",
        "metadata": {"channel": "mail", "customer": "customer-7"},
        "messageCount": 0,
        "totalTokens": 0,
        "latestVersion": 0,
        "parentId": None,
        "forkVersion": None,
        "createdAt": CREATED_AT,
        "updatedAt": CREATED_AT,
        "deletedAt": None,
        **members,
    }


def _message(version: int, role: str, content: str | None, tokens: int, **members: Any) -> Example:
    return {
        # An example of a version 4 UUID, another one for each message.
        "id": str(UUID(int=0x8E1C2A90_5B7D_4F36_A1C4_D2E3F4A5B600 + version)),
        "contextId": CONTEXT_ID,
        "version": version,
        "role": role,
        "content": content,
        "toolCalls": None,
        "toolCallId": None,
        "toolName": None,
        "model": None,
        "metadata": {},
        "tokenCount": tokens,
        "hasEmbedding": False,
        "createdAt": APPENDED_AT,
        **members,
    }


NEW: Example = {
    "name": "Order 1042",
    "externalId": "ticket-1042",
    "metadata": {"customer": "customer-7", "channel": "mail"},
}
IMPORT: Example = {
    "messages": [
        {"role": "user", "content": "I would like to order a lamp.", "createdAt": "2024-05-02T08:15:00Z"},
        {
            "role": "assistant",
            "content": "It is order 1042.",
            "createdAt": "2024-05-02T10:15:04.5+02:00",
            "tokenCount": 7,
        },
    ]
}
CALL: Example = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find_order", "arguments": '{"number": 1042}'},
}
TURN: Example = {
    "messages": [
        {"role": "user", "content": "Where is my order 1042?"},
        {"role": "assistant", "toolCalls": [CALL]},
        {"role": "tool", "toolCallId": "call_1", "toolName": "find_order", "content": '{"status": "shipped"}'},
        {"role": "assistant", "content": "It has been shipped.", "model": "gpt-4o"},
    ],
    "expectedVersion": 2,
    "contextMetadata": {"state": "shipped"},
}
CHANGE: Example = {"name": "Order 1042, shipped", "metadata": {"channel": None}}

IMPORTED = [
    _message(1, "user", "I would like to order a lamp.", 8, createdAt="2024-05-02T08:15:00.000000Z"),
    _message(2, "assistant", "It is order 1042.", 7, createdAt="2024-05-02T08:15:04.500000Z"),
]
STORED = [
    _message(3, "user", "Where is my order 1042?", 8),
    _message(4, "assistant", None, 9, toolCalls=[CALL]),
    _message(5, "tool", '{"status": "shipped"}', 7, toolCallId="call_1", toolName="find_order"),
    _message(6, "assistant", "It has been shipped.", 5, model="gpt-4o"),
]
APPENDED: Example = {
    "metadata": {"state": "shipped", "channel": "mail", "customer": "customer-7"},
    "messageCount": 6,
    "totalTokens": 44,
    "latestVersion": 6,
    "updatedAt": APPENDED_AT,
}
CHANGED: Example = {
    **APPENDED,
    "name": "Order 1042, shipped",
    "metadata": {"state": "shipped", "customer": "customer-7"},
    "updatedAt": CHANGED_AT,
}

# operationId → name → what it shows, and the body.
REQUESTS: dict[str, dict[str, tuple[str, Example]]] = {
    "createContext": {"new": ("A context with an id of the client's own", NEW)},
    "updateContext": {"change": ("Another name, and one member of metadata less", CHANGE)},
    "appendMessages": {
        "import": ("Two messages of the past, one with a tokenCount of the client's", IMPORT),
        "turn": ("A turn with a tool call, stored if nobody else has appended since version 2", TURN),
    },
}

# (operationId, status) → name → what it shows, and the body. In the order of the conversation.
ANSWERS: dict[tuple[str, int], dict[str, tuple[str, Example]]] = {
    ("createContext", 201): {"new": ("No context had this externalId", {"data": _context()})},
    ("createContext", 200): {"found": ("The same request again: a context has this externalId", {"data": _context()})},
    ("listContexts", 200): {
        "found": ("?externalId=ticket-1042", {"data": [_context()], "nextCursor": None, "hasMore": False})
    },
    ("appendMessages", 201): {
        "import": ("Stored with the times that were sent", {"data": IMPORTED}),
        "turn": ("Stored, with tokens counted", {"data": STORED}),
    },
    ("getContext", 200): {"appended": ("After both appends", {"data": _context(**APPENDED)})},
    ("listMessages", 200): {
        "page": ("?limit=2", {"data": IMPORTED, "nextCursor": 2, "hasMore": True}),
    },
    ("getWindow", 200): {
        "window": (
            "?budget=20, which holds the result of the tool call as well, but not the call",
            {
                "data": STORED[-1:],
                "budget": 20,
                "usedTokens": 5,
                "overBudget": False,
                "totalTokens": 44,
                "firstVersion": 6,
                "lastVersion": 6,
                "droppedCount": 5,
            },
        )
    },
    ("updateContext", 200): {"change": ("Changed", {"data": _context(**CHANGED)})},
    ("deleteContext", 200): {
        "deleted": (
            "As it was, and deletedAt",
            {"data": _context(**CHANGED | {"updatedAt": DELETED_AT, "deletedAt": DELETED_AT})},
        )
    },
    ("getHealth", 200): {
        "healthy": (
            "Ready",
            {
                "status": "healthy",
                "timestamp": "2026-11-21T09:03:32.990Z",
                "version": __version__,
                "checks": {
                    "database": {
                        "status": "connected",
                        "latencyMs": 0.9,
                        "pooled": True,
                        "preparedStatements": True,
                        "pgvector": "0.8.5",
                    },
                    "migrations": {"status": "up to date", "pending": []},
                },
            },
        )
    },
    ("getHealth", 503): {
        "unhealthy": (
            "Without a database",
            {
                "status": "unhealthy",
                "timestamp": "2026-11-21T09:03:32.990Z",
                "version": __version__,
                "checks": {
                    "database": {
                        "status": "disconnected",
                        "error": str(DatabaseUnavailable()),
                    }
                },
            },
        )
    },
}

REQUEST_ID = "342090980036427f90c4e6804835c735"

# Those that say more than their class does.
_PROBLEMS: list[Problem] = [
    MalformedJson("the body is not JSON: line 1, column 15"),
    InvalidBody(places=[Place("/messages/0/toolCallId", "a tool message must name the call that it answers")]),
    InvalidParameter(places=[Place("/limit", "input should be less than or equal to 1000")]),
    InvalidHeader("Idempotency-Key must be 1 to 255 visible ASCII characters"),
    VersionConflict(6),
    PreconditionFailed(6),
]


def problem(kind: type[Problem]) -> Problem:
    """A problem of this kind."""
    return next((problem for problem in _PROBLEMS if type(problem) is kind), None) or kind()
