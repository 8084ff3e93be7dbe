"""GET /api/v1/contexts/{id}/window: what to send to a model next, within a token budget, as its provider takes it."""

from lib import db, formats, windows
from lib.queries import WindowQuery
from lib.web import Request, Response, check_answer, endpoint, figures, listed, off_the_loop, shown


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
            format_name=query.format,
        )
    headers = {"etag": window.etag}
    if query.include == "figures":
        return figures(window.figures, headers=headers)
    if query.format == "kata":
        response = listed(window.texts, window.figures, headers=headers)
    else:
        rendered = await off_the_loop(formats.rendering(window), lambda: formats.render(window))
        response = shown(rendered.data, {**window.figures, **rendered.figures}, headers=headers)
    check_answer(len(response.body), "ask with a smaller budget, or page through the messages")
    return response


app = endpoint("/api/v1/contexts/{id}/window", GET=read_window)
