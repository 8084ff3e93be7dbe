"""Each call as a request, how its answer is read, and when it is sent again. Nothing here does I/O."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from types import MappingProxyType
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast
from uuid import uuid4

from kata_context import types
from kata_context.errors import ConnectionFailed, KataError, NotModified, ProblemError, Unavailable

T = TypeVar("T")

CONTEXTS = "/api/v1/contexts"

# Seconds: the first pause, the longest, and the longest Retry-After that is waited for.
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_RETRY_AFTER = 0.5, 8.0, 60.0

# The service cannot serve just now, or what stands before it has no answer of it. 409 and 412 are final.
AGAIN = {502, 503, 504}

HEADERS = {"idempotency_key": "Idempotency-Key", "if_match": "If-Match", "if_none_match": "If-None-Match"}


class Page(TypedDict, Generic[T]):
    """A page of a list."""

    data: list[T]
    nextCursor: str | int | None
    hasMore: bool


@dataclass(frozen=True)
class Request(Generic[T]):
    """What is sent, and how its answer is read; `key` is the idempotency key of the whole call."""

    method: str
    path: str
    read: Callable[[Any, str], T]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    expects: Sequence[int]
    key: str | None
    deletes: bool = False

    def at(self, cursor: str | int | None) -> "Request[T]":
        """The same for the page at cursor. Raises ProblemError where that is this one, lest a list has no end."""
        if self.query.get("cursor") == str(cursor):
            raise ProblemError(200, {"detail": "the list does not go on: its next page is the one before"})
        return replace(self, query={**self.query, "cursor": str(cursor)})

    def result(self, status: int, headers: Mapping[str, str], text: bytes | bytearray, attempts: int) -> T:
        """What the attempts-th answer says. Raises NotModified and ProblemError."""
        etag = headers.get("etag", "").removeprefix("W/")  # with which a proxy that packs answers marks them
        retry_after = headers.get("retry-after", "")
        if status == 304:
            raise NotModified(etag)
        try:
            content = json.loads(text)
            if status in self.expects:
                return self.read(content, etag)
        except (ValueError, TypeError, LookupError, RecursionError):
            content = None  # of something in between: no JSON, or none that the service answers
        problem = content if isinstance(content, dict) else {}
        code = str(problem.get("code"))
        if self.deletes and attempts > 1 and code == "context_not_found":
            return cast("T", None)  # one before it did it, and had no answer
        kind = ProblemError.by_code.get(code, Unavailable if status in AGAIN else ProblemError)
        seconds = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
        raise kind(status, problem, seconds, attempts)


def pause(error: KataError, attempts: int) -> float | None:
    """Seconds until a request is sent again whose attempts-th outcome was an error; None where it is final."""
    spread = random.uniform(0.75, 1)  # noqa: S311 - keeps clients apart, hides nothing
    if isinstance(error, ProblemError):
        if error.status not in AGAIN or (error.retry_after or 0) > LONGEST_RETRY_AFTER:
            return None
        if error.retry_after is not None:
            return error.retry_after / spread
    elif not isinstance(error, ConnectionFailed):
        return None
    return min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 9), LONGEST_PAUSE) * spread


def path(context_id: str, *rest: object) -> str:
    """Below a context. Raises ValueError for what is no id, and might name another path."""
    if not re.fullmatch(r"[\w-]+", str(context_id)):
        raise ValueError(f"not the id of a context: {context_id!r}")
    return "/".join((CONTEXTS, *map(str, (context_id, *rest))))


def request(
    method: str,
    where: str,
    read: Callable[[Any, str], T],
    arguments: Mapping[str, Any],
    *,
    texts: Mapping[str, str] = MappingProxyType({}),
    expects: Sequence[int] = (200, 201),
) -> Request[T]:
    """A call with its keyword arguments: headers, and the query of a GET or the body of another, plus texts.

    Raises ValueError for what JSON or a header has not, such as NaN or a line break, and TypeError for None where it is
    no null: a filter or a condition that is None would be none at all.
    """
    for name, value in arguments.items():
        if value is None and (method == "GET" or name in HEADERS):
            raise TypeError(f"{name} is None; leave it out")
    headers = {HEADERS[name]: str(value) for name, value in arguments.items() if name in HEADERS}
    for name, value in headers.items():
        if not re.fullmatch("[!-~]+( +[!-~]+)*", value):
            raise ValueError(f"{name} takes visible ASCII characters")
    if method == "POST":
        headers.setdefault("Idempotency-Key", str(uuid4()))
    members = {
        re.sub("_(.)", lambda found: found[1].upper(), name): value
        for name, value in arguments.items()
        if name not in HEADERS
    }
    query, body = dict[str, str](), None
    if method == "GET":
        query = {name: it if isinstance(it, str) else dump(it) for name, it in members.items()}
    elif method != "DELETE":
        headers["Content-Type"] = "application/json"
        written = {**{name: dump(value) for name, value in members.items()}, **texts}
        body = "{{{}}}".format(",".join(f'"{name}":{text}' for name, text in written.items())).encode()
    return Request(method, where, read, query, headers, body, expects, headers.get("Idempotency-Key"))


def dump(value: Any) -> str:
    """JSON. Raises ValueError for what it has not, such as NaN, and for what is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


