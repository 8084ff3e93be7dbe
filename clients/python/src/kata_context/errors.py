"""What can go wrong. Catch KataError for all of it; `code` says more than a class, and never changes.

    KataError
    ├── ConnectionFailed   no answer came: a write may or may not have been stored
    ├── NotModified        304: the ETag of if_none_match still holds
    └── ProblemError       the service refused, or something in front of it; the classes below are of this one

A code that this version does not know, or an answer that is no problem document, is a plain ProblemError.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class KataError(Exception):
    """Anything that goes wrong; the same call with the same `idempotency_key` again stores nothing twice."""

    code: str
    idempotency_key: str | None = None


class ConnectionFailed(KataError):
    """No answer came; the cause says why."""

    code = "connection_failed"


class NotModified(KataError):
    """What is stored is as it was when it had this ETag."""

    code = "not_modified"

    def __init__(self, etag: str) -> None:
        """Takes the ETag, which a pickle of the error keeps."""
        super().__init__(etag)
        self.etag = etag

    def __str__(self) -> str:
        return f"not modified since {self.etag}"


class ProblemError(KataError):
    """A problem document (RFC 9457), or what came in its place.

    `attempts` counts the requests of the call: a 412 of the second may be due to the change that the first one made.
    """

    by_code: ClassVar[dict[str, type["ProblemError"]]] = {}

    def __init_subclass__(cls, codes: str) -> None:
        ProblemError.by_code.update(dict.fromkeys(codes.split(), cls))

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after: float | None = None, attempts: int = 1
    ) -> None:
        """Takes the status, the members, seconds of Retry-After and the number of requests."""
        super().__init__(status, problem, retry_after, attempts)
        self.status, self.problem, self.retry_after, self.attempts = status, problem, retry_after, attempts
        self.code = str(problem.get("code") or f"http_{status}")
        self.detail = str(problem.get("detail") or "no answer of the service: something in between gave it")
        request_id = problem.get("requestId")
        self.request_id = request_id if isinstance(request_id, str) else None
        errors = problem.get("errors")
        self.errors: list[dict[str, str]] = (
            [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        )

    def __str__(self) -> str:
        places = "".join(f"; {each.get('pointer')}: {each.get('detail')}" for each in self.errors)
        return f"{self.code} ({self.status}): {self.detail}{places}"


class InvalidRequest(
    ProblemError, codes="malformed_json invalid_body invalid_request invalid_parameter invalid_header invalid_id"
):
    """The request is not what the service takes; `errors` names the places."""


class Unauthorized(ProblemError, codes="unauthorized"):
    """The service has keys, and the request carries none of them."""


class ContextNotFound(ProblemError, codes="context_not_found"):
    """There is no context with this id, or it has been deleted."""


class CompactionNotFound(ProblemError, codes="compaction_not_found"):
    """The context has no compaction of this number."""


class VersionConflict(ProblemError, codes="version_conflict precondition_failed"):
    """Somebody else has written; current_version says where the context is."""

    @property
    def current_version(self) -> int | None:
        """The context's latest version."""
        return self.problem.get("currentVersion")


class CompactionConflict(ProblemError, codes="compaction_conflict"):
    """Somebody else has compacted, or undone it."""

    @property
    def current_number(self) -> int | None:
        """The number of the compaction in force, 0 for none."""
        return self.problem.get("currentNumber")


class CompactionNotOwned(ProblemError, codes="compaction_not_owned"):
    """An ancestor of this fork has made the compaction, and only there can it be undone."""


class ExternalIdTaken(ProblemError, codes="external_id_taken"):
    """Another living context has this external id."""


class ExternalIdMissing(ProblemError, codes="external_id_missing"):
    """The context has no external id that could move to a fork."""


class ForkTooDeep(ProblemError, codes="fork_too_deep"):
    """The fork would have more ancestors than the service walks."""


class PayloadTooLarge(ProblemError, codes="payload_too_large"):
    """The body, or the answer to it, is larger than the service carries."""


class IdempotencyKeyReused(ProblemError, codes="idempotency_key_reused"):
    """This idempotency key came with another payload before."""


class Unavailable(
    ProblemError, codes="database_unavailable database_timeout pool_exhausted not_configured migrations_pending"
):
    """The service could not serve, and the retries are used up: a write may or may not have been stored."""
