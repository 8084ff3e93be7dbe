"""What the API takes and answers. Made from its OpenAPI document by generate.py: do not edit."""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

CallId: TypeAlias = str


class ClearedMessage(TypedDict):
    """A tool message in a window whose content is cleared there; the stored message is as it was."""

    id: str
    """The message's id."""

    contextId: str
    """The context that it was appended to: in a fork it may be one that the history is shared with."""

    version: int
    """Its number in the context: 1, 2, 3 … without gaps."""

    role: Literal['tool']
    """Only results of tools are cleared."""

    content: Literal['[cleared]']
    """What stands in place of the stored content."""

    toolCalls: None
    """Always null."""

    toolCallId: str | None
    """The id of the call that a tool message answers."""

    toolName: str | None
    """The tool that a tool message comes from."""

    model: str | None
    """The model that wrote the message."""

    metadata: dict[str, Any]
    """The client's JSON object, to the letter; {} where none was sent."""

    tokenCount: int
    """Tokens as they count in the window: 4, or fewer where the stored had fewer."""

    hasEmbedding: bool
    """Whether an embedding was stored with it."""

    createdAt: str
    """When it was said, in UTC; never before the message before it."""

    cleared: Literal[True]
    """Always true; other messages have no such member."""


Code: TypeAlias = Literal['call_answered', 'part_moved', 'member_dropped', 'text_trimmed', 'result_dropped', 'result_moved', 'message_moved', 'id_changed', 'name_changed', 'arguments_wrapped', 'empty_dropped', 'part_dropped', 'part_to_text', 'reasoning_dropped', 'role_changed', 'user_added', 'signature_skipped', 'cache_mark_dropped']


class Compaction(TypedDict):
    """A compaction: a summary that stands in for all messages up to a version in windows, and deletes nothing."""

    number: int
    """Its number in the context: 1, 2, 3 … without gaps; none is used twice."""

    contextId: str
    """The context that made it: in a fork it may be one that the history is shared with."""

    throughVersion: int
    """The newest version that it stands in for."""

    madeAtVersion: int
    """The context's latest version when it was made; windows of the past have it from there on."""

    basedOn: int
    """The number of the compaction in force when it was made; 0 for none."""

    role: Literal['user', 'assistant', 'system']
    """Who speaks in windows."""

    summary: str
    """What a model reads in place of those messages, as it was sent."""

    metadata: dict[str, Any]
    """The client's JSON object, to the letter; {} where none was sent."""

    tokenCount: int
    """Tokens of the summary, as they were sent or counted."""

    createdAt: str
    """When it was made, in UTC."""

    undoneAt: str | None
    """When it was undone, in UTC; null while it is not."""


class Due(TypedDict):
    """Up to where a compaction is due, and what it would stand in for."""

    throughVersion: int
    """The version to send as throughVersion."""

    messages: int
    """The number of messages that it would stand in for, beyond what is so already."""

    tokens: int
    """The tokens of these messages, as they are stored."""


Format: TypeAlias = Literal['kata', 'openai-chat', 'openai-responses', 'anthropic', 'gemini', 'ai-sdk']


class Health(TypedDict):
    """Whether the service can serve: healthy, degraded (it does, but see checks) or unhealthy."""

    status: Literal['healthy', 'degraded', 'unhealthy']
    """degraded is served with 200, unhealthy with 503."""

    timestamp: str
    """The time of the answer, in UTC."""

    version: str
    """The version of the service."""

    checks: dict[str, dict[str, Any]]
    """What was looked at: database and, where that can be reached, migrations. Empty for liveness."""


class InForce(TypedDict):
    """The compaction that a window is built on."""

    number: int
    """Its number."""

    throughVersion: int
    """The newest version that its summary stands in for."""


Name: TypeAlias = str


Part: TypeAlias = dict[str, Any]
"""One part of a message's content, in any provider's shape: members that this API does not know are kept."""


Parts: TypeAlias = list[Part]


class Repair(TypedDict):
    """What was changed in a window, so that a provider takes it."""

    version: int | None
    """The message's version; null for a summary."""

    code: Code
    """The kind of change. Codes never change."""

    detail: str
    """What was changed, for people."""


Role: TypeAlias = Literal['system', 'user', 'assistant', 'tool']


