"""Hostile batches in each provider's format, as clients append them that keep histories of their own: for Hypothesis.

Of what providers give and take, and of what goes wrong with it on the way: small, and of few ids and names each.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.formats import histories
from tests.formats.constructs import CONSTRUCTS, Native
from tests.formats.histories import ARGUMENTS, IDS, JUNK, NAMES, PDF, PNG, TEXTS

MAX_MESSAGES = 10

MARK: Native = {"cache_control": {"type": "ephemeral"}}
OPTIONS: Native = {"providerOptions": {"anthropic": {"signature": "c2ln", "cacheControl": {"type": "ephemeral"}}}}
INPUTS: list[Native] = [
    {},
    {"a": 1},
    {"a": [1.5, None], **MARK},
    {"rawInvalidInput": ""},
    {"é": "\u200b", "id": "call_1"},
]
# Written as other programs write them: one in capitals goes back so.
URLS = [url for url in histories.URLS if not url.startswith("DATA")]
MEDIA_TYPES = ["image/png", "image/tiff", "image/svg+xml", "application/pdf", "text/plain", "audio/wav", "video/mp4"]
LINKS = [
    "https://example.com/a.png",
    "https://example.com/a.pdf",
    "gs://bucket/a",
    f"data:image/png;base64,{PNG}",
    PNG,
    "",
]


class Made(NamedTuple):
    """A call: its id, its tool's name, and what answers it where there are several kinds."""

    id: str
    name: str
    kind: str = ""


class Given(NamedTuple):
    """What a format is made of: parts of each role, calls and results, and how these are put into messages.

    said makes a message of a role and of parts or a text; called one of the assistant's of parts and calls; answered
    those of results and of parts behind them.
    """

    parts: dict[str, list[Any]]
    call: Callable[[st.DrawFn, Made], Native]
    result: Callable[[st.DrawFn, Made], Native]
    said: Callable[[str, Any], list[Native]]
    called: Callable[[list[Native], list[Native]], list[Native]]
    answered: Callable[[list[Native], list[Native]], list[Native]]
    kinds: Sequence[str] = ("",)


def texts(kind: str = "text", **members: Any) -> list[Native]:
    return [{"type": kind, "text": text, **members} for text in TEXTS]


def parts_of(name: str, role: str, member: str) -> list[Native]:
    """The parts of a role in what the format is known to give and take, but for calls and results."""
    calling = {"tool_use", "tool_result", "tool-call", "tool-result"}
    messages = [message for given in CONSTRUCTS[name].values() for message in given if message.get("role") == role]
    parts = [part for message in messages if isinstance(message.get(member), list) for part in message[member]]
    return [
        part
        for part in parts
        if part.get("type") not in calling and not part.keys() & {"functionCall", "functionResponse"}
    ]


def _sampled(draw: st.DrawFn, parts: Sequence[Any], most: int = 3) -> list[Any]:
    return copy.deepcopy(draw(st.lists(st.sampled_from(parts), max_size=most)))


def _one(draw: st.DrawFn, *members: Native) -> Native:
    return copy.deepcopy(draw(st.sampled_from(members)))


# --- Chat


def _chat_call(draw: st.DrawFn, made: Made) -> Native:
    extra = _one(draw, {}, {}, {"index": 0}, MARK, {"extra_content": {"google": {}}}, {"type": "function"})
    if draw(st.integers(0, 5)) == 0:
        return {"id": made.id, "type": "custom", "custom": {"name": made.name, "input": draw(st.sampled_from(TEXTS))}}
    function = {"name": made.name, "arguments": draw(st.sampled_from(ARGUMENTS))}
    return {"id": made.id, "type": "function", "function": function, **extra}


def _chat_result(draw: st.DrawFn, made: Made) -> Native:
    content = draw(st.sampled_from(TEXTS)) if draw(st.booleans()) else _sampled(draw, CHAT.parts["tool"])
    extra = _one(draw, {}, {}, {"name": made.name}, MARK, {"is_error": True})
    return {"role": "tool", "tool_call_id": made.id, "content": content, **extra}


