"""How a context follows the messages of a graph's state. Nothing here does I/O but `send` and `asend`."""

from collections.abc import Generator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

from langchain_core.messages import BaseMessage

from kata_context import _requests as requests
from kata_context import types
from kata_context._appends import parts
from kata_context._client import AsyncClient, Client
from kata_context._requests import Request
from kata_context.errors import (
    ContextNotFound,
    ExternalIdMissing,
    ExternalIdTaken,
    ForkTooDeep,
    IdempotencyKeyReused,
    KataError,
    VersionConflict,
)
from kata_context.langchain._messages import digest, from_kata, to_kata

T = TypeVar("T")
Steps = Generator[Request[Any], Any, T]  # sends requests, gets their answers or errors, and returns a T

# Of a state that was never followed, so many stored messages more than it might have are searched for its own.
REACH = 200

# How often a session is looked up again that others have moved meanwhile.
TRIES = 10


class Known(NamedTuple):
    """A stored message, as it is compared with one of the state."""

    id: str | None
    digest: str
    version: int
    mine: bool = True
    """Whether this state has or had it; else somebody else wrote it."""


class Followed(TypedDict):
    """What is stored of a state, which is kept in the state: a state of the past says what was stored then."""

    context: str
    latest: int
    writer: str
    stored: list[tuple[str | None, str, int]]


def _compare(
    known: Sequence[Known], messages: Sequence[BaseMessage], start: int | None
) -> tuple[list[Known], int | None]:
    """Those that are stored of messages, in order, and the version to fork at where the history is another one now.

    start is the version before the first that the state had. Where it begins with another message now, which is no
    later one of these, it begins anew there. Those that it has dropped from its beginning stay in the history.
    """
    ids = {message.id for message in messages}
    first = next((place for place, each in enumerate(known) if each.id in ids), None)
    if first is None or (start is not None and known[first].id != messages[0].id):
        return [], start
    same: list[Known] = []
    for each in known[first:]:
        here = messages[len(same)] if len(same) < len(messages) else None
        if here and here.id == each.id and digest(here) == each.digest:
            same.append(each)
        elif each.mine or each.id in ids:
            return same, each.version - 1
    return same, None


def _stored_of(followed: Followed | None, messages: Sequence[BaseMessage]) -> list[Known] | None:
    """What is stored of messages, if they begin with all that was stored."""
    if not followed:
        return None
    known = [Known(*each) for each in followed["stored"]]
    now = [(message.id, digest(message)) for message in messages[: len(known)]]
    return known if [each[:2] for each in known] == now else None


def follow(
    session_id: str, policy: types.Policy, messages: Sequence[BaseMessage], followed: Followed | None, *, anew: bool
) -> Steps[Followed]:
    """Makes the session's context one that ends with messages, and whatever others have written.

    Unless anew, a run goes on in the context where it is, as long as only its own messages are new there: then this
    is one request, or none.
    """
    writer = followed["writer"] if followed else (messages[0].id or "") if messages else ""
    same = _stored_of(followed, messages)
    if followed and same is not None and not anew:
        try:
            return (yield from _extend(followed["context"], followed["latest"], writer, same, messages, expected=True))
        except (VersionConflict, ContextNotFound, IdempotencyKeyReused):
            pass
    whole = False
    for _ in range(TRIES):
        context: Mapping[str, Any] = yield requests.create_context(external_id=session_id, policy=policy)
        try:
            known, start = yield from _look(context, messages, followed, writer, whole=whole)
            same, cut = _compare(known, messages, start)
            latest: int = context["latestVersion"] if cut is None else cut
            if cut is not None:
                context = yield from _fork(context, cut)
            followed = yield from _extend(context["id"], latest, writer, same, messages)
        except (ExternalIdMissing, ExternalIdTaken, ContextNotFound):  # somebody else has just moved or deleted it
            continue
        except IdempotencyKeyReused:  # it was stored long ago, and is another now
            if whole:
                raise
            whole = True
            continue
        if followed["latest"] >= latest:
            return followed
        # They were stored long ago: the next look is at what stands behind them.
    raise KataError(f"others move the session {session_id!r} all the time")


