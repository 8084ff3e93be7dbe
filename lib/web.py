"""ASGI for the endpoint files: requests checked, answers written, problems rendered, one log line per request.

Must never let an exception through (the runtime would answer in plain text), write content to the log, or trust
`?id=…` in the query: Vercel merges the path's id into it, and a client's own can override that.
"""

import contextlib
import hmac
import json
import re
import socket
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from lib import config, db, errors, jsontext
from lib.errors import Place, Problem
from lib.models import Idempotency, NoQuery

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]
type Handler = Callable[[Request], Awaitable[Response]]

# Vercel carries bodies of 4.5 MB each way; a page leaves room for what surrounds its rows.
MAX_REQUEST_BYTES = 4_500_000
MAX_ANSWER_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_400_000

# A body over the limit is read so that the client comes to read the 413, but not without end.
MAX_DRAINED_BYTES = 4 * MAX_REQUEST_BYTES

# What pydantic says in terms of Python, by its type of error.
DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is unknown here",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
}

# Characters: a client's keys can be megabytes long, and stand in pointers.
MAX_POINTER = 1_000

_CONTEXT_PATH = re.compile(r"(/api/v1/contexts/)([^/]+)")
# UUID() alone would also take braces, urn: and hyphens anywhere.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_JSON_TYPE = re.compile(r'application/(merge-patch\+)?json\s*(;\s*charset="?utf-8"?\s*)?', re.ASCII | re.IGNORECASE)


class Disconnected(Exception):
    """the client went away before its request was complete"""


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


@dataclass(frozen=True, slots=True)
class Body[M: BaseModel]:
    """A request's body: checked as a model, as the client's own text, and as that text's value."""

    model: M
    text: str
    value: Any


class Request:
    """A request as endpoints read it: what it hands out has been checked."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        # raw_path keeps %2F apart from /.
        self._path: str = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        sent = self.header("x-request-id") or ""
        self.id = sent if _REQUEST_ID.fullmatch(sent) else uuid4().hex

    @cached_property
    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in (
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._scope["headers"]
        ):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    def header(self, name: str) -> str | None:
        """The header's value; name in lower case. Of several they are one list, as RFC 9110 has it."""
        return self._headers.get(name)

    @property
    def route(self) -> str:
        """The path without its id, for the log."""
        return _CONTEXT_PATH.sub(r"\1{id}", self._path)

    @property
    def context_id(self) -> UUID:
        """The id in the path. Raises InvalidId."""
        found = _CONTEXT_PATH.match(self._path)
        text = unquote_to_bytes(found[2]).decode("latin-1") if found else ""
        if not _UUID.fullmatch(text):
            raise errors.InvalidId
        return UUID(text)

    def no_query(self) -> None:
        """Raises InvalidParameter for any parameter at all: one that is ignored would mislead its client."""
        self.query(NoQuery)

    def query[Query: BaseModel](self, model: type[Query]) -> Query:
        """The parameters, as model. Raises InvalidParameter."""
        text = self._scope["query_string"].decode("latin-1")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise errors.InvalidParameter("the query string is not UTF-8, or has more than 100 parameters") from None
        if _CONTEXT_PATH.match(self._path):
            pairs = [(name, value) for name, value in pairs if name != "id"]
        repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        if repeated:
            raise errors.InvalidParameter(
                places=[
                    Place(jsontext.pointer((name,)), "given more than once") for name in repeated[: jsontext.MAX_PLACES]
                ]
            )
        return _validated(model, dict(pairs), errors.InvalidParameter)

    def idempotency(self, payload: object) -> Idempotency | None:
        """The client's key for payload, where it sent one. Raises InvalidHeader."""
        key = self.header("idempotency-key")
        if key is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise errors.InvalidHeader("Idempotency-Key must be 1 to 255 visible ASCII characters")
        return Idempotency(key, jsontext.fingerprint(payload))

    @property
    def if_match(self) -> list[str] | None:
        """The ETags that If-Match admits; None where any will do. A weak one never matches (RFC 9110)."""
        text = self.header("if-match")
        if text is None or text.strip() == "*":
            return None
        return [tag for weak, tag in re.findall(r'(W/)?("[^"]*")', text) if not weak]

    @property
    def if_match_versions(self) -> list[int] | None:
        """The latest versions that If-Match admits; None where any will do."""
        if self.if_match is None:
            return None
        versions = [re.fullmatch(r'"([0-9]{1,18})(\.[0-9]+)?"', tag) for tag in self.if_match]
        return [int(version[1]) for version in versions if version]

    def has_seen(self, etag: str) -> bool:
        """Whether If-None-Match names etag; weak or strong is the same here (RFC 9110)."""
        text = self.header("if-none-match") or ""
        return text.strip() == "*" or etag in re.findall(r'"[^"]*"', text)

    def authenticate(self, keys: Sequence[str]) -> None:
        """Raises Unauthorized where there are keys and the request carries none of them."""
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        given = key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        # All of them, always: the time must not tell which one was nearly right.
        matches = [hmac.compare_digest(given, known.encode()) for known in keys]
        if keys and not any(matches):
            raise errors.Unauthorized

    async def json[M: BaseModel](self, model: type[M], *, max_bytes: int = MAX_REQUEST_BYTES) -> Body[M]:
        """The body; an absent one is an empty object.

        Raises PayloadTooLarge above max_bytes, UnsupportedMediaType, MalformedJson, InvalidBody.
        """
        body = await self._body(max_bytes)
        if body and (
            not _JSON_TYPE.fullmatch(self.header("content-type") or "")
            or (self.header("content-encoding") or "identity").lower() != "identity"
        ):
            raise errors.UnsupportedMediaType
        try:
            text = body.decode() or "{}"
        except UnicodeDecodeError as error:
            raise errors.MalformedJson(f"the body is not UTF-8: byte {error.start}") from None
        value = jsontext.parse(text)
        return Body(_validated(model, value, errors.InvalidBody), text, value)

    async def _body(self, max_bytes: int) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        while more and size <= MAX_DRAINED_BYTES:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size <= max_bytes:
                chunks.append(chunk)
            more = message.get("more_body", False)
        if size > max_bytes:
            raise errors.PayloadTooLarge(f"the body is larger than {max_bytes:,} bytes")
        return b"".join(chunks)