def _chat_called(parts: list[Native], calls: list[Native]) -> list[Native]:
    extra = (
        {"reasoning_content": "Hm.", "refusal": None, "audio": None, "function_call": None} if len(parts) > 1 else {}
    )
    return [{"role": "assistant", "content": parts or None, "tool_calls": calls, **extra}]


_FILES = [file for file in histories.FILES if "file_id" in file or {"filename", "file_data"} <= file.keys()]
_MEDIA: list[Native] = [
    *({"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in URLS),
    *({"type": "file", "file": file} for file in _FILES),
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
]
_CHAT_TEXTS = [*texts(), *texts(**MARK)[:3], *texts(unheard_of=1)[:2]]
CHAT = Given(
    parts={
        "system": _CHAT_TEXTS,
        "developer": _CHAT_TEXTS,
        "user": [*_CHAT_TEXTS, *_MEDIA, *parts_of("openai-chat", "user", "content")],
        "assistant": [*_CHAT_TEXTS, {"type": "refusal", "refusal": "No."}],
        "tool": [*_CHAT_TEXTS, _MEDIA[0]],
    },
    call=_chat_call,
    result=_chat_result,
    said=lambda role, said: [{"role": role, "content": said}],
    called=_chat_called,
    answered=lambda results, parts: [*results, *([{"role": "user", "content": parts}] if parts else [])],
)


# --- Responses

RESPONSES_KINDS = (
    "function_call",
    "function_call",
    "custom_tool_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
)
_ITEM_IDS = [None, None, "", "msg_1", "fc_1", "fc_2", "rs_1", "call_1", 5]


def _item_call(draw: st.DrawFn, made: Made) -> Native:
    given: dict[str, Native] = {
        "function_call": {"name": made.name, "arguments": draw(st.sampled_from(ARGUMENTS))},
        "custom_tool_call": {"name": made.name, "input": draw(st.sampled_from(TEXTS))},
        "shell_call": {"action": {"commands": ["ls"]}},
        "apply_patch_call": {"operation": {"type": "delete_file", "path": "a"}},
        "computer_call": {"action": {"type": "screenshot"}, "pending_safety_checks": []},
    }
    item_id = draw(st.sampled_from(_ITEM_IDS))
    extra = _one(draw, {}, {}, {"status": "completed"}, {"status": None}, MARK, {"id": item_id})
    return {"type": made.kind, "call_id": made.id, **given[made.kind], **extra}


def _item_result(draw: st.DrawFn, made: Made) -> Native:
    kind = made.kind if draw(st.integers(0, 5)) else "function_call"
    output: Any = draw(st.sampled_from(TEXTS)) if draw(st.booleans()) else _sampled(draw, RESPONSES.parts["user"])
    if kind == "shell_call":
        output = [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    if kind == "computer_call":
        output = {"type": "computer_screenshot", "image_url": LINKS[3]}
    if kind == "apply_patch_call":
        output = "done"
    extra = _one(draw, {}, {}, {"status": "completed"}, {"status": None}, MARK, {"id": "fco_1"})
    return {"type": f"{kind}_output", "call_id": made.id, "output": output, **extra}


def _item_said(role: str, said: Any) -> list[Native]:
    if isinstance(said, str) or role != "assistant":
        return [{"role": role, "content": said}]
    return _items(said)


def _items(parts: list[Native]) -> list[Native]:
    """Items of the model's, of which some are parts of a message in a list of its own."""
    return [
        {"type": "message", "role": "assistant", "content": [part]}
        if part.get("type") in {"output_text", "refusal"}
        else part
        for part in parts
    ]


_REASONING = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {
        "type": "reasoning",
        "id": "rs_2",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": None,
    },
    {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "", "status": None},
    {"type": "reasoning", "summary": [], "encrypted_content": "gAAA", "content": []},
]
_MESSAGES = [
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []},
    {"type": "message", "id": "x", "role": "assistant", "phase": "commentary", "content": "x"},
    {"type": "message", "id": "msg_1", "role": "assistant", "content": texts("output_text", annotations=[])[:2]},
    {"role": "assistant", "content": "", "phase": None, "status": None},
]
_OTHERS = [
    item
    for given in CONSTRUCTS["openai-responses"].values()
    for item in given
    if str(item.get("type")).endswith("call")
]
_INPUT_IMAGES = [{"type": "input_image", "image_url": url, "detail": "low"} for url in URLS]
_INPUT_FILES = [{"type": "input_file", **file} for file in _FILES]
_INPUT_TEXTS = [*texts("input_text"), *texts("input_text", **MARK)[:3]]
RESPONSES = Given(
    parts={
        "system": _INPUT_TEXTS,
        "developer": _INPUT_TEXTS,
        "user": [
            *_INPUT_TEXTS,
            *_INPUT_IMAGES,
            *_INPUT_FILES,
            *parts_of("openai-responses", "user", "content"),
        ],
        "assistant": [
            *texts("output_text", annotations=[]),
            {"type": "refusal", "refusal": "No."},
            *_REASONING,
            *_REASONING,
            *_MESSAGES,
            *[item for item in _OTHERS if "call_id" not in item],
        ],
    },
    call=_item_call,
    result=_item_result,
    said=_item_said,
    called=lambda parts, calls: (
        [*_items(parts), *calls] if len(parts) % 2 else [*calls[:1], *_items(parts), *calls[1:]]
    ),
    answered=lambda results, parts: [*results, *([{"role": "user", "content": parts}] if parts else [])],
    kinds=RESPONSES_KINDS,
)


# --- Anthropic


def _tool_use(draw: st.DrawFn, made: Made) -> Native:
    extra = _one(draw, {}, {}, MARK, {"caller": {"type": "direct"}}, {"caller": None})
    return {"type": "tool_use", "id": made.id, "name": made.name, "input": draw(st.sampled_from(INPUTS)), **extra}


def _tool_result(draw: st.DrawFn, made: Made) -> Native:
    given: Native = {"type": "tool_result", "tool_use_id": made.id}
    if draw(st.integers(0, 3)):
        text = draw(st.booleans())
        given["content"] = draw(st.sampled_from(TEXTS)) if text else _sampled(draw, ANTHROPIC.parts["user"])
    return {**given, **_one(draw, {}, {"is_error": True}, {"is_error": False}, MARK, {"unheard_of": 1})}


def _media_block(kind: str, source: Native) -> Native:
    return {"type": kind, "source": source}


_SOURCES: list[Native] = [
    *(
        {"type": "base64", "media_type": media_type, "data": data}
        for media_type in MEDIA_TYPES
        for data in (PDF, "x", "")
    ),
    *({"type": "url", "url": url} for url in LINKS[:2]),
    {"type": "file", "file_id": "file_1"},
]
_BLOCKS = [*texts(), *texts(**MARK)[:3], *texts(citations=None)[:2]]
ANTHROPIC = Given(
    parts={
        "system": _BLOCKS,
        "user": [
            *_BLOCKS,
            *(_media_block(kind, source) for source in _SOURCES for kind in ("image", "document")),
            *(
                _media_block("document", {"type": "text", "media_type": "text/plain", "data": text})
                for text in ("x", "", "\u200b")
            ),
            *parts_of("anthropic", "user", "content"),
        ],
        "assistant": [
            *_BLOCKS,
            *parts_of("anthropic", "assistant", "content"),
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "thinking", "thinking": "Hm.", "signature": None},
            {"type": "thinking", "thinking": ""},
            {"type": "thinking", "thinking": "", "signature": "c2ln", **MARK},
            {"type": "mcp_tool_use", "id": "mcptoolu_2", "name": "f", "server_name": "s", "input": {}},
        ],
    },
    call=_tool_use,
    result=_tool_result,
    said=lambda role, said: [{"role": role, "content": said}],
    called=lambda parts, calls: [
        {
            "role": "assistant",
            "content": [*parts[:1], *calls[:1], *parts[1:], *calls[1:]] if len(parts) > 2 else parts + calls,
        }
    ],
    answered=lambda results, parts: (
        [{"role": "user", "content": [*parts[:1], *results, *parts[1:]]}]
        if len(parts) > 1
        else [{"role": "user", "content": results + parts}]
    ),
)