class Summary(TypedDict):
    """The summary of the compaction in force, as a message of a window: with all members of one."""

    id: None
    """Always null: it is no stored message."""

    contextId: str
    """The context that made the compaction: in a fork it may be one that the history is shared with."""

    version: None
    """Always null: it is no stored message."""

    role: Literal['user', 'assistant', 'system']
    """Who speaks, as the compaction has it."""

    content: str
    """The summary, as it was sent."""

    toolCalls: None
    """Always null."""

    toolCallId: None
    """Always null."""

    toolName: None
    """Always null."""

    model: None
    """Always null."""

    metadata: dict[str, Any]
    """The compaction's metadata, to the letter."""

    tokenCount: int
    """Tokens of the summary, as they were sent or counted."""

    hasEmbedding: Literal[False]
    """Always false."""

    createdAt: str
    """When the compaction was made, in UTC."""

    compactionNumber: int
    """The compaction's number; other messages have no such member."""


Tokens: TypeAlias = int


EmbeddingItem: TypeAlias = float


Embedding: TypeAlias = list[EmbeddingItem]


ExternalId: TypeAlias = str


class Holder(TypedDict):
    """The context that has an externalId which another is to take."""

    contextId: str
    """Its id."""

    expectedVersion: NotRequired[int | None]
    """The latest version that it must have; 409 otherwise."""


Time: TypeAlias = str


TokenCounts: TypeAlias = list[Tokens]


class Error(TypedDict):
    pointer: str
    """A JSON Pointer (RFC 6901) into the body, or / and the name of a parameter."""

    detail: str
    """What is wrong there."""


class Problem(TypedDict):
    """What went wrong (RFC 9457), without anything of what was sent. Decide on code."""

    type: str
    """urn:kata-context:problem: and the code."""

    title: str
    """The code in words."""

    status: int
    """The status of the answer."""

    detail: str
    """What is wrong here, for people."""

    code: str
    """The kind of problem. Codes never change."""

    requestId: str
    """The id of the request, as in X-Request-Id and in the log."""

    currentVersion: NotRequired[int]
    """The context's latest version; with version_conflict and precondition_failed."""

    currentNumber: NotRequired[int]
    """The number of the compaction in force, 0 for none; with compaction_conflict."""

    errors: NotRequired[list[Error]]
    """The places in the request that are not valid, up to 20 of them."""


class ListContextsArguments(TypedDict):
    """List contexts."""

    limit: NotRequired[int]
    """How many contexts a page has at most."""

    cursor: NotRequired[str]
    """nextCursor of the page before; absent for the first page."""

    order: NotRequired[Literal['asc', 'desc']]
    """By the time of creation: desc is newest first, asc oldest first."""

    metadata: NotRequired[dict[str, Any]]
    """A JSON object that a context's metadata must contain: its members, and those of objects in it, with equal values; an array contains another if it has all of its elements."""

    external_id: NotRequired[str]
    """The client's own id, which one context that is not deleted has at most."""

    parent_id: NotRequired[str | Literal['none']]
    """Only the forks of this context, which may be deleted; `none` for contexts that are no forks."""


class GetContextArguments(TypedDict):
    """Read a context."""

    if_none_match: NotRequired[str]
    """Get 304 without a body if the answer still has one of these ETags."""


class DeleteContextArguments(TypedDict):
    """Delete a context."""

    if_match: NotRequired[str]
    """Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has."""


class ListMessagesArguments(TypedDict):
    """Page through a context's messages."""

    cursor: NotRequired[int]
    """The version to start after, which is nextCursor of the page before; absent for the first."""

    limit: NotRequired[int]
    """How many messages a page has at most."""

    order: NotRequired[Literal['asc', 'desc']]
    """By version: asc is oldest first, desc newest first."""

    at: NotRequired[int | str]
    """Answer as it was when this version was the newest: 0 to the latest version, or a time (RFC 3339): the newest version that existed then. The latest where absent."""

    include: NotRequired[Literal['native']]
    """`native` adds what a provider gave, as it gave it, and in which format."""

    if_none_match: NotRequired[str]
    """Get 304 without a body if the answer still has one of these ETags."""


