"""How a context follows the messages of a graph's state. Nothing here does I/O but `send` and `asend`."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
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
    ForkTooDeep,
    IdempotencyKeyReused,
    KataError,
    VersionConflict,
)
from kata_context.langchain._messages import from_kata, identity, to_kata

T = TypeVar("T")
Steps = Generator[Request[Any], Any, T]  # sends requests, gets their answers or errors, and returns a T

# Of a state that was never followed, so many stored messages more than it might have are searched for its own.
REACH = 200

# How often a session is looked at again because others have written to it or moved it: more than write at once.
TRIES = 100


class Known(NamedTuple):
    """A stored message, as it is compared with one of the state."""

    id: str | None
    digest: str
    version: int
    mine: bool = True
    """Whether this state has or had it; else somebody else wrote it."""


class Followed(TypedDict):
    """The context where a run is, as far as it has seen it; a state keeps it, so one of the past says what was then."""

    id: str
    latestVersion: int
    writer: str
    stored: list[tuple[str | None, str, int]]


def follow(
    session_id: str, policy: types.Policy, messages: Sequence[BaseMessage], followed: Followed | None, *, anew: bool
) -> Steps[Followed]:
    """Makes the session's context one that ends with messages, and whatever others have written.

    Unless anew, a run goes on in the context where it is, as long as only its own messages are new there: then this
    is one request, or none.
    """
    writer = followed["writer"] if followed else (identity(messages[0])[0] or "") if messages else ""
    here: Mapping[str, Any] | None = None if anew else followed
    moved = whole = False
    for _ in range(TRIES):
        context = here or (yield requests.create_context(external_id=session_id, policy=policy))
        try:
            known, start = yield from _look(context, messages, followed, writer, whole=whole)
            same, cut = _compare(known, messages, start)
            if followed and moved and (cut is not None or len(same) < len(followed["stored"])):
                moved = False  # what this run was told has been taken back, and so is what it says
                same = [Known(*each) for each in followed["stored"]]
                return (yield from _extend(followed, writer, same, messages))
            if cut is None:
                now = yield from _extend(context, writer, same, messages, session_id)
                if now["latestVersion"] >= context["latestVersion"]:
                    return now
                followed = now  # its key says that it was stored long ago: the next look is at what stands behind it
            elif not here:
                return (yield from _replace(context, cut, writer, same, messages))
        except ExternalIdMissing:
            moved = moved or here is not None
        except (ContextNotFound, VersionConflict):
            pass
        except IdempotencyKeyReused:  # it was stored long ago, and is another now
            if whole:
                raise
            whole = True
        here = None
    raise KataError(f"others move the session {session_id!r} all the time")


def _look(
    context: Mapping[str, Any], messages: Sequence[BaseMessage], followed: Followed | None, writer: str, *, whole: bool
) -> Steps[tuple[list[Known], int | None]]:
    """What messages are compared with, and the version before the first that the state had here, if it had one."""
    latest: int = context["latestVersion"]
    known: list[Known] = []
    if whole or (followed and followed["id"] != context["id"]):
        after = 0
    elif followed:
        known = [Known(*each) for each in followed["stored"]]
        after = followed["latestVersion"]
    elif len(messages) == 1 and not context["parentId"]:
        after = latest  # a key finds it, however far back it is, unless a fork shares it
    else:
        after = max(0, latest - 2 * len(messages) - REACH)
    if after < latest:
        for stored in (yield from read(context["id"], after, latest)):
            message, its = from_kata(stored), stored["metadata"].get("langchain")
            mine = isinstance(its, dict) and its.get("writer") == writer
            known.append(Known(*identity(message), stored["version"], mine))
    return known, next((each.version - 1 for each in known if each.mine), None) if followed else None


def _compare(
    known: Sequence[Known], messages: Sequence[BaseMessage], start: int | None
) -> tuple[list[Known], int | None]:
    """Those that are stored of messages, in order, and the version to fork at where the history is another one now.

    start is the version before the first that the state had. Where it begins with another message now, which is no
    later one of these, it begins anew there. Those that it has dropped from its beginning stay in the history.
    """
    now = [identity(message) for message in messages]
    ids = {each[0] for each in now}
    first = next((place for place, each in enumerate(known) if each.id in ids), None)
    if first is None or (start is not None and known[first].id != now[0][0]):
        return [], start
    same: list[Known] = []
    for each in known[first:]:
        if len(same) < len(now) and each[:2] == now[len(same)]:
            same.append(each)
        elif each.mine or each.id in ids:
            return same, each.version - 1
    return same, None


def _extend(
    context: Mapping[str, Any],
    writer: str,
    same: Sequence[Known],
    messages: Sequence[BaseMessage],
    session_id: str | None = None,
) -> Steps[Followed]:
    """Appends what is behind those that are the same, with one key for the same messages, by their ids.

    With a session's id only where the context has it, and nobody else has written there meanwhile. A single input may
    stand behind what others have just said: its key alone sees to it that it is stored once.
    """
    new = messages[len(same) :]
    ids = [identity(message) for message in new]
    key = sha256("\0".join(str(each) for each, _ in ids).encode()).hexdigest()
    arguments: types.AppendMessagesArguments = {"idempotency_key": f"langchain:{key}"}
    if session_id is not None:
        arguments["expected_external_id"] = session_id
        if len(messages) > 1:
            arguments["expected_version"] = context["latestVersion"]
    added: list[types.Message] = []
    yield from append(context["id"], [to_kata(message, writer=writer) for message in new], arguments, added)
    stored = [each[:3] for each in same]
    stored += [(*each, it["version"]) for each, it in zip(ids, added, strict=True)]
    latest = added[-1]["version"] if added else context["latestVersion"]
    return {"id": context["id"], "latestVersion": latest, "writer": writer, "stored": stored}


def _replace(
    context: Mapping[str, Any], version: int, writer: str, same: Sequence[Known], messages: Sequence[BaseMessage]
) -> Steps[Followed]:
    """Goes on behind a version in a context that is made aside, and takes the session's id once all is there."""
    aside = yield from _branch(context, version)
    followed = yield from _extend(aside, writer, same, messages)
    holder: types.Holder = {"contextId": context["id"], "expectedVersion": context["latestVersion"]}
    yield requests.update_context(aside["id"], take_external_id_from=holder)
    return followed