# --- One function for each endpoint. Arguments are the API's own, in snake_case; types.py says what each means.


def create_context(**arguments: Unpack[types.CreateContextArguments]) -> Request[types.TaggedContext]:
    """Makes a context, or gets the one that has this external_id."""
    return request("POST", CONTEXTS, tagged_data, arguments)


def get_context(context_id: str, **arguments: Unpack[types.GetContextArguments]) -> Request[types.TaggedContext]:
    """Reads a context."""
    return request("GET", path(context_id), tagged_data, arguments)


def update_context(context_id: str, **arguments: Unpack[types.UpdateContextArguments]) -> Request[types.TaggedContext]:
    """Changes the members that are given; None clears one. metadata and policy are merge patches."""
    return request("PATCH", path(context_id), tagged_data, arguments)


def delete_context(context_id: str, **arguments: Unpack[types.DeleteContextArguments]) -> Request[types.Context | None]:
    """Deletes a context and answers what it was; None where a request without an answer had done so before."""
    return replace(request("DELETE", path(context_id), data, arguments), deletes=True)


def contexts(**arguments: Unpack[types.ListContextsArguments]) -> Request[Page[types.Context]]:
    """Lists contexts, newest first, those that all filters fit. limit is of a page."""
    return request("GET", CONTEXTS, page, arguments)


def messages(context_id: str, **arguments: Unpack[types.ListMessagesArguments]) -> Request[Page[types.Message]]:
    """Lists messages, oldest first. limit is of a page."""
    return request("GET", path(context_id, "messages"), page, arguments)


def window(context_id: str, **arguments: Unpack[types.GetWindowArguments]) -> Request[types.Window]:
    """Chooses what to send to a model next: `data`, in the shape of format."""
    return request("GET", path(context_id, "window"), tagged, arguments)


def compact(
    context_id: str, through_version: int, summary: str, **arguments: Unpack[types.MakeCompactionArguments]
) -> Request[types.Compaction]:
    """Puts a summary in the place of all messages up to a version, in windows."""
    body = {"through_version": through_version, "summary": summary, **arguments}
    return request("POST", path(context_id, "compactions"), data, body)


def compactions(
    context_id: str, **arguments: Unpack[types.ListCompactionsArguments]
) -> Request[Page[types.Compaction]]:
    """Lists compactions, newest first. limit is of a page."""
    return request("GET", path(context_id, "compactions"), page, arguments)


def get_compaction(context_id: str, number: int) -> Request[types.Compaction]:
    """Reads a compaction."""
    return request("GET", path(context_id, "compactions", index(number)), data, {})


def undo_compaction(context_id: str, number: int) -> Request[types.Compaction]:
    """Makes windows as if it had never been."""
    return request("DELETE", path(context_id, "compactions", index(number)), data, {})


def fork(context_id: str, **arguments: Unpack[types.ForkContextArguments]) -> Request[types.TaggedContext]:
    """Makes a context that shares this one's history up to a version."""
    return request("POST", path(context_id, "forks"), tagged_data, arguments)


def forks(context_id: str, **arguments: Unpack[types.ListForksArguments]) -> Request[Page[types.Context]]:
    """Lists the forks of a context, newest first. limit is of a page."""
    return request("GET", path(context_id, "forks"), page, arguments)


def health(**arguments: Unpack[types.GetHealthArguments]) -> Request[types.Health]:
    """Says whether the service can serve: also what it says with 503, which is not sent again."""
    return request("GET", "/api/health", whole, arguments, expects=(200, 503))


# --- How answers are read. What lacks the members is no answer of the service.


def data(content: Any, _: str) -> Any:
    """What most answers have."""
    return _need(content["data"], dict)


def listed(content: Any, _: str) -> Any:
    """What an append has."""
    return _need(content["data"], list)


def tagged_data(content: Any, etag: str) -> Any:
    """A context with its ETag."""
    return {**content["data"], "etag": etag}


def tagged(content: Any, etag: str) -> Any:
    """A window with its ETag."""
    return {**content, "usedTokens": content["usedTokens"], "etag": etag}


def page(content: Any, _: str) -> Any:
    """A page of a list."""
    if content["hasMore"]:
        _need(content["nextCursor"], str, int)
    return {**content, "data": _need(content["data"], list)}


def whole(content: Any, _: str) -> Any:
    """Health, which has no data."""
    return {**content, "status": content["status"]}


def _need(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError
    return value
