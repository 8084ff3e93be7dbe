"""GET /api/v1/contexts/{id}/window: the newest messages that fit a token budget."""

from lib import db, windows
from lib.models import WindowQuery
from lib.web import Request, Response, check_answer, endpoint, etag, many


async def read_window(request: Request) -> Response:
    context_id = request.context_id
    query = request.query(WindowQuery)
    async with db.connection() as conn:
        window = await windows.read(conn, context_id, budget=query.budget, at=query.at)
    response = many(window.messages, window.figures(query.budget), headers={"etag": etag(window.version)})
    check_answer(len(response.body), "page through the messages of the newest unit")
    return response


app = endpoint("/api/v1/contexts/{id}/window", GET=read_window)
