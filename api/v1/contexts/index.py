"""POST /api/v1/contexts: create a context, or get the one with its external id. GET: list contexts."""

from lib import contexts, db, lists
from lib.models import MAX_METADATA_BYTES, NewContext
from lib.queries import ContextsQuery
from lib.web import Request, Response, endpoint, one, page, replay


async def create_context(request: Request) -> Response:
    request.no_query()
    body = await request.json(NewContext, max_bytes=MAX_METADATA_BYTES)
    idempotency = await request.idempotency(body.text)
    async with db.connection() as conn:
        made = await contexts.create(
            conn,
            body=body.text,
            external_id=body.model.external_id,
            policy=body.model.policy_text(),
            idempotency=idempotency,
        )
    headers = {"location": f"/api/v1/contexts/{made.id}", "etag": made.etag, **replay(made.origin == "replayed")}
    return one(made, status=200 if made.origin == "found" else 201, headers=headers)


async def list_contexts(request: Request) -> Response:
    query = request.query(ContextsQuery)
    async with db.connection() as conn:
        rows, stopped_at = await lists.page(conn, **query.model_dump())
    return page(rows, query.limit, lambda row: row.cursor, stopped_at=stopped_at)


app = endpoint("/api/v1/contexts", GET=list_contexts, POST=create_context)