class AppendMessagesArguments(TypedDict):
    """Append a batch of messages."""

    idempotency_key: NotRequired[str]
    """A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice."""

    if_match: NotRequired[str]
    """Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has."""

    expected_version: NotRequired[int | None]
    """The latest version that the context must have, 0 where it has no messages; 409 otherwise."""

    expected_external_id: NotRequired[ExternalId | None]
    """The externalId that the context must have, as it may have moved to a fork meanwhile; 409 otherwise."""

    context_metadata: NotRequired[dict[str, Any] | None]
    """A merge patch (RFC 7396) of the context's metadata, stored together with the messages: members are set, and those that are null removed. At most 65,536 bytes of JSON."""

    format: NotRequired[Format]
    """The format that messages are in, as that provider gave or was sent them."""

    model: NotRequired[Name | None]
    """The model that wrote the assistant's messages; kept as it is."""

    metadata: NotRequired[dict[str, Any] | None]
    """Any JSON object of the client's, which every message gets; {} where absent."""

    token_counts: NotRequired[TokenCounts | None]
    """Tokens of each of messages, taken as they are: shared, as we counted, where one becomes several, and added up where several become one. Where absent, texts are counted, and what is no text is 0."""


class GetWindowArguments(TypedDict):
    """Get what to send to a model next, within a token budget."""

    budget: NotRequired[int]
    """Tokens that the window's messages may have together, the head included; required where the policy has none."""

    keep_preamble: NotRequired[bool]
    """Whether the preamble is in the window: the system messages that the history begins with, 16 at most."""

    keep_request: NotRequired[bool]
    """Whether the request, the newest user message, is in the window, unless the newest unit would then not fit."""

    start_on: NotRequired[Literal['any', 'user']]
    """`user`: the run moves on to its first user message if that skips at most a quarter of what the head leaves of the budget."""

    step: NotRequired[int]
    """Tokens by which a full window moves on at once; at most half of what the head leaves of the budget counts."""

    clear_tool_results: NotRequired[int | Literal['off']]
    """Tool messages that lie more than about so many tokens back stay, and their content is `[cleared]`; `off` clears none."""

    compaction_due: NotRequired[str | Literal['off']]
    """When the window says that a compaction is due: the part of the budget beyond which one is, above 0 and at most 1, and the tokens to leave behind it at most, such as `0.8,4000`; `off` for never."""

    policy: NotRequired[Literal['none']]
    """`none` sets the context's own policy aside, its budget too; not its compactions, nor other parameters."""

    at: NotRequired[int | str]
    """Answer as it was when this version was the newest: 0 to the latest version, or a time (RFC 3339): the newest version that existed then. The latest where absent."""

    format: NotRequired[Literal['kata', 'openai-chat', 'openai-responses', 'anthropic', 'gemini', 'ai-sdk']]
    """The shape of data: `kata` are messages as they are stored, any other the members to put into that provider's request, which it accepts as they are."""

    include: NotRequired[Literal['figures']]
    """`figures` answers with the figures alone, without data."""

    if_none_match: NotRequired[str]
    """Get 304 without a body if the answer still has one of these ETags."""


class ListCompactionsArguments(TypedDict):
    """List a context's compactions."""

    cursor: NotRequired[int]
    """The number to go on below, which is nextCursor of the page before; absent for the first."""

    limit: NotRequired[int]
    """How many compactions a page has at most."""


class MakeCompactionArguments(TypedDict):
    """Let a summary stand in for all messages up to a version."""

    idempotency_key: NotRequired[str]
    """A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice."""

    role: NotRequired[Literal['user', 'assistant', 'system'] | None]
    """Who speaks in windows; user where absent."""

    token_count: NotRequired[int | None]
    """Tokens of the summary, taken as they are; counted with o200k_base where absent."""

    metadata: NotRequired[dict[str, Any] | None]
    """Any JSON object of the client's, kept to the letter, up to 65,536 bytes as sent; {} where absent."""

    expected_number: NotRequired[int | None]
    """The number of the compaction that must be in force, 0 for none; 409 otherwise. Of several who expect the same at once one wins."""


class ListForksArguments(TypedDict):
    """List a context's forks."""

    limit: NotRequired[int]
    """How many forks a page has at most."""

    cursor: NotRequired[str]
    """nextCursor of the page before; absent for the first page."""

    order: NotRequired[Literal['asc', 'desc']]
    """By the time of creation: desc is newest first, asc oldest first."""


