"""Lineages held against plain lists: whatever is appended, forked, compacted, undone, changed or deleted.

In the model a fork has copies of its parent's lists. Every context must show, at each version, what such lists of its
own hold, and windows that the rule chooses from them. LINEAGE_EXAMPLES sets how many histories are made.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import combinations, product
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scripts.chaos import rule as definition
from scripts.chaos.windows import Question, difference, expected, said

EXAMPLES = int(os.environ.get("LINEAGE_EXAMPLES", "15"))
STEPS_PER_EXAMPLE = 40

# Living contexts down to which some are deleted, and up to which new ones are created.
FEW = 3
MANY = 8

CONTEXTS = "/api/v1/contexts"

type Json = dict[str, Any]

# Members of messages that are absent here.
NOTHING: Json = {
    "content": None,
    "toolCalls": None,
    "toolCallId": None,
    "toolName": None,
    "model": None,
    "metadata": {},
    "hasEmbedding": False,
}

# A version that is so far from one of those that matter.
type Place = tuple[str, int]
PLACES = st.tuples(
    st.sampled_from(["end", "end", "end", "end", "compaction", "compaction", "fork", "middle", "start"]),
    st.integers(-2, 2),
)
# Now, at a version, or so many microseconds from when its message was said.
type Moment = tuple[Place, int | None] | None
MOMENTS = st.none() | st.tuples(PLACES, st.sampled_from([None, None, -1, 0, 1]))

# Of appends and compactions, and those of forks, which count everywhere.
KEYS = st.none() | st.sampled_from("ab")
FORK_KEYS = st.none() | st.sampled_from("abcdefgh")
LIMITS = st.sampled_from([2, 5, 17, 1000])
SIZES = [1, 4, 20, 70, 200]


def every(**members: Sequence[Any]) -> st.SearchStrategy[Json]:
    """Objects with any of the values that each member may have; None is an absent member."""
    chosen = (zip(members, values, strict=True) for values in product(*members.values()))
    objects = [{name: value for name, value in pairs if value is not None} for pairs in chosen]
    # Not sampled_from, which would write out all of them.
    return st.integers(0, len(objects) - 1).map(lambda number: objects[number])


def calls(*ids: str) -> list[Json]:
    return [{"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}} for each in ids]


# Without a tokenCount a content has as many tokens as characters.
TEXTS: dict[str, list[Any]] = {"content": ["", "x"], "tokenCount": [None, *SIZES]}
IDS = "abcde"
CALLS = every(
    role=["assistant"],
    toolCalls=[calls(*ids) for count in (1, 2, 3) for ids in combinations(IDS, count)],
    tokenCount=SIZES,
)
ANSWERS = every(role=["tool"], toolCallId=[*IDS], **TEXTS)
MESSAGES = st.one_of(
    every(role=["user"], **TEXTS),
    CALLS,
    ANSWERS,
    CALLS,
    ANSWERS,
    every(role=["system"], **TEXTS),
    every(role=["assistant"], **TEXTS),
)
BATCHES = st.lists(MESSAGES, min_size=1, max_size=5)
# When the first messages of a batch were said, if that is given: how many, and so many microseconds behind each other,
# from the message before on, or else from half a minute ahead of the clock.
type Times = tuple[int, int, bool] | None
TIMES = st.sampled_from([*[None] * 10, *product([1, 5], [-1, -1, 0, 1, 1000], [False, True])])

# What a context begins with: messages, how far they are compacted, more messages, and where it is forked.
type Level = tuple[list[Json], Times, Place, list[Json], Place]
LEVELS = st.tuples(st.lists(MESSAGES, max_size=8), TIMES, PLACES, st.lists(MESSAGES, max_size=8), PLACES)

POLICY: dict[str, list[Any]] = {
    "budget": [None, 60, 300, 1000],
    "keepPreamble": [None, True],
    "keepRequest": [None, True],
    "startOn": [None, "user"],
    "step": [None, 40, 300],
    "clearToolResults": [None, {"keepTokens": 0}, {"keepTokens": 100}],
    "compactionDue": [None, {"threshold": 0.3, "keepTokens": 100}, {"threshold": 1, "keepTokens": 0}],
}
POLICIES = every(**POLICY)
PATCHES = st.none() | st.builds(
    lambda removed, policy: {**dict.fromkeys(removed), **policy}, st.sampled_from([[], ["budget"], [*POLICY]]), POLICIES
)

HEAD = {"keepPreamble": True, "keepRequest": True, "step": 40}
CLEAR = {"clearToolResults": {"keepTokens": 100}}
DUE = {"compactionDue": {"threshold": 0.3, "keepTokens": 100}}
ALL = {"budget": 500, "startOn": "user", **HEAD, **CLEAR, **DUE}
ASKED = [Question({"budget": 500, **each}, bare=True) for each in ({}, HEAD, CLEAR, DUE, ALL)]
QUESTIONS = st.sampled_from(ASKED) | st.builds(Question, POLICIES, bare=st.booleans())

# What creations, forks and changes say.
NAMES = st.sampled_from("xyz")
SAID = {"name": NAMES, "metadata": st.fixed_dictionaries({"name": NAMES})}
CREATIONS = st.fixed_dictionaries({}, optional={**SAID, "policy": POLICIES, "externalId": NAMES})
FORKS = st.builds(
    lambda said, external_id: {**said, **external_id},
    st.fixed_dictionaries({}, optional={**SAID, "policy": POLICIES}),
    st.one_of(st.just({}), st.just({"moveExternalId": True}), st.fixed_dictionaries({"externalId": NAMES})),
)
CHANGES = st.fixed_dictionaries({}, optional={**SAID, "policy": PATCHES, "externalId": st.none() | NAMES})
SUMMARY = {"summary": "s", "role": "user", "tokenCount": 4}
COMPACTIONS = every(summary=["s", "t"], role=["user", "system"], tokenCount=SIZES)


@dataclass(eq=False)
class Context:
    """A context as a list of all its messages, its parent's too, as their appends were answered.

    compactions are the same objects in a fork, as an undoing by whoever has made one counts there. shown is what else
    the context's JSON has.
    """

    shown: Json
    messages: list[Json] = field(default_factory=list)
    compactions: list[Json] = field(default_factory=list)
    parents: Sequence["Context"] = ()

    @property
    def id(self) -> str:
        return str(self.shown["id"])

    @property
    def path(self) -> str:
        return f"{CONTEXTS}/{self.id}"

    @property
    def latest(self) -> int:
        return len(self.messages)

    @property
    def json(self) -> Json:
        """What the API shows, but for updatedAt."""
        tokens = sum(message["tokenCount"] for message in self.messages)
        return {**self.shown, "messageCount": self.latest, "latestVersion": self.latest, "totalTokens": tokens}

    def near(self, place: Place) -> int:
        """The version at a place."""
        bases = {"start": 0, "middle": self.latest // 2, "end": self.latest, "fork": self.shown["forkVersion"] or 0}
        made_at = [made["madeAtVersion"] for made in self.compactions]
        return min(max(0, {"compaction": max(made_at, default=0), **bases}[place[0]] + place[1]), self.latest)

    def then(self, moment: Moment) -> tuple[int | str | None, int]:
        """The parameter of a moment, and the version that was the latest then."""
        if moment is None:
            return None, self.latest
        place, distance = moment
        version = self.near(place)
        if distance is None or not version:
            return version, version
        at = shifted(self.messages[version - 1]["createdAt"], distance)
        return at, sum(message["createdAt"] <= at for message in self.messages)

    def as_shown(self, message: Json) -> Json:
        """What a message of a window must be."""
        if message["version"] is None:
            made = self.compactions[message["compactionNumber"] - 1]
            same = {name: made[name] for name in ("contextId", "role", "tokenCount", "createdAt")}
            names = {"id": None, "version": None, "compactionNumber": made["number"]}
            return {**NOTHING, **same, **names, "content": made["summary"]}
        stored: Json = self.messages[message["version"] - 1]
        if "cleared" not in message:
            return stored
        tokens = min(stored["tokenCount"], definition.CLEARED_TOKENS)
        return {**stored, "content": definition.CLEARED, "tokenCount": tokens, "cleared": True}

    def history(self, version: int) -> list[definition.Message]:
        """What the rule sees of it at a version."""
        return definition.history(self.messages[:version])

    def in_force(self, version: int) -> definition.Compaction | None:
        """The compaction that the rule has in force at a version."""
        return definition.in_force(
            [
                definition.Compaction(
                    made["number"],
                    made["throughVersion"],
                    made["madeAtVersion"],
                    made["tokenCount"],
                    0,
                    1 if made["undoneAt"] else None,
                )
                for made in self.compactions
            ],
            version,
        )


def text(time: datetime) -> str:
    """A time as the API writes it, so that texts are in the order of their times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def shifted(time: str, microseconds: int) -> str:
    return text(datetime.fromisoformat(time) + timedelta(microseconds=microseconds))


