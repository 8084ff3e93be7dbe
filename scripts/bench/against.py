"""This tree beside another revision, so that no release is slower than the one before it: `--against REVISION`.

Each has a database of its own on one server, and a process that calls its API without HTTP; both are sent the same, by
turns, a few calls at a time and in both orders. Whatever else a machine does makes calls slower and never faster: so of
each round the fastest call counts, and of the rounds their median ratio. What is slow only now and then goes unseen.
A tree beside itself is within 0.01 of 1, and 0.03 while other programs keep both cores busy (measured).

What differs is code, this tree's as it stands, and migrations. Python, its packages and PostgreSQL are those that are
here.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg

from scripts.bench.report import Report
from scripts.bench.sql import BUDGET, LARGE, PAGE, TEXT, TOKENS, WINDOW
from scripts.bench.trees import Call, RevisionError, Tree, Worker, migrated, unpack
from scripts.stack.router import ROOT

# New processes: one may happen to be faster than another for as long as it lives.
STARTS = 5
# Of each start, those first that do not count: PostgreSQL settles on a plan when a prepared statement has run five
# times, and psycopg prepares one that has run as often.
WARM_UP = 4
ROUNDS = 40
# Calls of a tree before the other's, and as many behind them.
CALLS = 4

# Messages of the context that is appended to: more than the 1,000 in which a tool message's call may be looked for.
SHORT = 2000
# Messages of the context that is compacted, and how many of them its summary leaves.
COMPACTED = LARGE // 2
LEFT = 400
# Versions from a call to its answer.
BACK = 10

BATCH = 1000
CONTEXTS = "/api/v1/contexts"

type Message = dict[str, Any]
# What is measured is the last of these calls; the number is another each time.
type Calls = Callable[[str, int], list[Call]]


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table: calls on the path of a context that began with so many messages.

    The measured call answers with as many as shown. The goal is the most that the ratio may be.
    """

    name: str
    calls: Calls
    stored: int
    shown: int
    goal: float = 1.05


def prepare(url: str) -> None:
    """Keeps a new server from what would hold up one tree and not the other, and from waiting for the disk."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET autovacuum = off")
        conn.execute("ALTER SYSTEM SET synchronous_commit = off")
        conn.execute("SELECT pg_reload_conf()")


def measure(report: Report, url: str, revision: str) -> None:
    """Prints the section; the server at url is prepared. Raises RevisionError."""
    with tempfile.TemporaryDirectory(prefix="kata-") as folder:
        commit = unpack(revision, Path(folder))
        trees = migrated("this tree", ROOT, url, "this"), migrated(revision, Path(folder), url, "other")
        fastest = _rounds(trees, _filled(trees))
    report.section(f"This tree beside {commit[:7]}", "this ms", "other ms", "quartiles", "ratio", "goal", "")
    for case in CASES:
        ratios = [this / that for this, that in fastest[case.name]]
        low, ratio, high = quantiles(ratios, n=4)
        milliseconds = [f"{median(times):.3f}" for times in zip(*fastest[case.name], strict=True)]
        cells = (*milliseconds, f"{low:.2f}-{high:.2f}")
        report.at_most(case.name, *cells, measured=ratio, limit=case.goal)


def _filled(trees: Sequence[Tree]) -> dict[int, list[str]]:
    """Of each number of messages the paths of two contexts that have as many, one in each tree, stored by its API."""
    contexts: dict[int, list[str]] = {}
    with trees[0].worker() as ours, trees[1].worker() as other:
        workers = ours, other
        for stored in (SHORT, LARGE, COMPACTED):
            answers = _both(workers, [[("POST", CONTEXTS, "{}")]] * 2)
            contexts[stored] = [f"{CONTEXTS}/{answer['data']['id']}" for answer in answers]
            for first in range(0, stored, BATCH):
                batch = list(chain.from_iterable(_turn(f"old_{number}") for number in range(first, first + BATCH, 4)))
                _both(workers, [[_append(path, *batch)] for path in contexts[stored]])
        summary = json.dumps({"throughVersion": COMPACTED - LEFT, "summary": TEXT, "tokenCount": TOKENS})
        _both(workers, [[("POST", f"{path}/compactions", summary)] for path in contexts[COMPACTED]])
    for tree in trees:
        with psycopg.connect(tree.environment["DATABASE_URL"], autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE)")
            conn.execute("CHECKPOINT")
    return contexts


def _rounds(trees: Sequence[Tree], contexts: dict[int, list[str]]) -> dict[str, list[list[float]]]:
    """Of each case and round what _round returns."""
    fastest: dict[str, list[list[float]]] = {case.name: [] for case in CASES}
    numbers = count()
    for _ in range(STARTS):
        with trees[0].worker() as ours, trees[1].worker() as other:
            for number in range(WARM_UP + ROUNDS):
                # Whoever was called last is faster.
                order = (0, 1, 1, 0) if number % 2 else (1, 0, 0, 1)
                for case in CASES:
                    times = _round(case, (ours, other), contexts[case.stored], numbers, order)
                    if number >= WARM_UP:
                        fastest[case.name].append(times)
    return fastest


def _both(workers: Sequence[Worker], calls: Sequence[Sequence[Call]]) -> list[Any]:
    """Each worker's last answer; they work at the same time."""
    for worker, own in zip(workers, calls, strict=True):
        worker.send(own)
    return [worker.receive()[1] for worker in workers]


