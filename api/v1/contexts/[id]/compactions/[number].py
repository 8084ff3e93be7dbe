"""GET /api/v1/contexts/{id}/compactions/{number}: read a compaction. DELETE: undo it."""

from lib import compactions, db
from lib.web import Request, Response, endpoint, one


async def read_compaction(request: Request) -> Response:
    context_id, number = request.context_id, request.number
    request.no_query()
    async with db.connection() as conn:
        return one(await compactions.read(conn, context_id, number))


async def undo_compaction(request: Request) -> Response:
    context_id, number = request.context_id, request.number
    request.no_query()
    async with db.connection() as conn:
        return one(await compactions.undo(conn, context_id, number))


app = endpoint("/api/v1/contexts/{id}/compactions/{number}", GET=read_compaction, DELETE=undo_compaction)
