"""Every problem the API answers with. Rendered in lib/web/answers.py and nowhere else; never carries content.

Problem
├── InvalidRequest 400
│   ├── MalformedJson
│   ├── InvalidBody
│   ├── InvalidParameter
│   ├── InvalidHeader
│   └── InvalidId
├── Unauthorized 401
├── NotFound 404
│   ├── ContextNotFound
│   ├── CompactionNotFound
│   └── RouteNotFound
├── MethodNotAllowed 405
├── VersionConflict 409
│   └── PreconditionFailed 412
├── CompactionConflict 409
├── CompactionNotOwned 409
├── ExternalIdTaken 409
├── ExternalIdMissing 409
├── ForkTooDeep 409
├── PayloadTooLarge 413
├── UnsupportedMediaType 415
├── IdempotencyKeyReused 422
├── InternalError 500
└── Unavailable 503
    ├── NotConfigured
    ├── DatabaseUnavailable
    ├── DatabaseTimeout
    ├── PoolExhausted
    └── MigrationsPending

A class's docstring is its default detail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

RETRY_AFTER_SECONDS = 1

# Places that one problem names.
MAX_PLACES = 20

# What a request may bring is half of it (models.MAX_METADATA_BYTES), but merges add up.
METADATA_TOO_LARGE = "would be larger than 131,072 bytes"


@dataclass(frozen=True, slots=True)
class Place:
    """One thing wrong with a request: a JSON Pointer (RFC 6901) to it and what is wrong there."""

    pointer: str
    detail: str


class Problem(Exception):
    """the request could not be served"""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str | None = None,
        *,
        places: Sequence[Place] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(detail or self.__doc__)
        self.detail = str(self)
        self.places = places[:MAX_PLACES]
        self.headers = dict(headers or {})
        self.members = dict(members or {})


class InvalidRequest(Problem):
    """the request is not valid"""

    status = 400
    code = "invalid_request"
    title = "Bad request"


class MalformedJson(InvalidRequest):
    """the body is not JSON"""

    code = "malformed_json"
    title = "Malformed JSON"


class InvalidBody(InvalidRequest):
    """the body is not valid: see errors"""

    code = "invalid_body"
    title = "Invalid body"


class InvalidParameter(InvalidRequest):
    """a parameter is not valid: see errors"""

    code = "invalid_parameter"
    title = "Invalid parameter"


class InvalidHeader(InvalidRequest):
    """a header is not valid"""

    code = "invalid_header"
    title = "Invalid header"


class InvalidId(InvalidRequest):
    """the id in the path is not a UUID"""

    code = "invalid_id"
    title = "Invalid id"


class Unauthorized(Problem):
    """this needs a key of the service, as `Authorization: Bearer …`"""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="kata-context"'})


class NotFound(Problem):
    """there is nothing here"""

    status = 404
    code = "not_found"
    title = "Not found"


class ContextNotFound(NotFound):
    """there is no context with this id, or it has been deleted"""

    code = "context_not_found"
    title = "Context not found"


class CompactionNotFound(NotFound):
    """the context has no compaction of this number, or there is no such context"""

    code = "compaction_not_found"
    title = "Compaction not found"


class RouteNotFound(NotFound):
    """the API has no such path"""

    code = "route_not_found"
    title = "Route not found"


class MethodNotAllowed(Problem):
    """this path does not serve this method: see the Allow header"""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class VersionConflict(Problem):
    """the context is not at the expected version: nothing was stored"""

    status = 409
    code = "version_conflict"
    title = "Version conflict"

    def __init__(self, current_version: int) -> None:
        super().__init__(members={"currentVersion": current_version})
        self.current_version = current_version


class PreconditionFailed(VersionConflict):
    """the context has changed since it had the ETag of If-Match: nothing was stored or changed"""

    status = 412
    code = "precondition_failed"
    title = "Precondition failed"


class CompactionConflict(Problem):
    """another compaction is in force than the expected one: nothing was stored"""

    status = 409
    code = "compaction_conflict"
    title = "Compaction conflict"

    def __init__(self, current_number: int) -> None:
        super().__init__(members={"currentNumber": current_number})


class CompactionNotOwned(Problem):
    """an ancestor of this fork made this compaction, and only there can it be undone: see its contextId"""

    status = 409
    code = "compaction_not_owned"
    title = "Compaction not owned"


class ExternalIdTaken(Problem):
    """another context has this externalId: nothing was changed"""

    status = 409
    code = "external_id_taken"
    title = "External id taken"


class ExternalIdMissing(Problem):
    """the context does not have the externalId, which may have moved to a fork: nothing was stored or made"""

    status = 409
    code = "external_id_missing"
    title = "External id missing"


class ForkTooDeep(Problem):
    """a fork has at most 256 ancestors: fork further back, or append the messages that you need to a new context"""

    status = 409
    code = "fork_too_deep"
    title = "Fork too deep"


class PayloadTooLarge(Problem):
    """the body is larger than 4,500,000 bytes, which is what the platform carries"""

    status = 413
    code = "payload_too_large"
    title = "Payload too large"


class UnsupportedMediaType(Problem):
    """the body must be sent as application/json, in UTF-8 and without a content encoding"""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class IdempotencyKeyReused(Problem):
    """this Idempotency-Key came with another payload before: nothing was stored"""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class InternalError(Problem):
    """something went wrong here; the log has it under this requestId"""

    status = 500
    code = "internal_error"
    title = "Internal error"


class Unavailable(Problem):
    """the service is not available"""

    status = 503
    code = "unavailable"
    title = "Service unavailable"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


class NotConfigured(Unavailable):
    """the service is not configured"""

    code = "not_configured"
    title = "Not configured"


class DatabaseUnavailable(Unavailable):
    """could not reach the database; if this was a write, it may or may not have been stored"""

    code = "database_unavailable"
    title = "Database unavailable"


class DatabaseTimeout(Unavailable):
    """the database did not answer in time; if this was a write, it may or may not have been stored"""

    code = "database_timeout"
    title = "Database timeout"


class PoolExhausted(Unavailable):
    """all database connections are busy; nothing was stored"""

    code = "pool_exhausted"
    title = "Connections exhausted"


class MigrationsPending(Unavailable):
    """the database schema is behind this code: run `python -m scripts.migrate`"""

    code = "migrations_pending"
    title = "Migrations pending"