def _validated[M: BaseModel](model: type[M], value: object, error: type[Problem]) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_context=False, include_input=False)
        raise error(
            places=[
                Place(_pointer(value, problem["loc"]), DETAILS.get(problem["type"]) or _sentence(problem["msg"]))
                for problem in found[: jsontext.MAX_PLACES]
            ]
        ) from None


def _sentence(text: str) -> str:
    return text[0].lower() + text[1:]


def _pointer(value: Any, location: tuple[int | str, ...]) -> str:
    """The JSON Pointer of a pydantic location, without the steps that only name a branch of a union."""
    path: list[int | str] = []
    for step in location:
        if isinstance(value, dict) and isinstance(step, str):
            # pydantic names a member that is absent as Python does.
            path.append(step if step in value else to_camel(step))
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            path.append(step)
            value = value[step]
    return jsontext.pointer(tuple(path))


# --- Answers


def check_answer(size: int, remedy: str) -> None:
    """Raises PayloadTooLarge, with what the client can do, where an answer of size bytes could not be carried."""
    if size > MAX_ANSWER_BYTES:
        raise errors.PayloadTooLarge(
            f"the answer would be larger than {MAX_ANSWER_BYTES:,} bytes, which is what can be carried: {remedy}"
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
    tail = "".join([f',"{name}":{json.dumps(value)}' for name, value in (members or {}).items()])
    # One join, because the rows may be megabytes.
    body = "".join(['{"data":[', ",".join([row.json for row in rows]), "]", tail, "}"])
    return Response(status, body.encode(), headers or {})


def etag(version: int | None) -> str:
    """The ETag of what shows a context as it is at version."""
    return f'"{version}"'


def replay(replayed: bool) -> dict[str, str]:
    """The header of an answer that an earlier request with the same Idempotency-Key had got."""
    return {"idempotent-replayed": "true"} if replayed else {}


def page[Row: HasJson](
    rows: Sequence[Row], limit: int, cursor: Callable[[Row], object], headers: dict[str, str] | None = None
) -> Response:
    """A page of the first limit rows, or of as many as MAX_PAGE_BYTES hold; rows beyond say that there is more.

    cursor tells from the last row of a page where the next one starts.
    """
    size = 0
    shown: list[Row] = []
    for row in rows[:limit]:
        size += len(row.json.encode()) + 1
        if shown and size > MAX_PAGE_BYTES:
            break
        shown.append(row)
    has_more = len(shown) < len(rows)
    next_cursor = cursor(shown[-1]) if has_more else None
    return many(shown, {"nextCursor": next_cursor, "hasMore": has_more}, headers=headers)


def _problem(problem: Problem, request: Request) -> Response:
    members: dict[str, object] = {
        "type": f"urn:kata-context:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": request.id,
        **problem.members,
    }
    if problem.places:
        members["errors"] = [
            {"pointer": place.pointer[:MAX_POINTER], "detail": place.detail} for place in problem.places
        ]
    headers = {**problem.headers, "content-type": "application/problem+json"}
    return Response(problem.status, json.dumps(members).encode(), headers, problem.code)


# --- The application


def endpoint(*, public: bool = False, **handlers: Handler) -> App:
    """The ASGI application of one endpoint file: a handler per method; without any, a path that does not exist.

    HEAD is answered as GET without the body, OPTIONS with the methods, any other method with 405. Handlers run only
    for requests that carry a key, unless the endpoint is public. A read whose ETag the client has seen becomes a 304.
    """
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]
    allow = ", ".join([*handlers, "OPTIONS"])

    async def answer(request: Request) -> Response:
        if not handlers:
            raise errors.RouteNotFound
        if request.method == "OPTIONS":
            return Response(204, headers={"allow": allow})
        if request.method not in handlers:
            raise errors.MethodNotAllowed(headers={"allow": allow})
        if not public:
            request.authenticate(config.settings().api_keys)
        return _unless_seen(request, await handlers[request.method](request))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await _serve(answer, Request(scope, receive), send)

    return app


