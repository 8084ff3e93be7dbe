"""A conversation as requests and answers, from the creation of its context to its deletion.

The answers are what the server gives to the requests; a test has that conversation with it, step by step, and compares
all but ids and times. They go into databases: fuzzing starts from them, so the documents' examples are others.
"""

from typing import Any
from uuid import UUID

from lib import __version__
from lib.errors import (
    CompactionConflict,
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
from lib.formats.history import CONTINUED

type Example = dict[str, Any]

CONTEXT_ID = "b8fcdcfb-5026-421d-af59-e8bf6d17af31"
FORK_ID = "d3f0a9a4-6f0e-4f0b-9a53-2d1f7c5be48c"
CREATED_AT = "2026-11-21T09:03:32.966772Z"
APPENDED_AT = "2026-11-21T09:03:33.060175Z"
COMPACTED_AT = "2026-11-21T09:03:33.090184Z"
UNDONE_AT = "2026-11-21T09:03:33.101562Z"
CHANGED_AT = "2026-11-21T09:03:33.120394Z"
FORKED_AT = "2026-11-21T09:03:33.160227Z"
PROVIDED_AT = "2026-11-21T09:03:33.190541Z"
DELETED_AT = "2026-11-21T09:03:33.223748Z"


POLICY: Example = {
    "budget": 40,
    "keepRequest": True,
    "step": 10,
    "compactionDue": {"threshold": 0.8, "keepTokens": 30},
}


def _context(**members: Any) -> Example:
    return {
        "id": CONTEXT_ID,
        "name": "Order 1042",
        "externalId": "ticket-1042",
        "metadata": {"channel": "mail", "customer": "customer-7"},
        "policy": POLICY,
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


def _message(version: int, role: str, content: str | list[Example] | None, tokens: int, **members: Any) -> Example:
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
    "policy": POLICY,
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
PROVIDERS_TURN: Example = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "The user is in a hurry.", "signature": "c2lnbmF0dXJl"},
        {"type": "text", "text": "It arrives tomorrow."},
    ],
}
PROVIDERS: Example = {"format": "anthropic", "model": "claude-opus-4-8", "messages": [PROVIDERS_TURN]}
COMPACTION: Example = {"throughVersion": 2, "summary": "A lamp was ordered: order 1042.", "expectedNumber": 0}
CHANGE: Example = {
    "name": "Order 1042, shipped",
    "metadata": {"channel": None},
    "policy": {"step": None, "clearToolResults": {"keepTokens": 4}},
}
FORK: Example = {"version": 5, "name": "Order 1042, another answer", "moveExternalId": True}

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
THOUGHT = _message(
    7,
    "assistant",
    [
        {"type": "reasoning", "text": "The user is in a hurry."},
        {"type": "text", "text": "It arrives tomorrow."},
    ],
    11,
    model="claude-opus-4-8",
    createdAt=PROVIDED_AT,
)
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
    "policy": {name: value for name, value in POLICY.items() if name != "step"}
    | {"clearToolResults": {"keepTokens": 4}},
    "updatedAt": CHANGED_AT,
}
DELETED: Example = {
    **CHANGED,
    "externalId": None,
    "messageCount": 7,
    "totalTokens": 55,
    "latestVersion": 7,
    "updatedAt": DELETED_AT,
    "deletedAt": DELETED_AT,
}
MADE: Example = {
    "number": 1,
    "contextId": CONTEXT_ID,
    "throughVersion": 2,
    "madeAtVersion": 6,
    "basedOn": 0,
    "role": "user",
    "summary": COMPACTION["summary"],
    "metadata": {},
    "tokenCount": 10,
    "createdAt": COMPACTED_AT,
    "undoneAt": None,
}
FORKED: Example = {
    **CHANGED,
    "id": FORK_ID,
    "name": FORK["name"],
    "messageCount": 5,
    "totalTokens": 39,
    "latestVersion": 5,
    "parentId": CONTEXT_ID,
    "forkVersion": 5,
    "createdAt": FORKED_AT,
    "updatedAt": FORKED_AT,
}
SUMMARY: Example = {
    **_message(0, "user", COMPACTION["summary"], 10, createdAt=COMPACTED_AT),
    "id": None,
    "version": None,
    "compactionNumber": 1,
}
CLEARED: Example = {**STORED[2], "content": "[cleared]", "tokenCount": 4, "cleared": True}


def _figures(**members: Any) -> Example:
    """Of a window of the newest messages, in which nothing is special but for members."""
    return {
        "budget": 40,
        "usedTokens": 29,
        "overBudget": False,
        "totalTokens": 44,
        "firstVersion": 3,
        "lastVersion": 6,
        "droppedCount": 2,
        "preambleCount": 0,
        "requestVersion": None,
        "compaction": None,
        "clearedCount": 0,
        "tokensToEdge": 6,
        "pendingCalls": [],
        "compactionDue": None,
        **members,
        "policy": {
            "budget": 40,
            "keepPreamble": False,
            "keepRequest": True,
            "startOn": "any",
            "step": 10,
            "clearToolResults": None,
            "compactionDue": {"threshold": 0.8, "keepTokens": 30},
            **members.get("policy", {}),
        },
    }


