"""POST /api/v1/contexts/{id}/messages: append a batch. GET: page through the messages."""

from lib import db, errors, formats, messages, tokens
from lib.batches import Batch
from lib.models import Append, appended_as
from lib.queries import MessagesQuery
from lib.web import Request, Response, check_answer, endpoint, etag, many, off_the_loop, page, replay


async def append_messages(request: Request) -> Response:
    context_id = request.context_id
    request.no_query()
    body = await request.json(appended_as)
    append = body.model
    if isinstance(append, Append):
        batch = Batch(body.text, append.messages)
        idempotency = await request.idempotency(body.text, "messages", "contextMetadata")
    else:
        batch = await off_the_loop(formats.parsing(body.text), lambda: formats.parse(append, body.text))
        idempotency = await request.idempotency(body.text, without=("expectedVersion", "expectedExternalId"))
    # Before anything is stored: what was stored and cannot be answered, no retry would ever see.
    size = len(batch.body.encode()) - batch.native_bytes + len(batch.messages) * messages.ENVELOPE_BYTES
    check_answer(size, "send less at once")
    expected_versions = _expected_versions(append.expected_version, request.if_match_versions)
    counted = iter(await tokens.count_all(message.texts() for message in batch.messages if not message.token_count))
    token_counts = batch.token_counts([message.token_count or next(counted) for message in batch.messages])
    async with db.connection() as conn:
        try:
            appended = await messages.append(
                conn,
                context_id,
                body=batch.body,
                batch=batch.messages,
                token_counts=token_counts,
                patches_metadata=append.context_metadata is not None,
                expected_versions=expected_versions,
                expected_external_id=append.expected_external_id,
                idempotency=idempotency,
                format_name=append.format or "kata",
            )
        except errors.VersionConflict as conflict:
            if request.if_match is not None:
                raise errors.PreconditionFailed(conflict.current_version) from None
            raise
    headers = {"etag": etag(appended.version), **replay(appended.replayed)}
    return many(appended.rows, status=201, headers=headers)


def _expected_versions(expected_version: int | None, if_match: list[int] | None) -> list[int] | None:
    """The versions that both conditions admit; None where there is no condition."""
    if expected_version is None or if_match is None:
        return if_match if expected_version is None else [expected_version]
    return [version for version in if_match if version == expected_version]


async def read_messages(request: Request) -> Response:
    context_id = request.context_id
    query = request.query(MessagesQuery)
    async with db.connection() as conn:
        found = await messages.page(
            conn, context_id, **query.model_dump(exclude={"include"}), native=query.include == "native"
        )
    return page(found.rows, query.limit, lambda row: row.version, headers={"etag": etag(found.version)})


app = endpoint("/api/v1/contexts/{id}/messages", GET=read_messages, POST=append_messages)
