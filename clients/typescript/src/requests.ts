/** Each call as a request, how its answer is read, and when it is sent again. Nothing here does I/O. */

import { ConnectionFailed, type KataError, NotModified, ProblemError, Unavailable } from "./errors.js";

export const CONTEXTS = "/api/v1/contexts";

// Milliseconds: the first pause, and the longest; seconds: the longest Retry-After that is waited for.
const [FIRST_PAUSE, LONGEST_PAUSE, LONGEST_RETRY_AFTER] = [500, 8000, 60];

// The service cannot serve just now, or what stands before it has no answer of it. 409 and 412 are final.
const AGAIN = [502, 503, 504];

const HEADERS = new Map([
  ["idempotencyKey", "Idempotency-Key"],
  ["ifMatch", "If-Match"],
  ["ifNoneMatch", "If-None-Match"],
]);

// What is the client's own, and not sent.
const OPTIONS = ["signal", "timeoutMs"];

// Filters and conditions: without them a call is of far more than was meant.
const SELECTING = ["externalId", "parentId", "ifMatch"];

// What JSON has, as Object.prototype.toString calls it; numbers are looked at one by one.
const JSON_KINDS = ["Array", "Boolean", "Null", "Object", "String"];

/** A page of a list. */
export interface Page<T> {
  data: T[];
  nextCursor: string | number | null;
  hasMore: boolean;
}

// any: JSON of which nothing is known yet
type Read<T> = (content: any, etag: string) => T;

/** What is sent, and how its answer is read; `key` is what all of the call may be repeated with. */
export interface Request<T> {
  method: string;
  path: string;
  read: Read<T>;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: string | undefined;
  expects: number[];
  key: string | undefined;
}

/** What the attempts-th answer says. Throws NotModified and ProblemError. */
export function result<T>(request: Request<T>, { status, headers }: Response, text: string, attempts: number): T {
  const etag = (headers.get("etag") ?? "").replace(/^W\//, ""); // with which a proxy that packs answers marks them
  const retryAfter = headers.get("retry-after") ?? "";
  if (status === 304) throw new NotModified(etag);
  let problem: Record<string, unknown> = {};
  try {
    const content = JSON.parse(text);
    if (request.expects.includes(status)) return request.read(content, etag);
    problem = need(content);
  } catch {
    // of something in between: no JSON, or none that the service answers
  }
  const kind = ProblemError.byCode.get(problem["code"]) ?? (AGAIN.includes(status) ? Unavailable : ProblemError);
  throw new kind(status, problem, /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : undefined, attempts);
}

/** The same for the page at cursor. Throws ProblemError where that is this one, lest a list has no end. */
export function at<T>(request: Request<T>, cursor: string | number | null): Request<T> {
  const query = { ...request.query, cursor: `${cursor}` };
  if (request.query["cursor"] !== query.cursor) return { ...request, query };
  throw new ProblemError(200, { detail: "the list does not go on: its next page is the one before" });
}

/** Milliseconds until a request is sent again whose attempts-th outcome was an error; undefined where it is final. */
export function pause(error: KataError, attempts: number): number | undefined {
  const spread = 1 - Math.random() / 4; // keeps clients apart
  if (error instanceof ProblemError) {
    const { status, retryAfter } = error;
    if (!AGAIN.includes(status) || (retryAfter ?? 0) > LONGEST_RETRY_AFTER) return undefined;
    if (retryAfter !== undefined) return (retryAfter * 1000) / spread;
  } else if (!(error instanceof ConnectionFailed)) return undefined;
  return Math.min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE) * spread;
}

/** Below a context. Throws TypeError for what is no id, and might name another path. */
export function path(...parts: [contextId: string, ...rest: (string | number)[]]): string {
  const fit = parts.every((part, at) =>
    typeof part === "string" ? /^[\w-]+$/.test(part) : at > 0 && Number.isSafeInteger(part),
  );
  if (!fit) throw new TypeError(`not the id of a context, or no number: ${parts.join(", ")}`);
  return [CONTEXTS, ...parts].join("/");
}