def _unless_seen(request: Request, response: Response) -> Response:
    """The answer to a read, or 304 where the client has it already."""
    etag = response.headers.get("etag")
    if etag and request.method in {"GET", "HEAD"} and request.has_seen(etag):
        return Response(304, headers={"etag": etag})
    return response


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    _send_without_delay()
    with contextlib.suppress(errors.NotConfigured):  # every request will say so
        for message in config.settings().warnings:
            _write({"level": "warning", "message": message})
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await db.close()
    await send({"type": "lifespan.shutdown.complete"})


def _send_without_delay() -> None:
    """Turns Nagle's algorithm off on the process's listening sockets, and so on what they accept.

    vercel-runtime 0.23.2 leaves it on, and an answer in two pieces then waits 44 ms for the client's ACK (measured).
    """
    # Linux only, as Vercel is; elsewhere there is no such folder.
    for descriptor in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # most are no sockets
            sock = socket.socket(fileno=int(descriptor.name))
            try:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            finally:
                sock.detach()  # not ours to close


async def _serve(answer: Handler, request: Request, send: Send) -> None:
    started = time.perf_counter()
    watch = db.Stopwatch()
    db.stopwatch.set(watch)
    failure: str | None = None
    try:
        response = await answer(request)
    except Disconnected:
        return
    except Problem as problem:
        response = _problem(problem, request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a problem document
        failure = _trace(error)
        response = _problem(errors.InternalError(), request)

    milliseconds = (time.perf_counter() - started) * 1000
    # Before the answer: behind it the platform may freeze the process at any time.
    _log(request, response, milliseconds, watch.ms, failure)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(response.body)),
        "cache-control": "no-store",
        "x-request-id": request.id,
        "server-timing": f"db;dur={watch.ms:.1f}, total;dur={milliseconds:.1f}",
        **{name.lower(): value for name, value in response.headers.items()},
    }
    if response.status in {204, 304}:
        del headers["content-type"], headers["content-length"]
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})


def _trace(error: BaseException) -> str:
    """Where error was raised. Its message stays out: it may quote content."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__qualname__} at {places}"


def _log(
    request: Request, response: Response, milliseconds: float, db_milliseconds: float, failure: str | None
) -> None:
    line = {
        "level": "error" if response.status >= 500 else "info",
        "requestId": request.id,
        "method": request.method,
        "route": request.route,
        "status": response.status,
        "ms": round(milliseconds, 2),
        "dbMs": round(db_milliseconds, 2),
        "code": response.code,
    }
    if failure:
        line["failure"] = failure
    _write(line)


def _write(line: Mapping[str, object]) -> None:
    # stdout is where Vercel takes the log from.
    print(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}), flush=True)  # noqa: T201
