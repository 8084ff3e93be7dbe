"""Draws docs/windows.svg, windows that move over a history: `python -m scripts.drawing`.

The history is the repository's transcripts as one thread, and lib/runs.py chooses the windows. Each row is a call of
the model, and from left to right lie the tokens of the history.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from lib.runs import Candidate, Limits, Run, choose
from scripts import replay
from scripts.replay import CACHED, Sent, alike
from scripts.stack.router import ROOT

FILE = ROOT / "docs" / "windows.svg"
BUDGET = 4000


class Policy(NamedTuple):
    """A policy that is drawn; tokens."""

    keep_head: bool = False
    step: int = 0
    clear: int | None = None


SLIDING = Policy()
STEPPED = Policy(keep_head=True, step=BUDGET // 4, clear=BUDGET // 4)

# --- Windows


@dataclass(frozen=True, slots=True)
class History:
    """A thread of messages, oldest first, and the versions after which the model was called."""

    messages: Sequence[Candidate]
    preamble: int
    calls: Sequence[int]


def history() -> History:
    """The transcripts one behind the other; only the first one's system message leads."""
    thread = asyncio.run(replay.thread())
    messages: list[Candidate] = []
    calls: dict[str, int] = {}
    for version, (message, count) in enumerate(zip(thread.messages, thread.token_counts, strict=True), 1):
        answered = calls.get(message["tool_call_id"], 0) if message["role"] == "tool" else None
        calls.update((call["id"], version) for call in message.get("tool_calls") or ())
        is_user = message["role"] == "user"
        messages.append(Candidate(version, False, count, is_user, answered, None, None, 0, 0, None, None))
    return History(messages, thread.preamble, thread.calls)


def windows(thread: History, policy: Policy) -> list[list[Sent]]:
    """The window of each call, head first."""
    return [_window(thread, call, policy) for call in thread.calls]


def _window(thread: History, version: int, policy: Policy) -> list[Sent]:
    limits = Limits(BUDGET, policy.step, policy.clear, start_on_user=False, bytes=sys.maxsize)
    head = list(thread.messages[: thread.preamble]) if policy.keep_head else []
    behind = thread.messages[len(head) : version]
    competing = sum(message.token_count for message in behind)

    def chosen(head: Sequence[Candidate]) -> Run:
        left = limits.clamped(BUDGET - sum(message.token_count for message in head), limits.bytes)
        return choose(behind, version, competing, left, whole=True)

    run = chosen(head)
    request = next((message for message in reversed(behind) if message.is_user), None)
    if policy.keep_head and request and request.version < run.first:
        again = chosen([*head, request])
        if again.first <= request.version:
            run = again
        elif again.used <= again.limits.budget:
            run, head = again, [*head, request]
    return [_sent(message, cleared=message.version in run.cleared) for message in (*head, *run.messages)]


def _sent(message: Candidate, *, cleared: bool) -> Sent:
    return Sent(message.version, message.cleared_tokens if cleared else message.token_count, cleared)


# --- The drawing, in pixels

WIDTH = 800
PANEL = 352
TOP = 104
ROW = 5.6
BAR = 4.4
THIN = 1.2

