"""Reads a request: what it hands out has been checked.

Must never trust `?id=…` in the query: Vercel merges the path's id into it, and a client's own can override that. Must
never hold the event loop: a large body is read in a thread.
"""

import asyncio
import hmac
import re
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from lib import errors, jsontext
from lib.errors import Place, Problem
from lib.models import MAX_BODY_BYTES, UUID_TEXT, Idempotency
from lib.queries import NoQuery

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# A body over the limit is read so that the client comes to read the 413, but not without end.
MAX_DRAINED_BYTES = 4 * MAX_BODY_BYTES

# Characters of a body above which a thread reads it: about 1 ms of work.
INLINE = 50_000

# What pydantic says in terms of Python, by its type of error.
DETAILS = {
    "missing": "is required",
    "extra_forbidden": "is unknown here",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_JSON_TYPE = re.compile(r'application/(merge-patch\+)?json\s*(;\s*(charset="?utf-8"?\s*)?)*', re.ASCII | re.IGNORECASE)

# RFC 9110, 8.8.3, and a list of them.
_ETAG = re.compile(r'(W/)?("[!#-~\x80-\xff]*")')
_ETAGS = re.compile(rf"\s*(?:,\s*)*{_ETAG.pattern}\s*(?:,\s*(?:{_ETAG.pattern}\s*)?)*")
_VERSION_ETAG = re.compile(r'"(0|[1-9][0-9]{0,17})(?:\.[0-9]+)?"', re.ASCII)


class Disconnected(Exception):
    """the client went away before its request was complete"""


@dataclass(frozen=True, slots=True)
class Body[M: BaseModel]:
    """A request's body: checked as a model, and as the client's own text."""

    model: M
    text: str


class Request:
    """A request as endpoints read it."""

    def __init__(self, scope: Scope, receive: Receive, route: str | None = None) -> None:
        """route is the pattern that the path was found by, such as /api/v1/contexts/{id}."""
        self._scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.route = route
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
    def context_id(self) -> UUID:
        """The id in the path. Raises InvalidId."""
        text = self._segment("{id}")
        if not UUID_TEXT.fullmatch(text):
            raise errors.InvalidId
        return UUID(text)

    @property
    def number(self) -> int:
        """The number in the path, from 1 on. Raises InvalidId."""
        text = self._segment("{number}")
        if not _NUMBER.fullmatch(text):
            raise errors.InvalidId("the number in the path is none of 1, 2, 3 …")
        return int(text)

    def _segment(self, name: str) -> str:
        """What stands in the path where the route has name."""
        places = (self.route or "").split("/")
        # raw_path keeps %2F apart from /.
        segments: list[bytes] = self._scope["raw_path"].partition(b"?")[0].split(b"/", len(places))
        return unquote_to_bytes(segments[places.index(name)]).decode("latin-1")

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
        # What Vercel merges into it.
        pairs = [(name, value) for name, value in pairs if f"{{{name}}}" not in (self.route or "")]
        values = dict(pairs)
        if len(values) < len(pairs):
            repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
            raise errors.InvalidParameter(
                places=[Place(jsontext.pointer((name,)), "given more than once") for name in repeated]
            )
        return _validated(model, values, errors.InvalidParameter)

    async def idempotency(
        self, payload: str, *members: str, without: Sequence[str] = (), place: str = ""
    ) -> Idempotency | None:
        """The client's key for a JSON text, or for these members of it, or for all but those without; if it sent one.

        place is what else it stands for, of a key that is not of one context. Raises InvalidHeader.
        """
        key = self.header("idempotency-key")
        if key is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise errors.InvalidHeader("Idempotency-Key must be 1 to 255 visible ASCII characters")
        return Idempotency(
            key,
            await off_the_loop(
                len(payload), lambda: jsontext.fingerprint(payload, members, without=without, place=place)
            ),
        )

    @property
    def if_match(self) -> list[str] | None:
        """The ETags that If-Match admits; None where any will do. A weak one never matches (RFC 9110).

        What is no list of ETags admits none: to find some in it might change what must not be changed.
        """
        text = self.header("if-match")
        if text is None or text.strip() == "*":
            return None
        return [tag for weak, tag in _etags(text) if not weak]

    @property
    def if_match_versions(self) -> list[int] | None:
        """The latest versions that If-Match admits; None where any will do."""
        tags = self.if_match
        if tags is None:
            return None
        return [int(version[1]) for version in map(_VERSION_ETAG.fullmatch, tags) if version]

    def has_seen(self, etag: str) -> bool:
        """Whether If-None-Match names etag; weak or strong is the same here (RFC 9110)."""
        text = self.header("if-none-match") or ""
        return text.strip() == "*" or etag in (tag for _, tag in _etags(text))

    def authenticate(self, keys: Sequence[str]) -> None:
        """Raises Unauthorized where there are keys and the request carries none of them."""
        scheme, _, key = (self.header("authorization") or "").partition(" ")
        given = key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        # All of them, always: the time must not tell which one was nearly right. Bytes of the environment that are not
        # UTF-8 reach Python as surrogates.
        matches = [hmac.compare_digest(given, known.encode(errors="surrogateescape")) for known in keys]
        if keys and not any(matches):
            raise errors.Unauthorized

    async def json[M: BaseModel](
        self, model: type[M] | Callable[[Any], type[M]], *, max_bytes: int = MAX_BODY_BYTES
    ) -> Body[M]:
        """The body as a model, or as the one that its value calls for; an absent one is an empty object.

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

        def read() -> M:
            value = jsontext.parse(text)
            return _validated(model if isinstance(model, type) else model(value), value, errors.InvalidBody)

        return Body(await off_the_loop(len(text), read), text)

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


def _etags(text: str) -> list[tuple[str, str]]:
    """Each ETag of a list with W/ before it or nothing; none where it is no list of them."""
    return _ETAG.findall(text) if _ETAGS.fullmatch(text) else []


@cache
def _reader() -> Executor:
    """One thread for all large bodies, which so wait for each other, and not all other requests for them.

    More threads would share one interpreter, of which the event loop would get a small part.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most processes never need it

    return ThreadPoolExecutor(1, "bodies")


async def off_the_loop[T](size: int, work: Callable[[], T]) -> T:
    """What work makes of a text of size characters, in a thread where that takes long."""
    return await asyncio.get_running_loop().run_in_executor(_reader(), work) if size > INLINE else work()


def _validated[M: BaseModel](model: type[M], value: object, error: type[Problem]) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_context=False, include_input=False)
        raise error(
            places=[
                Place(_pointer(value, problem["loc"]), DETAILS.get(problem["type"]) or _sentence(problem["msg"]))
                for problem in found[: errors.MAX_PLACES]
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
    return jsontext.pointer(path)
