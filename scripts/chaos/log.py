"""What the clients of `make chaos` sent and what was acknowledged: the log that every context is checked against."""

import hashlib
import json
import math
import statistics
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

# Texts of findings that are kept per check: enough to start from.
MAX_EXAMPLES = 5

# Milliseconds to the first success after a fault: what the pool takes to find out and connect again, and some.
MAX_RECOVERY_MS = 5000

type Message = dict[str, Any]

# What a stored message must have as it was sent; absent members are null.
SENT_MEMBERS = ("contextId", "role", "content", "toolCalls", "toolCallId", "toolName", "model", "metadata")


def payload_id(message: Message) -> str:
    """The id by which the clients know a message, sent or stored."""
    text: str = message["metadata"]["payload"]
    return text


def is_as_sent(stored: Message, sent: Message) -> bool:
    """Whether a stored message is equal to what was sent."""
    if any(stored[name] != sent.get(name) for name in SENT_MEMBERS):
        return False
    return bool(stored["tokenCount"] == sent.get("tokenCount", stored["tokenCount"]) and stored["tokenCount"] > 0)


def is_summary_as_sent(stored: dict[str, Any], log: "Log") -> bool:
    """Whether a stored compaction is equal to one that was sent."""
    made = log.summaries.get(payload_id(stored))
    if made is None:
        return False
    sent = {"contextId": made.context.id, "role": "user", "tokenCount": stored["tokenCount"], **made.body}
    sent["basedOn"] = sent.pop("expectedNumber", stored["basedOn"])
    return bool({name: stored[name] for name in sent} == sent and stored["tokenCount"] > 0)


def digest(body: bytes) -> str:
    """What an answer is remembered by."""
    return hashlib.sha256(body).hexdigest()


# --- What is sent


@dataclass(slots=True, eq=False, kw_only=True)
class Sent:
    """A request that changes something: when each attempt began, and when one was acknowledged, in seconds since 1970.

    An attempt that was not answered may take effect at any time from its beginning on, or never.
    """

    began: list[float] = field(default_factory=list)
    acknowledged: float | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Patch(Sent):
    """A change of a context's policy: the merge patch that was sent, None for null."""

    policy: dict[str, Any] | None


@dataclass(slots=True, eq=False, kw_only=True)
class Undo(Sent):
    """A compaction's undoing: its number, and the time of it that was answered."""

    number: int
    undone_at: str = ""


@dataclass(slots=True, eq=False, kw_only=True)
class Post(Sent, ABC):
    """What makes something, under which key, if any, and the digest of the answer that acknowledged it.

    complete is false where no attempt ever sent the whole body, so that nothing may be stored.
    """

    key: str | None
    body: dict[str, Any]
    complete: bool = False
    answer: str = ""

    @property
    @abstractmethod
    def target(self) -> str:
        """The path that it is sent to."""

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return json.dumps(self.body).encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that it is sent with."""
        return {"idempotency-key": self.key} if self.key else {}


@dataclass(slots=True, eq=False, kw_only=True)
class Batch(Post):
    """One append, and what was acknowledged of it, if anything. Its body is without an expected version."""

    context: "Context"
    first_version: int | None = None
    message_ids: list[str] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"{self.context.path}/messages"

    @property
    def messages(self) -> list[Message]:
        """What must be stored of it, all or nothing."""
        return [{**message, "contextId": self.context.id} for message in self.body["messages"]]


@dataclass(slots=True, eq=False, kw_only=True)
class Compaction(Post):
    """A compaction that was sent, and what was answered, if anything."""

    context: "Context"
    stored: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return f"{self.context.path}/compactions"


@dataclass(slots=True, eq=False, kw_only=True)
class Context(Post):
    """A context that a client made or forked, or tried to, and what was answered, if anything.

    least is a version that the parent of a fork had reached before. calls are the ids of all calls that any writer has
    sent, to its ancestors too, acknowledged or not. deletion is there once somebody has begun it.
    """

    parent: "Context | None" = None
    least: int = 0
    stored: dict[str, Any] = field(default_factory=dict)
    latest_version: int = 0
    batches: list[Batch] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    compactions: list[Compaction] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    deletion: Sent | None = None

    @property
    def target(self) -> str:
        return f"{self.parent.path}/forks" if self.parent else "/api/v1/contexts"

    @property
    def id(self) -> str:
        """Its id; empty until it was acknowledged."""
        found: str = self.stored.get("id", "")
        return found

    @property
    def path(self) -> str:
        """The path of the context."""
        return f"/api/v1/contexts/{self.id}"

    @property
    def is_there(self) -> bool:
        """Whether it was acknowledged, and nobody has begun to delete it."""
        return bool(self.id) and self.deletion is None

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata: its own, or its parent's."""
        own: dict[str, Any] | None = self.body.get("metadata")
        return own or (self.parent.metadata if self.parent else {})

    @property
    def external_id(self) -> str | None:
        """The external id that it had at first, given or moved; a fork of it may have that by now."""
        if self.parent and self.body.get("moveExternalId"):
            return self.parent.external_id
        return self.body.get("externalId")


@dataclass(frozen=True, slots=True)
class Refusal[Request: Post]:
    """What was refused, with which problem, when it was asked for, and a version reached before.

    The version is the context's that was to be compacted or forked.
    """

    sent: Request
    problem: dict[str, Any]
    began: float
    answered: float
    least: int


# --- What is read