DUE: Example = {"throughVersion": 2, "messages": 2, "tokens": 15}
PLAIN = _figures(
    budget=20,
    usedTokens=5,
    firstVersion=6,
    droppedCount=5,
    tokensToEdge=0,
    policy={"budget": 20, "keepRequest": False, "step": 0, "compactionDue": None},
)
COMPACTED = _figures(
    usedTokens=39, droppedCount=0, compaction={"number": 1, "throughVersion": 2}, tokensToEdge=1, compactionDue=None
)
WITH_CLEARED = _figures(
    usedTokens=33,
    firstVersion=2,
    droppedCount=1,
    clearedCount=1,
    tokensToEdge=0,
    compactionDue=DUE,
    policy={"step": 0, "clearToolResults": {"keepTokens": 4}},
)

PROVIDERS_WINDOW = _figures(
    budget=32,
    usedTokens=32,
    totalTokens=55,
    firstVersion=4,
    lastVersion=7,
    droppedCount=3,
    tokensToEdge=0,
    policy={"budget": 32, "keepRequest": False, "step": 0, "compactionDue": None},
)

# operationId → name → what it shows, and the body.
REQUESTS: dict[str, dict[str, tuple[str, Example]]] = {
    "createContext": {"new": ("A context with an id of the client's own", NEW)},
    "updateContext": {
        "change": ("Another name, one member of metadata and of the policy less, and another one of the policy", CHANGE)
    },
    "appendMessages": {
        "import": ("Two messages of the past, one with a tokenCount of the client's", IMPORT),
        "turn": ("A turn with a tool call, stored if nobody else has appended since version 2", TURN),
        "provider": ("What Anthropic's model answered, as it came", PROVIDERS),
    },
    "makeCompaction": {
        "summary": ("A summary of the first two messages, kept if no other compaction is in force", COMPACTION)
    },
    "forkContext": {
        "answer": ("All but the last answer, which is to be another; the client's own id goes on with the fork", FORK)
    },
}

# (operationId, status) → name → what it shows, and the body.
ANSWERS: dict[tuple[str, int], dict[str, tuple[str, Example]]] = {
    ("createContext", 201): {"new": ("No context had this externalId", {"data": _context()})},
    ("createContext", 200): {"found": ("The same request again: a context has this externalId", {"data": _context()})},
    ("listContexts", 200): {
        "found": ("?externalId=ticket-1042", {"data": [_context()], "nextCursor": None, "hasMore": False})
    },
    ("appendMessages", 201): {
        "import": ("Stored with the times that were sent", {"data": IMPORTED}),
        "turn": ("Stored, with tokens counted", {"data": STORED}),
        "provider": ("Stored as a message of ours", {"data": [THOUGHT]}),
    },
    ("getContext", 200): {"appended": ("After both appends", {"data": _context(**APPENDED)})},
    ("listMessages", 200): {
        "page": ("?limit=2", {"data": IMPORTED, "nextCursor": 2, "hasMore": True}),
        "native": (
            "?include=native&cursor=6",
            {
                "data": [{**THOUGHT, "nativeFormat": "anthropic", "native": PROVIDERS_TURN}],
                "nextCursor": None,
                "hasMore": False,
            },
        ),
    },
    ("getWindow", 200): {
        "plain": (
            "?policy=none&budget=20, which holds the result of the tool call as well, but not the call",
            {"data": STORED[-1:], **PLAIN},
        ),
        "policy": (
            "By the context's policy, which says that a compaction is due",
            {"data": STORED, **_figures(compactionDue=DUE)},
        ),
        "compacted": ("The same, once there is a compaction", {"data": [SUMMARY, *STORED], **COMPACTED}),
        "figures": ("?include=figures", COMPACTED),
        "cleared": (
            "Once the compaction is undone, and by the changed policy",
            {"data": [IMPORTED[1], *STORED[:2], CLEARED, STORED[3]], **WITH_CLEARED},
        ),
        "provider": (
            "?format=anthropic&policy=none&budget=32",
            {
                "data": {
                    "messages": [
                        {"role": "user", "content": CONTINUED},
                        {
                            "role": "assistant",
                            "content": [
                                {"type": "tool_use", "id": "call_1", "name": "find_order", "input": {"number": 1042}}
                            ],
                        },
                        {
                            "role": "user",
                            "content": [
                                {"type": "tool_result", "tool_use_id": "call_1", "content": '{"status": "shipped"}'}
                            ],
                        },
                        {
                            "role": "assistant",
                            "content": [{"type": "text", "text": "It has been shipped."}, *PROVIDERS_TURN["content"]],
                        },
                    ]
                },
                **PROVIDERS_WINDOW,
                "repairs": [{"version": 4, "code": "user_added", "detail": "in front of the assistant"}],
                "repairCount": 1,
            },
        ),
    },
    ("makeCompaction", 201): {"made": ("Number 1, with tokens counted", {"data": MADE})},
    ("listCompactions", 200): {"page": ("All of them", {"data": [MADE], "nextCursor": None, "hasMore": False})},
    ("getCompaction", 200): {"read": ("In force", {"data": MADE})},
    ("undoCompaction", 200): {"undone": ("As it was, and undoneAt", {"data": {**MADE, "undoneAt": UNDONE_AT}})},
    ("updateContext", 200): {"change": ("Changed", {"data": _context(**CHANGED)})},
    ("forkContext", 201): {"answer": ("With the first five messages", {"data": _context(**FORKED)})},
    ("listForks", 200): {"page": ("All of them", {"data": [_context(**FORKED)], "nextCursor": None, "hasMore": False})},
    ("deleteContext", 200): {
        "deleted": (
            "As it was, and deletedAt",
            {"data": _context(**DELETED)},
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
    CompactionConflict(1),
]


def problem(kind: type[Problem]) -> Problem:
    """A problem of this kind."""
    return next((problem for problem in _PROBLEMS if type(problem) is kind), None) or kind()