# --- Gemini


def _function_call(draw: st.DrawFn, made: Made) -> Native:
    given: Native = {"name": made.name}
    if draw(st.integers(0, 3)):
        given["args"] = draw(st.sampled_from(INPUTS))
    if draw(st.booleans()):
        given["id"] = made.id
    return {
        "functionCall": given,
        **_one(draw, {}, {"thoughtSignature": "c2ln"}, {"thoughtSignature": None}),
    }


_RESPONSES: list[Native] = [{"output": "x"}, {"output": {"a": 1}}, {"error": "x"}, {"result": 5}, {}, {"output": None}]


def _function_response(draw: st.DrawFn, made: Made) -> Native:
    given: Native = {"name": made.name, "response": draw(st.sampled_from(_RESPONSES))}
    if draw(st.booleans()):
        given["id"] = made.id
    return {"functionResponse": given}


_GEMINI_TEXTS: list[Native] = [
    *({"text": text} for text in TEXTS),
    {"text": "x", "thought": True},
    {"text": "", "thought": True},
    {"text": "x", "thought": None},
    {"text": "", "thoughtSignature": "c2ln"},
    {"thoughtSignature": "c2ln"},
    {},
]
_GEMINI_MEDIA: list[Native] = [
    *({"inlineData": {"mimeType": media_type, "data": PNG}} for media_type in MEDIA_TYPES),
    *({"fileData": {"fileUri": url}} for url in LINKS if url),
    *({"fileData": {"fileUri": url, "mimeType": "image/png"}} for url in LINKS if url),
]
GEMINI = Given(
    parts={
        "user": [*_GEMINI_TEXTS, *_GEMINI_MEDIA, *parts_of("gemini", "user", "parts")],
        "model": [*_GEMINI_TEXTS, *_GEMINI_MEDIA[:2], *parts_of("gemini", "model", "parts")],
    },
    call=_function_call,
    result=_function_response,
    said=lambda role, said: [{"role": role, "parts": [{"text": said}] if isinstance(said, str) else said}],
    called=lambda parts, calls: [{"role": "model", "parts": [*parts[:1], *calls, *parts[1:]]}],
    answered=lambda results, parts: [{"role": "user", "parts": [*parts[1:], *results, *parts[:1]]}],
)


