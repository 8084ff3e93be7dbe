"""POST /api/v1/contexts/{id}/messages: append a batch. GET: page through the messages."""

from lib import db, messages, tokens
from lib.models import Append, MessagesQuery
from lib.web import Request, Response, endpoint, many, page


async def append_messages(request: Request) -> Response:
    context_id = request.context_id
    append, body = await request.json(Append)
    counted = iter(await tokens.count_all(message.texts() for message in append.messages if not message.token_count))
    token_counts = [message.token_count or next(counted) for message in append.messages]
    async with db.connection() as conn:
        stored = await messages.append(
            conn,
            context_id,
            body=body,
            token_counts=token_counts,
            embeddings=[message.embedding for message in append.messages],
        )
    return many(stored, status=201)


async def read_messages(request: Request) -> Response:
    context_id = request.context_id
    query = request.query(MessagesQuery)
    async with db.connection() as conn:
        rows, _ = await messages.page(conn, context_id, **query.model_dump())
    return page(rows, query.limit, lambda row: row.version)


app = endpoint(GET=read_messages, POST=append_messages)
