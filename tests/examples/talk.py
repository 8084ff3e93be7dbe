"""A long talk with a shop's agent: its script, its context, and what happens to it on the way."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx

from tests.examples.fakes import Step

TURNS = 200
LONG_TURN, CALLS_OF_IT = 120, 18
# At least this part of all requests begins with the one before it, which is what a provider's prompt cache needs.
CONTINUED = 0.8
# Every so manieth append is sent a second time.
SENT_TWICE = 5
# Of eight turns those that have calls: how many at once.
CALLS = {1: [1], 2: [2], 6: [2]}
# Turns that end between their calls and the results: the loop goes on by itself, or only as the user has spoken again.
GOES_ON, SPEAKS_AGAIN = 42, 82
# A summary is made in these as often as one is due; before and behind them windows step.
COMPACTED = range(100, 110)

POLICY = {
    "budget": 2000,
    "keepPreamble": True,
    "keepRequest": True,
    "step": 1000,
    "compactionDue": {"threshold": 0.8, "keepTokens": 1000},
}
SYSTEM = "You answer for a shop, in one sentence, and look up what you do not know."
RESULT = "The parcel left the warehouse in the morning, and was last seen by a courier. " * 7

# What a repair may say: of calls before their results are there, of results behind what the user has said meanwhile and
# such whose call the window has left behind, and of a window that opens with the model.
MENDED = {"call_answered", "result_moved", "result_dropped", "user_added"}

type Run = Callable[[str, dict[str, Any]], str]


class Crash(Exception):
    """the process that ran the loop is gone"""


def script() -> Iterator[Step]:
    """What the model does: of eight turns one has a call, two have two at once; every other one has thinking."""
    number = count(1)
    for turn in count():
        rounds = [1] * CALLS_OF_IT if turn == LONG_TURN else CALLS.get(turn % 8, [])
        for calls in rounds:
            yield Step(next(number), calls, thinks=turn % 4 > 1)
        # Of the turn that breaks off for good, the next one's answer says enough.
        if turn != SPEAKS_AGAIN:
            yield Step(next(number), thinks=turn % 4 > 2)


def question(turn: int) -> str:
    """What the user says."""
    return f"Where is my order {turn}? " + "I have been waiting for it for a week. " * 4


def context(api: httpx.Client) -> str:
    """The path of a new context for such a talk."""
    made = api.post("/api/v1/contexts", json={"policy": POLICY}).raise_for_status()
    path: str = made.headers["location"]
    preamble = {"messages": [{"role": "system", "content": SYSTEM}]}
    api.post(f"{path}/messages", json=preamble).raise_for_status()
    return path


class Resent(httpx.HTTPTransport):
    """Sends some appends twice, as a client does whose first answer was lost."""

    def __init__(self) -> None:
        super().__init__()
        self._appends = count(1)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if request.url.path.endswith("/messages") and next(self._appends) % SENT_TWICE == 0:
            answer.read()
            answer.close()
            answer = super().handle_request(request)
            assert answer.headers["idempotent-replayed"] == "true"
        return answer


class Talk:
    """Counts what windows of a context have said."""

    def __init__(self, kata: httpx.Client, name: str) -> None:
        self.kata = kata
        self.name = name
        self.repairs = set[str]()
        self.most_dropped = 0
        self.compactions = 0
        self.kept_request = False

    def window(self) -> dict[str, Any]:
        """The window in the provider's format, and the figures beside it."""
        answer = self.kata.get("window", params={"format": self.name}).raise_for_status()
        window: dict[str, Any] = answer.json()
        self.repairs |= {repair["code"] for repair in window["repairs"]}
        self.most_dropped = max(self.most_dropped, window["droppedCount"])
        return window

    def compact(self) -> None:
        """Puts a summary in place of what the window says, where it says so."""
        if due := self.window()["compactionDue"]:
            body = {"throughVersion": due["throughVersion"], "summary": f"{due['messages']} messages on orders."}
            self.kata.post("compactions", json=body).raise_for_status()
            self.compactions += 1

    def hold(self, say: Callable[[str], None], go_on: Callable[[Run], object], turns: int) -> None:
        """Every turn: what the user says, and the loop of an example until the model has answered."""

        def run(name: str, given: dict[str, Any]) -> str:
            calls.append(name)
            if turn in {GOES_ON, SPEAKS_AGAIN} and len(calls) == 2:
                raise Crash
            if turn == LONG_TURN:
                self.kept_request |= self.window()["requestVersion"] is not None
            return f"Order {given['number']}: {RESULT}"

        for turn in range(turns):
            calls: list[str] = []
            if turn in COMPACTED:
                self.compact()
            say(question(turn))
            try:
                go_on(run)
            except Crash:
                self.crashed()
                if turn == GOES_ON:
                    go_on(run)
            if turn % 5 == 4:
                assert self.window()["pendingCalls"] == []

    def crashed(self) -> None:
        """Between two calls and their results: both are pending, and the window may be sent as it is."""
        window = self.window()
        assert len(window["pendingCalls"]) == 2
        assert [repair["code"] for repair in window["repairs"][-2:]] == ["call_answered", "call_answered"]
