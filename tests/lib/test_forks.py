"""Forks beside requests in flight: what was not committed when they began counts once it is."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from lib import compactions, contexts, errors, forks, messages
from lib.models import Idempotency, NewMessage
from tests.lib.races import behind

type Run = Callable[[Awaitable[Any]], Any]
# What happens in a transaction, and the fork that is asked for meanwhile.
type Step = Callable[[Any, UUID], Awaitable[Any]]

MOVED: dict[str, Any] = {"body": '{"moveExternalId": true}', "moves_external_id": True}


async def append(conn: Any, context_id: UUID) -> None:
    batch = [NewMessage(role="user", content="x")] * 2
    body = json.dumps({"messages": [{"role": "user", "content": "x"}] * 2})
    await messages.append(conn, context_id, body=body, batch=batch, token_counts=[10, 20])


@pytest.fixture
def beside(connect: Any, run: Run) -> Callable[[Step, Step], Any]:
    """The JSON of a fork of a context with two messages, that was asked for before the first step was committed."""

    def beside(first: Step, second: Step) -> Any:
        async def race() -> Any:
            async with connect() as one, connect() as other:
                body = json.dumps({"externalId": str(uuid4())})
                parent = await contexts.create(one, body=body)
                await append(one, parent.id)
                made = await behind(one, first(one, parent.id), second(other, parent.id))
                return json.loads(made.json)

        return run(race())

    return beside


class TestInFlight:
    @pytest.mark.parametrize(("version", "shown"), [(None, (4, 60)), (4, (4, 60)), (3, (3, 40)), (1, (1, 10))])
    def test_an_append_counts_where_the_external_id_moves(
        self, beside: Any, version: int | None, shown: tuple[int, int]
    ) -> None:
        made = beside(append, lambda conn, parent: forks.fork(conn, parent, **MOVED, version=version))

        assert (made["forkVersion"], made["totalTokens"]) == shown

    def test_a_compaction_counts_where_the_external_id_moves(self, beside: Any, connect: Any, run: Run) -> None:
        """As what was appended behind it does: a fork at a version is what its parent was at that version."""

        async def compact(conn: Any, context_id: UUID) -> None:
            await compactions.make(
                conn, context_id, body="{}", through_version=1, summary="s", role="user", token_count=1
            )
            await append(conn, context_id)

        async def numbers(context_id: UUID) -> list[int]:
            async with connect() as conn:
                return [row.number for row in await compactions.page(conn, context_id, limit=10)]

        made = beside(compact, lambda conn, parent: forks.fork(conn, parent, **MOVED))

        assert made["forkVersion"] == 4
        assert run(numbers(UUID(made["id"]))) == [1]

    def test_a_key_is_claimed_once(self, beside: Any) -> None:
        key = Idempotency(str(uuid4()), b"same")

        def fork(conn: Any, parent: UUID) -> Awaitable[Any]:
            return forks.fork(conn, parent, body="{}", idempotency=key)

        assert beside(fork, fork)["latestVersion"] == 2

    @pytest.mark.parametrize("moves", [True, False])
    def test_a_key_is_looked_at_before_what_its_request_has_changed(self, beside: Any, moves: bool) -> None:
        key = Idempotency(str(uuid4()), b"same")
        named = {"body": json.dumps({"externalId": key.key}), "external_id": key.key}

        def fork(conn: Any, parent: UUID) -> Awaitable[Any]:
            return forks.fork(conn, parent, **(MOVED if moves else named), idempotency=key)

        assert beside(fork, fork)["externalId"]

    def test_a_key_outlives_the_parent(self, beside: Any) -> None:
        key = Idempotency(str(uuid4()), b"same")

        async def fork_and_delete(conn: Any, parent: UUID) -> None:
            await forks.fork(conn, parent, **MOVED, idempotency=key)
            await contexts.delete(conn, parent)

        made = beside(fork_and_delete, lambda conn, parent: forks.fork(conn, parent, **MOVED, idempotency=key))

        assert made["externalId"]

    def test_a_parent_that_is_deleted_has_no_external_id_to_move(self, beside: Any) -> None:
        with pytest.raises(errors.ContextNotFound):
            beside(contexts.delete, lambda conn, parent: forks.fork(conn, parent, **MOVED))
