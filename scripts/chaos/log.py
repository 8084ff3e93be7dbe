"""What the clients of `make chaos` sent and what was acknowledged: the log that every context is checked against."""

import hashlib
import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# Texts of findings that are kept per check: enough to start from.
MAX_EXAMPLES = 5

# Milliseconds to the first success after a fault: what the pool takes to find out and connect again, and some.
MAX_RECOVERY_MS = 5000

type Message = dict[str, Any]

# What a stored message must have as it was sent; absent members are null.
SENT_MEMBERS = ("role", "content", "toolCalls", "toolCallId", "toolName", "model", "metadata")


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
    sent = {"role": "user", "tokenCount": stored["tokenCount"], **made.body}
    sent["basedOn"] = sent.pop("expectedNumber", stored["basedOn"])
    return bool({name: stored[name] for name in sent} == sent and stored["tokenCount"] > 0)


def digest(body: bytes) -> str:
    """What an answer is remembered by."""
    return hashlib.sha256(body).hexdigest()


@dataclass(slots=True, eq=False)
class Batch:
    """One append: what was sent, under which key, and what was acknowledged, if anything.

    complete is false where no attempt ever sent the whole body, so that nothing may be stored.
    """

    context: "Context"
    key: str | None
    messages: list[Message]
    attempts: int = 0
    complete: bool = False
    first_version: int | None = None
    message_ids: list[str] = field(default_factory=list)
    answer: str = ""

    @property
    def body(self) -> bytes:
        """The request's body, without an expected version."""
        return json.dumps({"messages": self.messages}).encode()

    @property
    def acknowledged(self) -> bool:
        """Whether a client has read that it is stored."""
        return self.first_version is not None


@dataclass(slots=True, eq=False)
class Sent:
    """A request that changes something: when each attempt began, and when one was acknowledged, in seconds since 1970.

    An attempt that was not answered may take effect at any time from its beginning on, or never.
    """

    context: "Context"
    began: list[float] = field(default_factory=list)
    acknowledged: float | None = None


@dataclass(slots=True, eq=False)
class Patch(Sent):
    """A change of a context's policy: the merge patch that was sent, None for null."""

    policy: dict[str, Any] | None = None


@dataclass(slots=True, eq=False)
class Compaction(Sent):
    """A compaction that was sent, under which key, and what was answered, if anything.

    complete is false where no attempt ever sent the whole body, so that nothing may be stored.
    """

    key: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    stored: dict[str, Any] = field(default_factory=dict)
    answer: str = ""


@dataclass(slots=True, eq=False)
class Undo(Sent):
    """A compaction's undoing: its number, and the time of it that was answered."""

    number: int = 0
    undone_at: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A compaction that was refused, with which problem, when it was asked for, and a version reached before."""

    compaction: Compaction
    problem: dict[str, Any]
    began: float
    answered: float
    least: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A window read meanwhile that the history alone decides, and when; said is what it was, without contents."""

    context: "Context"
    policy: dict[str, Any]
    version: int
    said: dict[str, Any]
    began: float
    answered: float


@dataclass(slots=True, eq=False)
class Context:
    """A context that a client made, or tried to: id is known once that was acknowledged.

    calls are the ids of all calls that any writer has sent, acknowledged or not.
    """

    key: str
    body: dict[str, Any]
    id: str = ""
    answer: str = ""
    latest_version: int = 0
    batches: list[Batch] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    compactions: list[Compaction] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path of the context."""
        return f"/api/v1/contexts/{self.id}"


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
        self.refusals: list[Refusal] = []
        self.seen: list[Seen] = []
        # The digest of what was answered at a path under an ETag.
        self.bodies: dict[tuple[str, str], str] = {}
        self.statuses: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.slowest_write = 0.0
        self.answers = Check("only documented statuses, JSON that parses, problem documents; no 500")
        self.pages = Check("pages read meanwhile: no gaps, nothing acknowledged missing, content as sent")
        self.windows = Check(
            "windows read meanwhile: whole, figures right, content as sent, no answer without its call"
        )
        self.etags = Check("an ETag that was seen before comes with the identical body")
        self.changes = Check("policies, compactions and undoings answered: as sent")
        self.replays = Check("keys replayed meanwhile: the identical first answer")
        self.patience = Check("each operation was answered in the end")
        self.appends = Check("appends answered: as sent, one run of versions, under the expected version")

    @property
    def requests(self) -> int:
        """How many requests were sent, cut ones among them."""
        return self.statuses.total() + self.cuts.total()

    @property
    def batches(self) -> list[Batch]:
        """Every append to every context."""
        return [batch for context in self.contexts for batch in context.batches]

    @property
    def compactions(self) -> list[Compaction]:
        """Every compaction of every context, made or not."""
        return [compaction for context in self.contexts for compaction in context.compactions]


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