# --- The AI SDK


def _tool_call(draw: st.DrawFn, made: Made) -> Native:
    given = {"type": "tool-call", "toolCallId": made.id, "toolName": made.name, "input": draw(st.sampled_from(INPUTS))}
    return {**given, **_one(draw, {}, {}, OPTIONS, {"providerExecuted": False})}


_OUTPUTS: list[Native] = [
    *({"type": kind, "value": text} for kind in ("text", "error-text") for text in TEXTS[:4]),
    *({"type": kind, "value": value} for kind in ("json", "error-json") for value in (None, 5, {"a": [1.5]}, "x")),
    {"type": "content", "value": [{"type": "text", "text": "x", **OPTIONS}]},
    {"type": "content", "value": [{"type": "media", "data": PNG, "mediaType": "image/png"}]},
    {"type": "text", "value": "x", **OPTIONS},
]


def _tool_outcome(draw: st.DrawFn, made: Made) -> Native:
    given = {"type": "tool-result", "toolCallId": made.id, "toolName": made.name}
    return {**given, "output": copy.deepcopy(draw(st.sampled_from(_OUTPUTS))), **_one(draw, {}, OPTIONS)}


_SDK_PARTS = [*texts(), *texts(**OPTIONS)[:3]]
_SDK_FILES: list[Native] = [
    *({"type": "file", "data": url, "mediaType": "image/png", **OPTIONS} for url in LINKS if url and url[:2] != "gs"),
    *({"type": "file", "data": PDF, "mediaType": media_type} for media_type in MEDIA_TYPES),
]
AI_SDK = Given(
    parts={
        "user": [*_SDK_PARTS, *_SDK_FILES, {"type": "image", "image": LINKS[0]}],
        "assistant": [*_SDK_PARTS, *_SDK_FILES, *parts_of("ai-sdk", "assistant", "content")],
    },
    call=_tool_call,
    result=_tool_outcome,
    said=lambda role, said: [{"role": role, "content": said}],
    called=lambda parts, calls: [{"role": "assistant", "content": [*parts[:1], *calls, *parts[1:]]}],
    answered=lambda results, parts: [
        *([{"role": "tool", "content": results[:1]}] if len(results) > 1 else []),
        {"role": "tool", "content": results[1:] or results},
        *([{"role": "user", "content": parts}] if parts else []),
    ],
)

