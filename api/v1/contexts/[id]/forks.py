"""POST /api/v1/contexts/{id}/forks: fork a context at a version. GET: list its forks."""

from lib import contexts, db, forks, lists
from lib.models import MAX_METADATA_BYTES, NewFork
from lib.queries import ForksQuery
from lib.web import Request, Response, endpoint, one, page, replay


async def fork_context(request: Request) -> Response:
    parent_id = request.context_id
    request.no_query()
    body = await request.json(NewFork, max_bytes=MAX_METADATA_BYTES)
    # A key is shared with creations and with forks of other contexts.
    idempotency = await request.idempotency(body.text, place=f"forks of {parent_id}: ")
    async with db.connection() as conn:
        made = await forks.fork(
            conn,
            parent_id,
            body=body.text,
            version=body.model.version,
            expected_version=body.model.expected_version,
            policy=body.model.policy_text(),
            external_id=body.model.external_id,
            moves_external_id=bool(body.model.move_external_id),
            idempotency=idempotency,
        )
    headers = {"location": f"/api/v1/contexts/{made.id}", "etag": made.etag, **replay(made.origin == "replayed")}
    return one(made, status=201, headers=headers)


async def list_forks(request: Request) -> Response:
    parent_id = request.context_id
    query = request.query(ForksQuery)
    async with db.connection() as conn:
        await contexts.read(conn, parent_id)
        rows, _ = await lists.page(conn, parent_id=parent_id, **query.model_dump())
    return page(rows, query.limit, lambda row: row.cursor)


app = endpoint("/api/v1/contexts/{id}/forks", GET=list_forks, POST=fork_context)