# Tokens.
TICK = 5000

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #3d4652 }
.title { font-size: 15px; font-weight: 600; fill: #17202b }
.heading { font-size: 13px; font-weight: 600; fill: #17202b }
.small { font-size: 11px; fill: #667180 }
.paper { fill: #fcfbf8; stroke: #dcd8cf }
.stored { fill: #ebe8e1 }
.cached { fill: #8fb4d9 }
.full { fill: #d9481c }
.cleared { fill: #7c8794 }
.lost { fill: #17202b }
.axis { stroke: #c9c4b9; fill: none }
"""


def draw() -> str:
    """The SVG."""
    thread = history()
    height = TOP + ROW * len(thread.calls) + 88
    body = "\n".join([*(line for panel in PANELS for line in _panel(thread, panel)), *_legend(height - 18)])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" \
aria-labelledby="title description">
<title id="title">Windows that slide, and windows that step</title>
<desc id="description">Two panels of {len(thread.calls)} rows, one for each call of a model. Without a policy the \
window slides along the history, and whenever its opening moves all of it is read anew. With a policy the preamble \
stays in front, and the opening stays where it is for many calls before it moves at once; until then all but the \
newest messages is read from the provider's cache.</desc>
<style>{STYLE}</style>
<rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>
<text class="title" x="20" y="28">What {len(thread.calls)} calls of a model are sent, within {BUDGET:,} tokens</text>
<text class="small" x="20" y="46">A row is a call, the first on top. From left to right lies the history, \
oldest first.</text>
{body}
</svg>
"""


class Panel(NamedTuple):
    """A panel: where it stands, in pixels, and what is said of its policy and of the preamble."""

    policy: Policy
    left: int
    heading: str
    line: str
    note: str


PANELS = (
    Panel(SLIDING, 34, "No policy: the window slides", f"budget={BUDGET}", "the preamble is gone"),
    Panel(
        STEPPED,
        414,
        "A policy: it stays, and then steps",
        f"keepPreamble, keepRequest, step={STEPPED.step}, clearToolResults={STEPPED.clear}",
        "the preamble stays",
    ),
)


def _panel(thread: History, panel: Panel) -> Iterator[str]:
    left = panel.left
    ends = [0, *accumulate(message.token_count for message in thread.messages)]
    scale = PANEL / ends[thread.calls[-1]]
    yield f'<text class="heading" x="{left}" y="74">{panel.heading}</text>'
    yield _small(left, 90, panel.line)

    paths: defaultdict[str, list[str]] = defaultdict(list)
    before: list[Sent] = []
    lost = 0
    paid = 0.0
    sent = windows(thread, panel.policy)
    for row, (call, window) in enumerate(zip(thread.calls, sent, strict=True)):
        y = TOP + row * ROW
        paths["stored"].append(_box(left, y - (ROW - BAR) / 2, ends[call] * scale, ROW))
        same = alike(before, window)
        for kind, start, end in _pieces(window, same, ends):
            thick = THIN if kind == "cleared" else BAR
            paths[kind].append(_box(left + start * scale, y + (BAR - thick) / 2, (end - start) * scale, thick))
        if same < len(before):
            lost += 1
            paths["lost"].append(f"M{left - 9} {y:.1f}l5 {BAR / 2:.1f}l-5 {BAR / 2:.1f}z")
        tokens_of = [message.tokens for message in window]
        paid += sum(tokens_of) - (1 - CACHED) * sum(tokens_of[:same])
        before = window
    for kind in ("stored", "cached", "full", "cleared", "lost"):
        if paths[kind]:
            yield f'<path class="{kind}" d="{"".join(paths[kind])}"/>'
    kept = ends[thread.preamble] if panel.policy.keep_head else 0
    yield _small(left + kept * scale + 6, TOP + ROW * len(thread.calls) - 8, panel.note)
    y = TOP + ROW * len(thread.calls) + 4
    for tick in range(0, ends[-1], TICK):
        x = left + tick * scale
        yield f'<path class="axis" d="M{x:.1f} {y:.1f}v4"/>'
        yield _small(x, y + 15, f"{tick:,}" if tick else "0 tokens", "middle" if tick else "start")
    cost = paid / len(sent)
    yield f'<text x="{left}" y="{y + 40:.1f}">A call costs {cost:,.0f} tokens; {lost} times the cache is lost</text>'


def _pieces(window: Sequence[Sent], same: int, ends: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """What a row is drawn of: (kind, first and last token in the history), neighbours of a kind as one."""
    kind, start, end = "", 0, 0
    for place, message in enumerate(window):
        of_this = "cleared" if message.cleared else "cached" if place < same else "full"
        if kind and (of_this != kind or ends[message.version - 1] != end):
            yield kind, start, end
            start = ends[message.version - 1]
        elif not kind:
            start = ends[message.version - 1]
        kind, end = of_this, ends[message.version]
    if kind:
        yield kind, start, end


def _small(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"


LEGEND = (
    ("full", "sent, paid in full", 20),
    ("cached", "sent as in the call before: a tenth", 148),
    ("cleared", "a tool's result, cleared", 372),
    ("stored", "stored, not sent", 532),
)


def _legend(y: float) -> Iterator[str]:
    for kind, text, x in LEGEND:
        thick = THIN if kind == "cleared" else 8
        yield f'<rect class="{kind}" x="{x}" y="{y - 4 - thick / 2:.1f}" width="14" height="{thick}"/>'
        yield _small(x + 20, y, text)
    yield f'<path class="lost" d="M656 {y - 8:.1f}l8 4l-8 4z"/>'
    yield _small(670, y, "the cache is lost")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    argparse.ArgumentParser(prog="python -m scripts.drawing", description="Draws docs/windows.svg.").parse_args(
        arguments
    )
    FILE.write_text(draw())


if __name__ == "__main__":
    main()