class GetHealthArguments(TypedDict):
    """Ask whether the service can serve."""

    probe: NotRequired[Literal['readiness', 'liveness']]
    """readiness asks the process and its database, liveness the process alone."""


class ClearToolResults(TypedDict):
    """From where on the results of tools are cleared."""

    keepTokens: Tokens
    """Tool messages that lie more than about so many tokens back stay in place, and their content is `[cleared]`. At most what the step leaves of the budget counts."""


class CompactionDue(TypedDict):
    """When a window says that a compaction is due, and up to where."""

    threshold: float
    """The part of the budget beyond which one is due: what the head, without the request, and all messages that compete for the run take together."""

    keepTokens: Tokens
    """Tokens to leave behind what is compacted, at most; at most the budget counts."""


Content: TypeAlias = str | Parts | None


class Function(TypedDict):
    """The function that a tool call names, and what the model gives to it."""

    name: Name
    """The function's name."""

    arguments: str
    """The JSON text that the model wrote, valid or not, to the letter."""


class Policy(TypedDict):
    """How a context's windows are chosen, unless a request says otherwise; null stands for an absent member."""

    budget: NotRequired[int | None]
    """Tokens of the whole window, the head included. Where absent, each request must say."""

    keepPreamble: NotRequired[bool | None]
    """Whether the preamble, the system messages that the history begins with, 16 at most, is in every window. False where absent."""

    keepRequest: NotRequired[bool | None]
    """Whether the request, the newest user message, is in every window, unless the newest unit would then not fit. False where absent."""

    startOn: NotRequired[Literal['any', 'user'] | None]
    """`user`: the run moves on to its first user message if that skips at most a quarter of what the head leaves of the budget. `any` where absent."""

    step: NotRequired[Tokens | None]
    """Tokens by which a full window moves on at once, so that requests begin as those before them until then. At most half of what the head leaves of the budget counts; 0, also where absent, moves on with each message."""

    clearToolResults: NotRequired[ClearToolResults | None]
    """From where on results of tools are cleared; none are where absent."""

    compactionDue: NotRequired[CompactionDue | None]
    """When a window says that a compaction is due; never where absent."""


class ToolCall(TypedDict):
    """One call that an assistant message makes."""

    id: CallId
    """The call's id, which the tool message that answers it names."""

    type: Literal['function']
    """Always function."""

    function: Function
    """What is called."""


class WindowPolicy(TypedDict):
    """How a window was chosen: all members of a policy, as they were in effect."""

    budget: int
    """Tokens of the whole window, the head included."""

    keepPreamble: bool
    """Whether the preamble is in the window, where there is one."""

    keepRequest: bool
    """Whether the request is in the window, where that fits."""

    startOn: Literal['any', 'user']
    """What the run opens with: a user message if near, or any."""

    step: int
    """Tokens by which the window moves on at once: half of what the head leaves at most."""

    clearToolResults: ClearToolResults | None
    """From where on results of tools are cleared, at most what head and step leave; null for off."""

    compactionDue: CompactionDue | None
    """When a compaction is due, keepTokens at most the budget; null for never."""


ToolCalls: TypeAlias = list[ToolCall]


class CreateContextArguments(TypedDict):
    """Create a context, or get the one with this externalId."""

    idempotency_key: NotRequired[str]
    """A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice."""

    name: NotRequired[Name | None]
    """A name for people."""

    external_id: NotRequired[ExternalId | None]
    """The client's own id, any text without U+0000, unique among contexts that are not deleted. Where one has it already, that one is the answer (200), unchanged, and none is made."""

    metadata: NotRequired[dict[str, Any] | None]
    """Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it."""

    policy: NotRequired[Policy | None]
    """How windows of it are chosen; {} where absent."""


class UpdateContextArguments(TypedDict):
    """Change a context's name, externalId, metadata or policy."""

    if_match: NotRequired[str]
    """Act only if the context still has one of these ETags (a list as they were answered, such as "6", or *), and get 412 otherwise. What is no such ETag is none that it has."""

    name: NotRequired[Name | None]
    """A name for people; null clears it."""

    external_id: NotRequired[ExternalId | None]
    """The client's own id; null clears it. 409 where another context that is not deleted has it."""

    take_external_id_from: NotRequired[Holder | None]
    """The context whose externalId becomes this one's, at once: what a client calls by that id goes on here. 409 where it has none; not together with externalId. null is the same as absent."""

    metadata: NotRequired[dict[str, Any] | None]
    """A merge patch (RFC 7396) of the metadata: members are set, and those that are null removed; null in its place empties it. Afterwards at most 131,072 bytes as PostgreSQL's jsonb writes it."""

    policy: NotRequired[Policy | None]
    """A merge patch of the policy: members are set, and those that are null removed; null in its place empties it. It counts for windows of the past as well."""