def _round(
    case: Case, workers: Sequence[Worker], paths: Sequence[str], numbers: "count[int]", order: Sequence[int]
) -> list[float]:
    """Each worker's fastest call, in milliseconds. Raises RevisionError where one answers with something else."""
    times: list[list[float]] = [[], []]
    for index in order:
        calls = [case.calls(paths[index], next(numbers)) for _ in range(CALLS)]
        workers[index].send([*chain.from_iterable(calls)])
        milliseconds, answer = workers[index].receive()
        if len(answer["data"]) != case.shown:
            raise RevisionError(f"{case.name}: {workers[index].name} answers with {len(answer['data'])} messages")
        step = len(calls[0])
        times[index] += milliseconds[step - 1 :: step]
    return [min(own) for own in times]


# Tokens are given, so that counting them is no part of it.
def _message(role: str, **members: object) -> Message:
    return {"role": role, "content": TEXT, "tokenCount": TOKENS, **members}


def _call(call_id: str) -> Message:
    function = {"name": "read_file", "arguments": json.dumps({"path": TEXT})}
    return _message("assistant", content=None, toolCalls=[{"id": call_id, "type": "function", "function": function}])


def _answer(call_id: str) -> Message:
    return _message("tool", toolCallId=call_id, toolName="read_file")


def _turn(call_id: str) -> list[Message]:
    return [_message("user"), _call(call_id), _answer(call_id), _message("assistant")]


def _append(path: str, *messages: Message) -> Call:
    return "POST", f"{path}/messages", json.dumps({"messages": messages})


def _append_two(path: str, _: int) -> list[Call]:
    return [_append(path, _message("user"), _message("assistant"))]


def _append_four(path: str, number: int) -> list[Call]:
    return [_append(path, *_turn(f"call_{number}"))]


def _append_answer(path: str, number: int) -> list[Call]:
    call_id = f"call_{number}"
    return [_append(path, _call(call_id), *[_message("user")] * (BACK - 1)), _append(path, _answer(call_id))]


def _append_orphan(path: str, number: int) -> list[Call]:
    return [_append(path, _answer(f"nobody_{number}"))]


def _window(path: str, _: int) -> list[Call]:
    return [("GET", f"{path}/window?budget={BUDGET}", "")]


def _recommended(path: str, _: int) -> list[Call]:
    policy = f"budget={BUDGET}&keepPreamble=true&keepRequest=true&step={BUDGET // 4}&compactionDue=0.8,{BUDGET // 2}"
    return [("GET", f"{path}/window?{policy}", "")]


def _page(path: str, _: int) -> list[Call]:
    return [("GET", f"{path}/messages?limit={PAGE}&cursor={LARGE // 2}", "")]


CASES = (
    Case("append of a turn of two messages", _append_two, SHORT, 2),
    Case("append of a turn of four, with a call and its answer", _append_four, SHORT, 4),
    Case(f"append of the answer to a call {BACK} versions back", _append_answer, SHORT, 1),
    Case(f"append of an answer to no call, behind {SHORT:,} messages", _append_orphan, SHORT, 1),
    Case(f"window of {BUDGET:,} tokens = {WINDOW} messages, of {LARGE:,}", _window, LARGE, WINDOW),
    Case(f"window of {BUDGET:,} tokens by the recommended policy, of {LARGE:,}", _recommended, LARGE, WINDOW),
    Case(f"the same, of {COMPACTED:,} of which a summary leaves {LEFT}", _recommended, COMPACTED, 101),
    Case(f"page of {PAGE} in the middle of {LARGE:,} messages", _page, LARGE, PAGE),
)
