"""GET /api/v1/contexts/{id}: read a context. PATCH: change its name, id, metadata or policy. DELETE: soft delete it."""

from lib import contexts, db
from lib.models import MAX_METADATA_BYTES, ContextPatch
from lib.web import Request, Response, endpoint, one


async def read_context(request: Request) -> Response:
    context_id = request.context_id
    request.no_query()
    async with db.connection() as conn:
        context = await contexts.read(conn, context_id)
    return one(context, headers={"etag": context.etag})


async def update_context(request: Request) -> Response:
    context_id = request.context_id
    request.no_query()
    body = await request.json(ContextPatch, max_bytes=MAX_METADATA_BYTES)
    async with db.connection() as conn:
        context = await contexts.update(
            conn,
            context_id,
            body=body.text,
            policy=body.model.policy_text(),
            holder=body.model.take_external_id_from,
            etags=request.if_match,
        )
    return one(context, headers={"etag": context.etag})


async def delete_context(request: Request) -> Response:
    context_id = request.context_id
    request.no_query()
    async with db.connection() as conn:
        return one(await contexts.delete(conn, context_id, etags=request.if_match))


app = endpoint("/api/v1/contexts/{id}", GET=read_context, PATCH=update_context, DELETE=delete_context)
