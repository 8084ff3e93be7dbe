"""Writes an answer: JSON of rows that are JSON text already, pages within bytes, problem documents, ETags."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lib import errors
from lib.errors import Problem
from lib.models import MAX_BODY_BYTES, MAX_PAGE_BYTES


class HasJson(Protocol):
    """A row that carries its JSON text."""

    @property
    def json(self) -> str:
        """The text."""


@dataclass(slots=True)
class Response:
    """An answer: its status, its JSON text and headers beyond those that every answer has."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None


def check_answer(size: int, remedy: str) -> None:
    """Raises PayloadTooLarge, with what the client can do, where an answer of size bytes could not be carried."""
    if size > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge(
            f"the answer would be larger than {MAX_BODY_BYTES:,} bytes, which is what can be carried: {remedy}"
        )


def one(row: HasJson, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`{"data": row}`."""
    return Response(status, b'{"data":%b}' % row.json.encode(), headers or {})


def many(
    rows: Sequence[HasJson],
    members: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """`{"data": [rows], …members}`."""
    return listed([row.json for row in rows], members, status=status, headers=headers)


def listed(
    texts: Sequence[str],
    members: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """`{"data": [texts], …members}`, of texts that are JSON."""
    # One join, because the texts may be megabytes.
    return shown("".join(["[", ",".join(texts), "]"]), members, status=status, headers=headers)


def shown(
    data: str,
    members: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """`{"data": data, …members}`, of data that is JSON text."""
    tail = f",{json.dumps(members, ensure_ascii=False)[1:]}" if members else "}"
    return Response(status, f'{{"data":{data}{tail}'.encode(), headers or {})


def figures(members: Mapping[str, object], *, headers: dict[str, str] | None = None) -> Response:
    """`{…members}`, without data."""
    return Response(200, json.dumps(members, ensure_ascii=False).encode(), headers or {})


def etag(version: int | None) -> str:
    """The ETag of what shows a context as it is at version."""
    return f'"{version}"'


def replay(replayed: bool) -> dict[str, str]:
    """The header of an answer that an earlier request with the same Idempotency-Key had got."""
    return {"idempotent-replayed": "true"} if replayed else {}


def page[Row: HasJson](
    rows: Sequence[Row],
    limit: int,
    cursor: Callable[[Row], object],
    headers: dict[str, str] | None = None,
    *,
    stopped_at: Row | None = None,
) -> Response:
    """A page of the first limit rows, or of as many as MAX_PAGE_BYTES hold; rows beyond say that there is more.

    cursor tells from a row where the page after it starts: the last one shown, or else stopped_at, where a search
    ended before there was nothing left to look at.
    """
    size = 0
    shown: list[Row] = []
    for row in rows[:limit]:
        size += len(row.json.encode()) + 1
        if shown and size > MAX_PAGE_BYTES:
            break
        shown.append(row)
    last = shown[-1] if len(shown) < len(rows) else stopped_at
    members = {"nextCursor": None if last is None else cursor(last), "hasMore": last is not None}
    return many(shown, members, headers=headers)


def problem_document(problem: Problem, request_id: str) -> Response:
    """The problem document (RFC 9457) of a request."""
    members: dict[str, object] = {
        "type": f"urn:kata-context:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": request_id,
        **problem.members,
    }
    if problem.places:
        members["errors"] = [{"pointer": place.pointer, "detail": place.detail} for place in problem.places]
    headers = {**problem.headers, "content-type": "application/problem+json"}
    return Response(problem.status, json.dumps(members).encode(), headers, problem.code)