/**
 * A call with its arguments, of which those that are undefined are absent: headers, and the query of a GET or the body
 * of another; messages are JSON already.
 *
 * Throws TypeError for what JSON or a header has not, such as NaN or a line break, and for a filter or a condition that
 * is there and has no value.
 */
export function request<T>(method: string, path: string, read: Read<T>, args: object, messages?: string): Request<T> {
  const headers: Record<string, string> = method === "POST" ? { "Idempotency-Key": newKey() } : {};
  const query: Record<string, string> = {};
  const members = messages === undefined ? [] : [`"messages":${messages}`];
  for (const [name, value] of Object.entries(args)) {
    if (OPTIONS.includes(name)) continue;
    const header = HEADERS.get(name);
    const lost = value === null || (value === undefined && SELECTING.includes(name));
    if (lost && (header || method === "GET")) throw new TypeError(`${name} is ${value}; leave it out`);
    if (value === undefined) continue;
    if (header && !/^[!-~]+( +[!-~]+)*$/.test(`${value}`)) throw new TypeError(`${name} takes visible ASCII characters`);
    if (header) headers[header] = `${value}`;
    else if (method !== "GET") members.push(`${dump(name)}:${dump(value)}`);
    else if (/\p{Surrogate}/u.test(`${value}`)) throw new TypeError(`${name} has half of a surrogate pair`); // sent as U+FFFD
    else query[name] = typeof value === "string" ? value : dump(value);
  }
  const body = method === "GET" || method === "DELETE" ? undefined : `{${members.join(",")}}`;
  if (body) headers["Content-Type"] = "application/json";
  return { method, path, read, query, headers, body, expects: [200, 201], key: headers["Idempotency-Key"] };
}

/** A key that no other call has. */
export function newKey(): string {
  const parts = crypto.getRandomValues(new Uint32Array(4)); // randomUUID is for https alone
  return Array.from(parts, (part) => part.toString(16).padStart(8, "0")).join("");
}

/**
 * JSON; members of objects that are undefined are absent. Throws TypeError for what it has not, and would else be left
 * out or replaced in silence: NaN, undefined in a list, functions, maps, bytes, cycles.
 */
export function dump(value: unknown): string {
  try {
    const text = JSON.stringify(value, onlyJson);
    if (text !== undefined) return text;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // of the stack
  }
  throw new TypeError("no JSON: undefined, or nested too deeply");
}

function onlyJson(this: unknown, name: string, value: unknown): unknown {
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  const absent = value === undefined && !Array.isArray(this);
  const lost = value === null && (this as Record<string, unknown>)[name] !== null; // a date that is none
  const fits = typeof value === "number" ? Number.isFinite(value) : JSON_KINDS.includes(kind);
  if (absent || (fits && !lost)) return value;
  throw new TypeError(`no JSON: ${name || "a value"} is ${typeof value === "number" ? value : kind}`);
}

// --- How answers are read. What lacks the members is no answer of the service.

function need<T>(value: T, type = "object"): T {
  if ((Array.isArray(value) ? "array" : typeof value) === type && value !== null) return value;
  throw new TypeError("no answer of the service");
}

/** What most answers have. */
export const data = <T>(content: { data: T }) => need(content.data);

/** What an append has. */
export const list = <T>(content: { data: T[] }) => need(content.data, "array");

/** A context with its ETag. */
export const taggedData = <T>(content: { data: T }, etag: string) => ({ ...need(content.data), etag });

/** A window with its ETag. */
export const tagged = <T extends { usedTokens: number }>(content: T, etag: string) => ({
  ...content,
  usedTokens: need(content.usedTokens, "number"),
  etag,
});

/** A page of a list. */
export const page = <T>({ data, nextCursor, hasMore }: Page<T>) => ({
  data: need(data, "array"),
  nextCursor: hasMore ? need(nextCursor, typeof nextCursor === "number" ? "number" : "string") : null,
  hasMore: need(hasMore, "boolean"),
});

/** Health, which has no data. */
export const whole = <T extends { status: string }>(content: T) => ({
  ...content,
  status: need(content.status, "string"),
});