GIVEN = {
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "ai-sdk": AI_SDK,
}


@st.composite
def _saying(draw: st.DrawFn, given: Given) -> list[Native]:
    """A message of any role without calls."""
    role = draw(st.sampled_from(sorted(given.parts.keys() - {"tool"})))
    text = draw(st.booleans())
    return given.said(role, draw(st.sampled_from(TEXTS)) if text else _sampled(draw, given.parts[role]))


@st.composite
def _exchange(draw: st.DrawFn, given: Given, ids: Sequence[str], names: Sequence[str]) -> list[Native]:
    """A turn of calls and what comes of them: each answered; or some not, twice, before they are made, or by others."""
    made = [
        Made(call_id, draw(st.sampled_from(names)), draw(st.sampled_from(given.kinds)))
        for call_id in draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3))
    ]
    model = "model" if "model" in given.parts else "assistant"
    caller = given.called(_sampled(draw, given.parts[model]), [given.call(draw, each) for each in made])
    answered = draw(st.permutations(made) | st.permutations(made) | st.lists(st.sampled_from(made), max_size=4))
    results = [given.result(draw, each) for each in answered]
    behind = _sampled(draw, given.parts["user"], 2) if draw(st.booleans()) else []
    answers = given.answered(results, behind) if results else []
    between = draw(_saying(given)) if not draw(st.integers(0, 5)) else []
    if not draw(st.integers(0, 7)):
        return [*answers, *caller]
    return [*caller, *between, *answers]


@st.composite
def natives(draw: st.DrawFn, name: str) -> list[Native]:
    """The messages of an append in a format, each of a form that the provider has."""
    given = GIVEN[name]
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True))
    turns = draw(st.lists(_exchange(given, ids, names) | _saying(given), min_size=1, max_size=4))
    messages = copy.deepcopy([message for turn in turns for message in turn][:MAX_MESSAGES])
    known = draw(st.sampled_from([None, None, *CONSTRUCTS[name].values()]))
    return [*copy.deepcopy(known or []), *messages] or given.said("user", "x")


@st.composite
def broken(draw: st.DrawFn, name: str) -> list[Any]:
    """The messages of an append of which one has a member that is missing, wrong or too much."""
    messages: list[Any] = copy.deepcopy(draw(natives(name) | st.sampled_from([*CONSTRUCTS[name].values()])))
    places = list(histories.holders(messages))
    holder, member = draw(st.sampled_from(places))
    way = draw(st.integers(0, 3))
    if way == 0:
        del holder[member]
    elif way == 1:
        holder["unheardOf"] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    else:
        holder[member] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return messages


def calls(name: str, messages: Sequence[Native]) -> int:
    """How many calls a client has to answer."""
    if name == "openai-chat":
        return sum(len(message.get("tool_calls") or ()) for message in messages)
    if name == "openai-responses":
        return sum(message.get("type") in RESPONSES_KINDS for message in messages)
    parts = [
        part
        for message in messages
        if isinstance(said := message.get("parts" if name == "gemini" else "content"), list)
        for part in said
    ]
    if name == "gemini":
        return sum(part.get("functionCall") is not None for part in parts)
    if name == "ai-sdk":
        return sum(part["type"] == "tool-call" and part.get("providerExecuted") is not True for part in parts)
    return sum(part["type"] == "tool_use" for part in parts)