class ForkContextArguments(TypedDict):
    """Fork a context at a version."""

    idempotency_key: NotRequired[str]
    """A key of the client's, 1 to 255 visible ASCII characters, that makes it safe to send this again: the same key with the same payload gets the first answer, and nothing is stored twice."""

    version: NotRequired[int | None]
    """The version up to which the fork shares the history, 0 for none of it; the latest if absent. 400 above the latest."""

    expected_version: NotRequired[int | None]
    """The latest version that the parent must have; 409 otherwise."""

    name: NotRequired[Name | None]
    """A name for people; null where absent, and not the parent's."""

    metadata: NotRequired[dict[str, Any] | None]
    """Any JSON object of the client's, up to 131,072 bytes as PostgreSQL's jsonb writes it; the parent's where absent."""

    policy: NotRequired[Policy | None]
    """How windows of the fork are chosen, as a whole; the parent's where absent."""

    external_id: NotRequired[ExternalId | None]
    """The client's own id for the fork; null where absent, and not the parent's. 409 where a context that is not deleted has it."""

    move_external_id: NotRequired[bool | None]
    """Whether the parent's externalId moves to the fork, at once: what a client calls by that id goes on with the fork. 409 where it has none; not together with externalId."""


class TaggedContext(TypedDict):
    """A stored context: one conversation, a container of messages."""

    id: str
    """The context's id."""

    name: str | None
    """A name for people."""

    externalId: str | None
    """The client's own id, unique among contexts that are not deleted."""

    metadata: dict[str, Any]
    """The client's JSON object, equal as JSON; keys and digits may be written in another way."""

    policy: Policy
    """How windows of it are chosen: the members that are set, {} where none is."""

    messageCount: int
    """The number of its messages, of a fork those that it shares too."""

    totalTokens: int
    """The sum of their tokens."""

    latestVersion: int
    """The version of its newest message; 0 where it has none."""

    parentId: str | None
    """The context that it is a fork of, which may be deleted by now; null where it is no fork."""

    forkVersion: int | None
    """The version up to which it shares the parent's history; null where it is no fork."""

    createdAt: str
    """When it was created, in UTC."""

    updatedAt: str
    """When it was last changed or appended to, in UTC."""

    deletedAt: str | None
    """When it was deleted, in UTC; null while it lives."""

    etag: str
    """The ETag that it came with."""


class Window(TypedDict):
    """A window of a context's messages, and figures of it."""

    data: Any
    """What to send to the model, in order: the head, then the run; in a provider's format the members to put into its request. Absent with include=figures."""

    budget: int
    """Tokens that the window may have: the parameter's, or else the policy's."""

    usedTokens: int
    """Tokens of the window's messages together, the head's and cleared ones too."""

    overBudget: bool
    """Whether it has more than the budget: head and newest unit alone are larger."""

    totalTokens: int
    """Tokens of all messages up to the version that the window shows."""

    firstVersion: int | None
    """The oldest version of the run; null where the run is empty."""

    lastVersion: int | None
    """The newest version of the run; null where the run is empty. An answer without its call is left out, so it may be less than the version that the window shows: that is in the ETag."""

    droppedCount: int
    """The number of messages that are neither in the window nor behind a summary that is: what nobody will see."""

    preambleCount: int
    """The number of the preamble's messages in the window."""

    requestVersion: int | None
    """The version of the request where it stands in the head; null where it is in the run or not kept."""

    compaction: InForce | None
    """The compaction in force, whose summary is in the window; null where there is none."""

    clearedCount: int
    """The number of messages in the window whose content is cleared."""

    tokensToEdge: int | None
    """Tokens that may come until the window opens with another message than now; null where bytes and not tokens decide. Without a step it is 0 once the window is full."""

    pendingCalls: list[str]
    """The ids of calls in the run that no message answers, in order: run these tools first."""

    compactionDue: Due | None
    """Where a compaction is due by the policy, up to where; null where none is, or none would pay."""

    policy: WindowPolicy
    """How the window was chosen, with every member as it was in effect."""

    repairs: NotRequired[list[Repair]]
    """The newest 1,000 changes without which the provider would refuse the window, or that it has no form for, by version. Only in a provider's format."""

    repairCount: NotRequired[int]
    """The number of all such changes. Only in a provider's format."""

    etag: str
    """The ETag that it came with."""


