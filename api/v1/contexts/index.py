"""POST /api/v1/contexts: create a context. GET: list contexts, newest first."""

from lib import contexts, db
from lib.models import MAX_METADATA_BYTES, ContextsQuery, NewContext
from lib.web import Request, Response, endpoint, one, page, replay


async def create_context(request: Request) -> Response:
    request.no_query()
    body = await request.json(NewContext, max_bytes=MAX_METADATA_BYTES)
    idempotency = request.idempotency(body.value)
    async with db.connection() as conn:
        context, replayed = await contexts.create(conn, body=body.text, idempotency=idempotency)
    headers = {"location": f"/api/v1/contexts/{context.id}", "etag": context.etag, **replay(replayed)}
    return one(context, status=201, headers=headers)


async def list_contexts(request: Request) -> Response:
    query = request.query(ContextsQuery)
    async with db.connection() as conn:
        rows = await contexts.list_page(conn, **query.model_dump())
    return page(rows, query.limit, lambda row: row.cursor)


app = endpoint(GET=list_contexts, POST=create_context)