def _branch(context: Mapping[str, Any], version: int) -> Steps[Mapping[str, Any]]:
    """A new context with the history up to a version, and without an externalId."""
    with suppress(ForkTooDeep):
        fork: Mapping[str, Any] = yield requests.fork(context["id"], version=version, name=context["name"])
        return fork
    members = types.NewMessage.__annotations__.keys() - {"embedding"}
    old = yield from read(context["id"], 0, version)
    copy = yield requests.create_context(**{name: context[name] for name in ("name", "policy", "metadata")})
    again = [{name: value for name, value in each.items() if name in members} for each in old]
    yield from append(copy["id"], cast("list[types.NewMessage]", again), {}, [])
    return {**copy, "latestVersion": version}


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
    context_id: str,
    messages: Sequence[types.NewMessage],
    arguments: types.AppendMessagesArguments,
    stored: list[types.Message],
) -> Steps[None]:
    """Appends messages, and adds them to stored once they are."""
    if messages:
        for part in parts(context_id, messages, arguments, stored):
            stored += yield part


def send(client: Client | None, steps: Steps[T]) -> T:
    """What steps return, once their requests are answered. Raises ValueError without a client."""
    if client is None:
        raise ValueError("this call needs client=")
    answer: Any = None
    error: KataError | None = None
    try:
        while True:
            request = steps.throw(error) if error else steps.send(answer)
            error = None
            try:
                answer = client._send(request)  # noqa: SLF001 - of this package
            except KataError as its:
                error = its
    except StopIteration as end:
        return cast("T", end.value)


async def asend(client: AsyncClient | None, steps: Steps[T]) -> T:
    """The same to be awaited."""
    if client is None:
        raise ValueError("this call needs async_client=")
    answer: Any = None
    error: KataError | None = None
    try:
        while True:
            request = steps.throw(error) if error else steps.send(answer)
            error = None
            try:
                answer = await client._send(request)  # noqa: SLF001 - of this package
            except KataError as its:
                error = its
    except StopIteration as end:
        return cast("T", end.value)
