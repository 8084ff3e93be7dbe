"""GET /api/v1/contexts/{id}/window: what to send to a model next, within a token budget."""

from lib import db, windows
from lib.queries import WindowQuery
from lib.web import Request, Response, check_answer, endpoint, figures, listed


async def read_window(request: Request) -> Response:
    context_id = request.context_id
    query = request.query(WindowQuery)
    async with db.connection() as conn:
        window = await windows.read(
            conn,
            context_id,
            overrides=query.overrides(),
            bare=query.policy == "none",
            at=query.at,
            content=query.include != "figures",
        )
    headers = {"etag": window.etag}
    if query.include == "figures":
        return figures(window.figures, headers=headers)
    response = listed(window.texts, window.figures, headers=headers)
    check_answer(len(response.body), "page through the messages of the newest unit")
    return response


app = endpoint("/api/v1/contexts/{id}/window", GET=read_window)