def _look(
    context: Mapping[str, Any], messages: Sequence[BaseMessage], followed: Followed | None, writer: str, *, whole: bool
) -> Steps[tuple[list[Known], int | None]]:
    """What messages are compared with, and the version before the first that the state had here, if it had one."""
    latest: int = context["latestVersion"]
    known: list[Known] = []
    if followed and followed["context"] == context["id"]:
        known = [Known(*each) for each in followed["stored"]]
        after = followed["latest"]
    elif followed or whole:
        after = 0
    elif len(messages) == 1 and not context["parentId"]:
        after = latest  # a key finds it, however far back it is, unless a fork shares it
    else:
        after = max(0, latest - 2 * len(messages) - REACH)
    if after < latest:
        known += [_known(stored, writer) for stored in (yield from read(context["id"], after, latest))]
    return known, next((each.version - 1 for each in known if each.mine), None) if followed else None


def _known(stored: types.Message, writer: str) -> Known:
    message, its = from_kata(stored), stored["metadata"].get("langchain")
    mine = isinstance(its, dict) and its.get("writer") == writer
    return Known(message.id, digest(message), stored["version"], mine)


def _extend(
    context_id: str,
    latest: int,
    writer: str,
    same: Sequence[Known],
    messages: Sequence[BaseMessage],
    *,
    expected: bool = False,
) -> Steps[Followed]:
    """Appends what is behind those that are the same. expected raises VersionConflict unless latest is the latest."""
    new = messages[len(same) :]
    arguments: dict[str, Any] = {"idempotency_key": _key(new), **({"expected_version": latest} if expected else {})}
    added = yield from append(context_id, [to_kata(message, writer=writer) for message in new], arguments)
    stored = [each[:3] for each in same]
    stored += [(message.id, digest(message), version) for message, version in zip(new, added, strict=True)]
    return {"context": context_id, "latest": added[-1] if added else latest, "writer": writer, "stored": stored}


def _key(messages: Sequence[BaseMessage]) -> str:
    """The same for the same messages, by their ids."""
    return "langchain:" + sha256("\0".join(str(message.id) for message in messages).encode()).hexdigest()


def read(context_id: str, after: int, through: int) -> Steps[list[types.Message]]:
    """The messages behind one version, through another."""
    stored: list[types.Message] = []
    request = requests.messages(context_id, cursor=after, at=through, limit=1000)
    while True:
        page = yield request
        stored += page["data"]
        if not page["hasMore"]:
            return stored
        request = request.at(page["nextCursor"])


def append(
    context_id: str, messages: Sequence[types.NewMessage], arguments: Mapping[str, Any] = MappingProxyType({})
) -> Steps[list[int]]:
    """The versions of messages once they are stored."""
    stored: list[types.Message] = []
    if messages:
        for part in parts(context_id, messages, arguments, stored):
            stored += yield part
    return [each["version"] for each in stored]


def _fork(context: Mapping[str, Any], version: int) -> Steps[Mapping[str, Any]]:
    """The context in which the session goes on behind a version, with its id."""
    try:
        fork: Mapping[str, Any] = yield requests.fork(context["id"], version=version, move_external_id=True)
    except ForkTooDeep:
        pass
    else:
        return fork
    members = types.NewMessage.__annotations__.keys() - {"embedding"}
    old = yield from read(context["id"], 0, version)
    copy = yield requests.create_context(policy=context["policy"], metadata=context["metadata"])
    again = [{name: value for name, value in each.items() if name in members} for each in old]
    yield from append(copy["id"], cast("list[types.NewMessage]", again))
    yield requests.update_context(context["id"], external_id=None)
    moved: Mapping[str, Any] = yield requests.update_context(copy["id"], external_id=context["externalId"])
    return moved


def send(client: Client, steps: Steps[T]) -> T:
    """What steps return, once their requests are answered."""
    try:
        request = next(steps)
        while True:
            try:
                answer = client._send(request)  # noqa: SLF001 - of this package
            except KataError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


async def asend(client: AsyncClient, steps: Steps[T]) -> T:
    """The same to be awaited."""
    try:
        request = next(steps)
        while True:
            try:
                answer = await client._send(request)  # noqa: SLF001 - of this package
            except KataError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)
