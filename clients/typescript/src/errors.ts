/**
 * What can go wrong. Switch on `code`, which says more than a class, and never changes.
 *
 *     KataError
 *     ├── ConnectionFailed   no answer came: a write may or may not have been stored
 *     ├── NotModified        304: the ETag of ifNoneMatch still holds
 *     └── ProblemError       the service refused, or something in front of it; the classes below are of this one
 *
 * A code that this version does not know, or an answer that is no problem document, is a plain ProblemError.
 */

/** Anything that goes wrong; the same call with the same `idempotencyKey` again stores nothing twice. */
export class KataError extends Error {
  static { this.prototype.name = "KataError"; } // names stand here as bundlers rename classes

  idempotencyKey: string | undefined;

  constructor(readonly code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/** No answer came; the cause says why. */
export class ConnectionFailed extends KataError {
  static { this.prototype.name = "ConnectionFailed"; }

  constructor(message: string, cause?: unknown) {
    super("connection_failed", message, { cause });
  }
}

/** What is stored is as it was when it had this ETag. */
export class NotModified extends KataError {
  static { this.prototype.name = "NotModified"; }

  constructor(readonly etag: string) {
    super("not_modified", `not modified since ${etag}`);
  }
}

/**
 * A problem document (RFC 9457), or what came in its place.
 *
 * `attempts` counts the requests of the call: a 412 of the second may be due to the change that the first one made.
 * `retryAfter` is in seconds.
 */
export class ProblemError extends KataError {
  static { this.prototype.name = "ProblemError"; }

  /** The classes by the codes that they are for. */
  static readonly byCode = new Map<unknown, typeof ProblemError>();

  readonly detail: string;
  readonly requestId: string | undefined;
  readonly errors: { pointer: string; detail: string }[];

  constructor(
    readonly status: number,
    readonly problem: Readonly<Record<string, unknown>>,
    readonly retryAfter?: number,
    readonly attempts = 1,
  ) {
    const { code, detail, requestId, errors } = problem;
    const kind = typeof code === "string" || typeof code === "number" ? `${code}` : `http_${status}`;
    const said = typeof detail === "string" ? detail : "no answer of the service: something in between gave it";
    const places: ProblemError["errors"] = (Array.isArray(errors) ? errors : []).filter(
      (place) => typeof place?.pointer === "string" && typeof place.detail === "string",
    );
    super(kind, `${kind} (${status}): ${said}${places.map((place) => `; ${place.pointer}: ${place.detail}`).join("")}`);
    this.detail = said;
    this.requestId = typeof requestId === "string" ? requestId : undefined;
    this.errors = places;
  }
}

/** The request is not what the service takes; `errors` names the places. */
export class InvalidRequest extends ProblemError {}

/** The service has keys, and the request carries none of them. */
export class Unauthorized extends ProblemError {}

/** There is no context with this id, or it has been deleted. */
export class ContextNotFound extends ProblemError {}

/** The context has no compaction of this number. */
export class CompactionNotFound extends ProblemError {}

/** Somebody else has written; currentVersion, the context's latest, says where it is. */
export class VersionConflict extends ProblemError {
  readonly currentVersion = this.problem["currentVersion"] as number | undefined;
}

/** Somebody else has compacted, or undone it; currentNumber is of the compaction in force, 0 for none. */
export class CompactionConflict extends ProblemError {
  readonly currentNumber = this.problem["currentNumber"] as number | undefined;
}

/** An ancestor of this fork has made the compaction, and only there can it be undone. */
export class CompactionNotOwned extends ProblemError {}

/** Another living context has this external id. */
export class ExternalIdTaken extends ProblemError {}

/** The context has no external id that could move to a fork. */
export class ExternalIdMissing extends ProblemError {}

/** The fork would have more ancestors than the service walks. */
export class ForkTooDeep extends ProblemError {}

/** The body, or the answer to it, is larger than the service carries. */
export class PayloadTooLarge extends ProblemError {}

/** This idempotency key came with another payload before. */
export class IdempotencyKeyReused extends ProblemError {}

/** The service could not serve, and the retries are used up: a write may or may not have been stored. */
export class Unavailable extends ProblemError {}

const KINDS: [kind: Record<string, typeof ProblemError>, codes: string][] = [
  [{ InvalidRequest }, "malformed_json invalid_body invalid_request invalid_parameter invalid_header invalid_id"],
  [{ Unauthorized }, "unauthorized"],
  [{ ContextNotFound }, "context_not_found"],
  [{ CompactionNotFound }, "compaction_not_found"],
  [{ VersionConflict }, "version_conflict precondition_failed"],
  [{ CompactionConflict }, "compaction_conflict"],
  [{ CompactionNotOwned }, "compaction_not_owned"],
  [{ ExternalIdTaken }, "external_id_taken"],
  [{ ExternalIdMissing }, "external_id_missing"],
  [{ ForkTooDeep }, "fork_too_deep"],
  [{ PayloadTooLarge }, "payload_too_large"],
  [{ IdempotencyKeyReused }, "idempotency_key_reused"],
  [{ Unavailable }, "database_unavailable database_timeout pool_exhausted not_configured migrations_pending"],
];
for (const [kinds, codes] of KINDS) {
  for (const [name, kind] of Object.entries(kinds)) {
    kind.prototype.name = name; // stands here, as bundlers rename classes
    for (const code of codes.split(" ")) ProblemError.byCode.set(code, kind);
  }
}