class Context(TypedDict):
    """A stored context: one conversation, a container of messages."""

    id: str
    """The context's id."""

    name: str | None
    """A name for people."""

    externalId: str | None
    """The client's own id, unique among contexts that are not deleted."""

    metadata: dict[str, Any]
    """The client's JSON object, equal as JSON; keys and digits may be written in another way."""

    policy: Policy
    """How windows of it are chosen: the members that are set, {} where none is."""

    messageCount: int
    """The number of its messages, of a fork those that it shares too."""

    totalTokens: int
    """The sum of their tokens."""

    latestVersion: int
    """The version of its newest message; 0 where it has none."""

    parentId: str | None
    """The context that it is a fork of, which may be deleted by now; null where it is no fork."""

    forkVersion: int | None
    """The version up to which it shares the parent's history; null where it is no fork."""

    createdAt: str
    """When it was created, in UTC."""

    updatedAt: str
    """When it was last changed or appended to, in UTC."""

    deletedAt: str | None
    """When it was deleted, in UTC; null while it lives."""


class Message(TypedDict):
    """A stored message. It never changes."""

    id: str
    """The message's id."""

    contextId: str
    """The context that it was appended to: in a fork it may be one that the history is shared with."""

    version: int
    """Its number in the context: 1, 2, 3 … without gaps."""

    role: Role
    """Who speaks; tool is the result of a tool call."""

    content: Content
    """A text, a list of parts, or null beside toolCalls; as it was sent."""

    toolCalls: list[ToolCall] | None
    """The calls that an assistant message makes; as they came."""

    toolCallId: str | None
    """The id of the call that a tool message answers."""

    toolName: str | None
    """The tool that a tool message comes from."""

    model: str | None
    """The model that wrote the message."""

    metadata: dict[str, Any]
    """The client's JSON object, to the letter; {} where none was sent."""

    tokenCount: int
    """Tokens, as they were sent or counted; what windows are chosen by."""

    hasEmbedding: bool
    """Whether an embedding was stored with it."""

    createdAt: str
    """When it was said, in UTC; never before the message before it."""

    nativeFormat: NotRequired[Format | None]
    """The format that native is in; null where there is none."""

    native: NotRequired[Any]
    """What the provider gave, to the letter, as this format's append takes it; null where the format makes an equal one of the message."""


class NewMessage(TypedDict):
    """
    A message as a client appends it; null stands for an absent member.

    Any role may have content. Only an assistant makes tool calls, and then needs no content; only a tool message
    answers a call, and it must.
    """

    role: Role
    """Who speaks; tool is the result of a tool call."""

    toolCalls: NotRequired[ToolCalls | None]
    """The calls that an assistant message makes."""

    content: NotRequired[Content]
    """A text or a list of parts; absent only where toolCalls is given."""

    toolCallId: NotRequired[CallId | None]
    """The id of the call that a tool message answers; required there."""

    toolName: NotRequired[Name | None]
    """The tool that a tool message comes from; kept as it is."""

    model: NotRequired[Name | None]
    """The model that wrote the message; kept as it is."""

    metadata: NotRequired[dict[str, Any] | None]
    """Any JSON object of the client's, kept to the letter; {} where absent."""

    tokenCount: NotRequired[int | None]
    """Tokens, taken as they are. Where absent, the texts of content and toolCalls are counted with o200k_base, the vocabulary of GPT-4o and later models."""

    embedding: NotRequired[Embedding | None]
    """Kept in single precision and never sent back: answers have hasEmbedding."""

    createdAt: NotRequired[Time | None]
    """When it was said, for a history that is imported: RFC 3339, kept to the microsecond. At most one minute in the future, and not before the message before it, in the batch or stored. Where absent, the time of the append, or of the message before it if that is later."""
