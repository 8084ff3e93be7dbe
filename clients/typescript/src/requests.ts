/** Each call as a request, how its answer is read, and when it is sent again. Nothing here does I/O. */

import { ConnectionFailed, type KataError, NotModified, ProblemError, Unavailable } from "./errors.js";

export const CONTEXTS = "/api/v1/contexts";

// Milliseconds: the first pause, and the longest; seconds: the longest Retry-After that is waited for.
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8000;
const LONGEST_RETRY_AFTER = 60;

// The service cannot serve just now, or what stands before it has no answer of it. 409 and 412 are final.
const AGAIN = [502, 503, 504];

const HEADERS = new Map([
  ["idempotencyKey", "Idempotency-Key"],
  ["ifMatch", "If-Match"],
  ["ifNoneMatch", "If-None-Match"],
]);

// What JSON has, as Object.prototype.toString calls it; numbers are looked at one by one.
const JSON_KINDS = ["Array", "Boolean", "Null", "Object", "String"];

/** What came back. */
export interface Answer {
  status: number;
  etag: string;
  retryAfter: string;
  text: string;
}

/** A page of a list. */
export interface Page<T> {
  data: T[];
  nextCursor: string | number | null;
  hasMore: boolean;
}

/** How the JSON of an answer is read. Throws for what is no answer of the service. */
// any: JSON of which nothing is known yet
export type Read<T> = (content: any, etag: string) => T;

/** What is sent, and how its answer is read; `key` is what all of the call may be repeated with. */
export interface Request<T> {
  method: string;
  path: string;
  read: Read<T>;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: string | undefined;
  expects: readonly number[];
  key: string | undefined;
}

/** What the attempts-th answer says. Throws NotModified and ProblemError. */
export function result<T>({ read, expects }: Request<T>, answer: Answer, attempts: number): T {
  const { status, etag, retryAfter, text } = answer;
  if (status === 304) throw new NotModified(etag);
  let content;
  try {
    content = JSON.parse(text);
    if (expects.includes(status)) return read(content, etag);
  } catch {
    content = undefined; // of something in between: no JSON, or none that the service answers
  }
  const problem: Record<string, unknown> = typeof content === "object" && content !== null ? content : {};
  const kind = ProblemError.byCode.get(problem["code"]) ?? (AGAIN.includes(status) ? Unavailable : ProblemError);
  throw new kind(status, problem, /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : undefined, attempts);
}

/** Milliseconds until a request is sent again whose attempts-th outcome was an error; undefined where it is final. */
export function pause(error: KataError, attempts: number): number | undefined {
  const spread = 1 - Math.random() / 4; // keeps clients apart
  if (error instanceof ProblemError) {
    const { status, retryAfter } = error;
    if (!AGAIN.includes(status) || (retryAfter ?? 0) > LONGEST_RETRY_AFTER) return undefined;
    if (retryAfter !== undefined) return (retryAfter * 1000) / spread;
  } else if (!(error instanceof ConnectionFailed)) {
    return undefined;
  }
  return Math.min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE) * spread;
}

/** Below a context. Throws TypeError for what is no id, and might name another path. */
export function path(contextId: string, ...rest: (string | number)[]): string {
  if (typeof contextId !== "string") throw new TypeError("the id of a context is a string");
  for (const part of [contextId, ...rest]) {
    if (!/^[\w-]+$/.test(`${part}`)) throw new TypeError(`not the id of a context: ${JSON.stringify(part)}`);
  }
  return [CONTEXTS, contextId, ...rest].join("/");
}

/**
 * A call with its arguments, of which those that are undefined are absent: headers, and the query of a GET or the body
 * of another, to which texts are added, that are JSON already.
 *
 * Throws TypeError for what JSON or a header has not, such as NaN or a line break.
 */
export function request<T>(
  method: string,
  path: string,
  read: Read<T>,
  members: object = {},
  texts: Record<string, string> = {},
): Request<T> {
  const headers: Record<string, string> = {};
  const query: Record<string, string> = {};
  const written = { ...texts };
  if (method === "POST") headers["Idempotency-Key"] = newKey();
  for (const [name, value] of Object.entries(members)) {
    const header = HEADERS.get(name);
    if (value === undefined || name === "signal" || name === "timeoutMs") continue;
    if (header) {
      if (value === null) continue;
      if (!/^[\x20-\x7e]*$/.test(`${value}`)) throw new TypeError(`${name} takes visible ASCII characters`);
      headers[header] = `${value}`;
    } else if (method !== "GET") written[name] = dump(value);
    else if (value !== null) query[name] = typeof value === "string" ? value : dump(value);
  }
  const content = Object.entries(written).map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  const body = method === "GET" || method === "DELETE" ? undefined : `{${content.join(",")}}`;
  if (body) headers["Content-Type"] = "application/json";
  return { method, path, read, query, headers, body, expects: [200, 201], key: headers["Idempotency-Key"] };
}

/** A key that no other call has. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16).padStart(8, "0")).join("");
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

function need(found: boolean): void {
  if (!found) throw new TypeError("no answer of the service");
}

/** What most answers have. */
export function data<T>({ data }: { data: T }): T {
  need(data instanceof Object);
  return data;
}

/** A context with its ETag. */
export function taggedData<T>(content: { data: T }, etag: string): T & { etag: string } {
  return { ...data(content), etag };
}

/** A window with its ETag. */
export function tagged<T extends { usedTokens: number }>(content: T, etag: string): T & { etag: string } {
  need(content.usedTokens !== undefined);
  return { ...content, etag };
}

/** A page of a list. */
export function page<T>({ data, nextCursor, hasMore }: Page<T>): Page<T> {
  need(Array.isArray(data) && (!hasMore || nextCursor !== null));
  return { data, nextCursor, hasMore };
}

/** Health, which has no data. */
export function whole<T extends { status: string }>(content: T): T {
  need(content.status !== undefined);
  return content;
}
