"""POST /api/v1/contexts/{id}/compactions: let a summary stand in for messages. GET: list compactions, newest first."""

from lib import compactions, db, tokens
from lib.models import NewCompaction
from lib.queries import CompactionsQuery
from lib.web import Request, Response, endpoint, one, page, replay


async def make_compaction(request: Request) -> Response:
    context_id = request.context_id
    request.no_query()
    body = await request.json(NewCompaction)
    new = body.model
    idempotency = await request.idempotency(body.text, without=["expectedNumber"])
    [token_count] = [new.token_count] if new.token_count else await tokens.count_all([[new.summary]])
    async with db.connection() as conn:
        made = await compactions.make(
            conn,
            context_id,
            body=body.text,
            through_version=new.through_version,
            summary=new.summary,
            role=new.role or "user",
            token_count=token_count,
            expected_number=new.expected_number,
            idempotency=idempotency,
        )
    location = f"/api/v1/contexts/{context_id}/compactions/{made.number}"
    return one(made, status=201, headers={"location": location, **replay(made.replayed)})


async def list_compactions(request: Request) -> Response:
    context_id = request.context_id
    query = request.query(CompactionsQuery)
    async with db.connection() as conn:
        rows = await compactions.page(conn, context_id, limit=query.limit, cursor=query.cursor)
    return page(rows, query.limit, lambda row: row.number)


app = endpoint("/api/v1/contexts/{id}/compactions", GET=list_compactions, POST=make_compaction)