@dataclass(frozen=True, slots=True)
class Seen:
    """A window read meanwhile that the history alone decides, and when; said is what it was, without contents."""

    context: Context
    policy: dict[str, Any]
    version: int
    said: dict[str, Any]
    began: float
    answered: float


@dataclass(slots=True)
class Check:
    """How often something was looked at, and where it was not as promised."""

    promise: str
    looked: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def expect(self, condition: object, example: str) -> None:
        """Counts one look; example tells what was wrong where condition does not hold."""
        self.looked += 1
        if not condition:
            self.wrong += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(example[:600])

    @property
    def holds(self) -> bool:
        """Whether there was something to look at, and all of it was as promised."""
        return self.looked > 0 and not self.wrong

    def __str__(self) -> str:
        state = "ok  " if self.holds else "FAIL"
        figure = f"{self.looked:,} looked at" + (f", {self.wrong:,} wrong" if self.wrong else "")
        return "\n".join([f"{state}  {self.promise}: {figure}", *(f"        {text}" for text in self.examples)])


class Log:
    """What all clients did, saw and found wrong."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.sent: dict[str, Message] = {}
        self.unwanted: set[str] = set()
        self.summaries: dict[str, Compaction] = {}
        self.refusals: list[Refusal[Compaction]] = []
        self.refused_forks: list[Refusal[Context]] = []
        self.seen: list[Seen] = []
        # The digest of what was answered at a path under an ETag.
        self.bodies: dict[tuple[str, str], str] = {}
        self.statuses: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.slowest_write = 0.0
        self.answers = Check(
            "only documented statuses, JSON that parses, problem documents; no 500, nothing of a deleted context"
        )
        self.creations = Check("contexts created and forked: as asked, and forks at the version that was asked for")
        self.pages = Check("pages and lists read meanwhile: no gaps, nothing acknowledged missing, content as sent")
        self.names = Check("an external id names one context at any moment: a move is never half done")
        self.windows = Check(
            "windows read meanwhile: whole, figures right, content as sent, no answer without its call"
        )
        self.etags = Check("an ETag that was seen before comes with the identical body")
        self.changes = Check("policies, compactions, undoings and deletions answered: as sent")
        self.replays = Check("keys replayed meanwhile: the identical first answer")
        self.patience = Check("each operation was answered in the end")
        self.appends = Check("appends answered: as sent, one run of versions, under the expected version")

    @property
    def requests(self) -> int:
        """How many requests were sent, cut ones among them."""
        return self.statuses.total() + self.cuts.total()

    @property
    def forks(self) -> list[Context]:
        """Every fork, made or not."""
        return [context for context in self.contexts if context.parent]

    @property
    def batches(self) -> list[Batch]:
        """Every append to every context."""
        return [batch for context in self.contexts for batch in context.batches]

    @property
    def compactions(self) -> list[Compaction]:
        """Every compaction of every context, made or not."""
        return [compaction for context in self.contexts for compaction in context.compactions]

    @property
    def keyed(self) -> tuple[list[Post], ...]:
        """Appends, compactions, and creations and forks, that were acknowledged and whose key gives the answer again.

        Of creations and forks it does so for good, of the others until their context is deleted.
        """
        batches = (batch for batch in self.batches if batch.context.is_there)
        compactions = (made for made in self.compactions if made.context.is_there)
        kinds: tuple[Iterable[Post], ...] = (batches, compactions, self.contexts)
        return tuple([each for each in sent if each.key and each.acknowledged] for sent in kinds)

    def deletion(self, path: str) -> Sent | None:
        """The deletion of the context that a path names, once somebody has begun it."""
        return next((each.deletion for each in self.contexts if each.id and path.startswith(each.path)), None)


@dataclass(slots=True)
class Fault:
    """One injected fault: its kind, and when it was over and then recovered from, in monotonic seconds."""

    kind: str
    over: float
    recovered: float | None = None

    @property
    def milliseconds(self) -> float | None:
        """How long nothing succeeded; None where nothing did again."""
        return None if self.recovered is None else (self.recovered - self.over) * 1000


class Faults:
    """All injected faults, and the first success after each."""

    def __init__(self) -> None:
        self.all: list[Fault] = []
        self._open: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Takes a fault that is over."""
        self.all.append(fault)
        self._open.append(fault)

    def succeeded(self, sent: float, answered: float) -> None:
        """Takes the times of a successful request: a fault is recovered from by one that was sent after it."""
        for fault in [fault for fault in self._open if fault.over <= sent]:
            fault.recovered = answered
            self._open.remove(fault)

    def check(self) -> Check:
        """Whether requests succeeded again soon after each fault."""
        check = Check(f"after each fault requests succeed again within {MAX_RECOVERY_MS:,} ms")
        for fault in self.all:
            took = fault.milliseconds
            check.expect(took is not None and took <= MAX_RECOVERY_MS, f"{fault.kind}: {took} ms")
        return check

    def table(self) -> Iterator[str]:
        """A line per kind: how many, and the median and the longest time to the first success, in ms."""
        yield f"    {'':<42}{'times':>8}{'median ms':>12}{'max ms':>9}"
        for kind in sorted({fault.kind for fault in self.all}):
            times = [fault.milliseconds for fault in self.all if fault.kind == kind]
            took = [milliseconds for milliseconds in times if milliseconds is not None] or [math.nan]
            yield f"    {kind:<42}{len(times):>8}{statistics.median(took):>12.0f}{max(took):>9.0f}"