def step(**drawn: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule of the machine, which counts how often it is taken."""

    as_rule: Callable[..., Callable[..., Any]] = rule(**drawn)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def take(self: "Lineages", *args: Any, **arguments: Any) -> Any:
            self.counts["steps"] += 1
            return method(self, *args, **arguments)

        return as_rule(take)

    return counted


class Lineages(RuleBasedStateMachine):
    """Whatever one does to contexts and their forks; each step looks at all that it could have changed."""

    contexts: Bundle[Context] = Bundle("contexts")

    def __init__(self, api: httpx.Client, counts: Counter[str]) -> None:
        super().__init__()
        self.api = api
        self.counts = counts
        self.counts["histories"] += 1
        # Tells this example's contexts from all others in the database.
        self.world = str(uuid4())
        self.living: list[Context] = []
        # Where a key counts, and the key → what was sent with it first, and the answer.
        self.used: dict[tuple[str, str], tuple[tuple[str, Json], httpx.Response]] = {}
        # Each ETag that an answer had, with its URL → the answer.
        self.tagged: dict[tuple[str, str], bytes] = {}

    # --- What is done

    @initialize(target=contexts, levels=st.lists(LEVELS, min_size=3, max_size=6))
    def begin(self, levels: list[Level]) -> Any:
        """A context that begins with system messages, a fork of it, a fork of that, and so on."""
        made = [self.create({"policy": ALL})]
        self.append(made[0], [{"role": "system", "content": "x"}] * 4, None, None)
        for before, times, through, behind, place in levels:
            self.append(made[-1], before, times, None)
            self.compact(made[-1], through, SUMMARY, None, near=True)
            self.append(made[-1], behind, times, None)
            made.append(self.fork(made[-1], place, {}, None, Question(ALL)))
        return multiple(*made)

    @precondition(lambda self: len(self.living) < MANY)
    @step(target=contexts, body=CREATIONS)
    def create(self, body: Json) -> Any:
        """A context, or the one that has its external id."""
        body = {"name": None, "metadata": {}, "policy": {}, "externalId": None, **body}
        body = self.ours(body)
        answer = self.api.post(CONTEXTS, json=body)
        if found := self.named(body["externalId"]):
            assert (answer.status_code, shown(answer)) == (200, found.json)
            return multiple()
        assert answer.status_code == 201
        return self.added(answer, {**body, "parentId": None, "forkVersion": None})

    @step(context=contexts, batch=BATCHES, times=TIMES, key=KEYS)
    def append(self, context: Context, batch: list[Json], times: Times, key: str | None) -> None:
        if not batch:
            return
        given = self.given(context, times)[: len(batch)]
        sent = [{**message, "createdAt": time} for message, time in zip(batch, given, strict=False)]
        sent += batch[len(sent) :]
        answer = self.post(f"{context.path}/messages", {"messages": sent}, key)
        if answer is None:
            return
        before = [message["createdAt"] for message in context.messages[-1:]]
        if [*before, *given] != sorted([*before, *given]):
            assert refusal(answer) == (400, "invalid_body")
            return
        stored = answer.json()["data"]
        for version, (message, new) in enumerate(zip(stored, sent, strict=True), context.latest + 1):
            made = {"id": message["id"], "contextId": context.id, "version": version}
            absent = {"tokenCount": len(new.get("content", "")), "createdAt": message["createdAt"]}
            assert message == {**NOTHING, **absent, **new, **made}
        assert answer.headers["etag"] == f'"{context.latest + len(stored)}"'
        context.messages += stored
        said_at = [message["createdAt"] for message in context.messages]
        assert said_at == sorted(said_at)
        self.look(context)

    @step(target=contexts, parent=contexts, place=PLACES, body=FORKS, key=FORK_KEYS, question=st.sampled_from(ASKED))
    def fork(self, parent: Context, place: Place, body: Json, key: str | None, question: Question) -> Any:
        """It shows what its parent shows at that version."""
        version = parent.near(place)
        body = self.ours(body if place == ("end", 0) else {**body, "version": version})
        answer = self.post(f"{parent.path}/forks", body, key, scope="forks")
        if answer is None:
            return multiple()
        moves, external_id = "moveExternalId" in body, body.get("externalId")
        if moves and not parent.shown["externalId"]:
            assert refusal(answer) == (409, "external_id_missing")
            return multiple()
        if self.named(external_id):
            assert refusal(answer) == (409, "external_id_taken")
            return multiple()
        assert answer.status_code == 201
        members = {
            "name": body.get("name"),
            "externalId": parent.shown["externalId"] if moves else external_id,
            "metadata": body.get("metadata", parent.shown["metadata"]),
            "policy": body.get("policy", parent.shown["policy"]),
            "parentId": parent.id,
            "forkVersion": version,
        }
        made = [made for made in parent.compactions if made["madeAtVersion"] <= version]
        context = self.added(answer, members, parent.messages[:version], made, (*parent.parents, parent))
        if moves:
            parent.shown["externalId"] = None
        assert self.window(context, question) == self.window(parent, question, (("start", version), None))
        self.look(parent)
        return context

    @step(
        context=contexts,
        place=PLACES,
        body=COMPACTIONS,
        key=KEYS,
        near=st.sampled_from([True, True, False]),
        ahead=st.sampled_from([None, None, 0, 1]),
    )
    def compact(
        self, context: Context, place: Place, body: Json, key: str | None, *, near: bool, ahead: int | None = None
    ) -> None:
        """Up to some version, or the nearest that can be reached; refused for who expects a number that is ahead."""
        history, through = context.history(context.latest), context.near(place)
        nearest = definition.nearest(history, through)
        through = nearest[0] if near and nearest else through
        before = context.in_force(context.latest)
        based_on = before.number if before else 0
        expectation = {} if ahead is None else {"expectedNumber": based_on + ahead}
        sent = {**body, "throughVersion": through}
        answer = self.post(f"{context.path}/compactions", {**sent, **expectation}, key)
        if answer is None:
            return
        if ahead:
            assert refusal(answer) == (409, "compaction_conflict")
            assert answer.json()["currentNumber"] == based_on
            return
        if not definition.can_reach(history, through):
            assert refusal(answer) == (400, "invalid_body")
            assert [int(number) for number in re.findall("[0-9]+", answer.json()["errors"][0]["detail"])] == nearest
            return
        made = answer.json()["data"]
        assert made == {
            **sent,
            "number": len(context.compactions) + 1,
            "contextId": context.id,
            "madeAtVersion": context.latest,
            "basedOn": based_on,
            "metadata": {},
            "createdAt": made["createdAt"],
            "undoneAt": None,
        }
        context.compactions.append(made)
        self.look(context)

    @step(context=contexts, number=st.integers(1, 30))
    def undo(self, context: Context, number: int) -> None:
        number = number % max(len(context.compactions), 1) + 1
        answer = self.api.delete(f"{context.path}/compactions/{number}")
        if number > len(context.compactions):
            assert refusal(answer) == (404, "compaction_not_found")
            return
        made = context.compactions[number - 1]
        if made["contextId"] != context.id:
            assert refusal(answer) == (409, "compaction_not_owned")
            return
        undone = answer.json()["data"]
        assert undone["undoneAt"]
        assert undone == {**made, "undoneAt": made["undoneAt"] or undone["undoneAt"]}
        made.update(undone)
        self.look(context)

    @step(context=contexts, body=CHANGES)
    def change(self, context: Context, body: Json) -> None:
        body = self.ours(body)
        answer = self.api.patch(context.path, json=body)
        if self.named(body.get("externalId")) not in {None, context}:
            assert refusal(answer) == (409, "external_id_taken")
            return
        if "policy" in body:
            merged = {} if body["policy"] is None else {**context.shown["policy"], **body["policy"]}
            body["policy"] = {name: value for name, value in merged.items() if value is not None}
        context.shown |= body
        assert shown(answer) == context.json
        self.look(context)

    @precondition(lambda self: len(self.living) > FEW)
    @step(context=consumes(contexts))
    def delete(self, context: Context) -> None:
        """Its forks are what they were."""
        deleted = shown(self.api.delete(context.path))
        assert deleted == {**context.json, "deletedAt": deleted["deletedAt"]}
        self.living.remove(context)
        for part in ("", "/messages", "/compactions/1", "/forks", "/window?budget=1"):
            assert refusal(self.api.get(f"{context.path}{part}")) == (404, "context_not_found")
        assert refusal(self.api.post(f"{context.path}/forks", json={})) == (404, "context_not_found")
        self.look(context)

    # --- What is read

    @step(context=contexts, order=st.sampled_from(["asc", "desc"]), after=st.none() | PLACES, at=MOMENTS, limit=LIMITS)
    def read_pages(self, context: Context, order: str, after: Place | None, at: Moment, limit: int) -> None:
        moment, version = context.then(at)
        parameters: Json = {} if moment is None else {"at": moment}
        whole = context.messages[:version] if order == "asc" else context.messages[:version][::-1]
        if after is not None:
            parameters["cursor"] = start = context.near(after)
            whole = [each for each in whole if (each["version"] > start if order == "asc" else each["version"] < start)]
        assert list(self.pages(f"{context.path}/messages", limit, order=order, **parameters)) == whole

    @step(context=contexts, question=QUESTIONS, at=MOMENTS)
    def read_window(self, context: Context, question: Question, at: Moment) -> None:
        self.window(context, question, at)

    @step(context=contexts, question=QUESTIONS)
    def read_the_window_at_each_version(self, context: Context, question: Question) -> None:
        for version in range(context.latest + 1):
            self.window(context, question, (("start", version), None))

    @step(context=contexts, limit=LIMITS)
    def read_compactions(self, context: Context, limit: int) -> None:
        assert list(self.pages(f"{context.path}/compactions", limit)) == context.compactions[::-1]
        for number, made in enumerate(context.compactions, 1):
            assert self.get(f"{context.path}/compactions/{number}").json() == {"data": made}
        assert self.api.get(f"{context.path}/compactions/{len(context.compactions) + 1}").status_code == 404

    @step(context=contexts, order=st.sampled_from(["asc", "desc"]), limit=LIMITS)
    def list_contexts(self, context: Context, order: str, limit: int) -> None:
        """All, those that are no forks, and the forks of one, and of its parent, which may have been deleted."""
        ours = {"order": order, "metadata": f'{{"world": "{self.world}"}}'}
        assert list(self.pages(CONTEXTS, limit, **ours)) == self.sorted(self.living, order)
        for parent_id in {None, context.id, context.shown["parentId"]}:
            forks = self.sorted((each for each in self.living if each.shown["parentId"] == parent_id), order)
            assert list(self.pages(CONTEXTS, limit, **ours, parentId=parent_id or "none")) == forks
        forks = self.sorted((each for each in self.living if each.shown["parentId"] == context.id), order)
        assert list(self.pages(f"{context.path}/forks", limit, order=order)) == forks

    # --- How

    def ours(self, members: Json) -> Json:
        """The members, with names that are this example's own."""
        own = dict(members)
        if "metadata" in own:
            own["metadata"] = {"world": self.world, **own["metadata"]}
        if own.get("externalId"):
            own["externalId"] = f"{self.world} {own['externalId']}"
        return own

    def named(self, external_id: str | None) -> Context | None:
        named = (each for each in self.living if external_id and each.shown["externalId"] == external_id)
        return next(named, None)

    def added(self, answer: httpx.Response, members: Json, *lists: Any) -> Context:
        """The context that was made, which must have these members."""
        made = shown(answer)
        given = {"id": made["id"], "createdAt": made["createdAt"], "deletedAt": None}
        context = Context({**members, **given}, *lists)
        assert made == context.json
        assert answer.headers["etag"].startswith(f'"{context.latest}.')
        self.living.append(context)
        return context

    def given(self, context: Context, times: Times) -> list[str]:
        """The times of so many messages behind those of a context."""
        if times is None:
            return []
        count, distance, ahead = times
        start = max([message["createdAt"] for message in context.messages[-1:]], default="2020-02-02T02:02:02.000000Z")
        if ahead:
            start = max(start, text(datetime.now(UTC) + timedelta(seconds=30)))
        return [shifted(start, distance * number) for number in range(1, count + 1)]

    def post(self, path: str, body: Json, key: str | None, *, scope: str | None = None) -> httpx.Response | None:
        """The answer; None where the key was used: it gets the first answer again, whatever has come since.

        scope is where the key counts; path where absent. The key of an append to a parent counts for no fork.
        """
        use = (scope or path, f"{self.world}{key}")
        # Another expectation is the same request.
        sent = path, {name: value for name, value in body.items() if name != "expectedNumber"}
        headers = {"idempotency-key": use[1]} if key else {}
        if use in self.used:
            (first_path, first_body), first = self.used[use]
            again = self.api.post(first_path, json=first_body, headers=headers)
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["idempotent-replayed"] == "true"
            assert all(again.headers.get(name) == first.headers.get(name) for name in ("etag", "location"))
            if sent != (first_path, first_body):
                other = self.api.post(path, json=body if path == first_path else first_body, headers=headers)
                assert refusal(other) == (422, "idempotency_key_reused")
            return None
        answer = self.api.post(path, json=body, headers=headers)
        assert "idempotent-replayed" not in answer.headers
        if key and answer.status_code == 201:
            self.used[use] = sent, answer
        return answer

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        """What is read: under the same ETag it is the same."""
        answer = self.api.get(path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        if etag := answer.headers.get("etag"):
            assert self.tagged.setdefault((str(answer.url), etag), answer.content) == answer.content
        self.counts["reads"] += 1
        return answer

    def pages(self, path: str, limit: int, **parameters: Any) -> Iterator[Json]:
        """What a list has, page by page, until there are no more; of contexts without updatedAt."""
        more = True
        while more:
            page = self.get(path, limit=limit, **parameters).json()
            more = page["hasMore"]
            assert len(page["data"]) == limit if more else page["nextCursor"] is None
            parameters["cursor"] = page["nextCursor"]
            yield from ({name: value for name, value in each.items() if name != "updatedAt"} for each in page["data"])

    def sorted(self, contexts: Iterable[Context], order: str) -> list[Json]:
        found = sorted((each.json for each in contexts), key=lambda each: (each["createdAt"], each["id"]))
        return found if order == "asc" else found[::-1]

    def window(self, context: Context, question: Question, at: Moment = None) -> Json:
        """A window, which must be the one that the rule chooses from the list."""
        moment, version = context.then(at)
        path = f"{context.path}/window?{question.query}" + ("" if moment is None else f"&at={moment}")
        policy = question.policy(context.shown["policy"])
        if "budget" not in policy:
            assert self.api.get(path).status_code == 400
            return {}
        answer = self.get(path)
        window: Json = answer.json()
        assert re.fullmatch(rf'"{version}(\.[0-9]+000)?"', answer.headers["etag"])
        right = expected(context.history(version), policy, context.in_force(version))
        assert not difference(said(window), right)
        assert window["data"] == [context.as_shown(message) for message in window["data"]]
        return window

    def look(self, changed: Context) -> None:
        """At all of a context that was changed, and of its forks."""
        for context in self.living:
            if changed in (context, *context.parents):
                assert list(self.pages(f"{context.path}/messages", 1000)) == context.messages
                assert list(self.pages(f"{context.path}/compactions", 1000)) == context.compactions[::-1]
                self.window(context, Question({"budget": 1000}))


def shown(answer: httpx.Response) -> Json:
    """The context that an answer has, but for updatedAt."""
    return {name: value for name, value in answer.json()["data"].items() if name != "updatedAt"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_each_context_is_a_list_of_its_own(api: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    run_state_machine_as_test(
        lambda: Lineages(api, counts),  # type: ignore[arg-type] # a factory will do
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_PER_EXAMPLE,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if "LINEAGE_EXAMPLES" in os.environ:
        with capsys.disabled():
            sys.stdout.write("\n{histories:,} histories, {steps:,} steps, {reads:,} reads\n".format_map(counts))
