// The only module that talks to the API, which is where this page comes from. The key lives in this variable alone, once
// it is taken: it is in no storage, no cookie, no address and no log, and is gone with the page.

let key = "";

export const API = "/api/v1/contexts";

// A page of a list holds this many, the most that the service gives at once.
const PAGE = 1000;

// Characters of messages that are loaded at a time: a browser holds them a few times over.
const MOST_CHARACTERS = 64_000_000;

/**
 * JSON whose numbers stay as they were written: one that JavaScript would round, or write in another way, is kept as its
 * text, which JSON.stringify gives back. Where the browser is too old for that they are rounded.
 */
export function parseExactly(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (_, value, { source }) =>
    typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value,
  );
}

/** What the service refused: the detail of its problem document, and what was wrong where. */
class Problem extends Error {
  constructor(status, document) {
    const places = (document.errors ?? []).map((place) => `${place.pointer ?? ""} ${place.detail}`.trim());
    super([document.detail ?? `the service answered ${status}`, ...places].join("; "));
    this.status = status;
  }
}

/** Sends this key with every request from now on; an empty one is none. */
export function setKey(text) {
  key = text.trim();
}

/** Whether requests carry a key, which is all that others may know of it. */
export const hasKey = () => key !== "";

/** The service's JSON answer: that of `ask`. */
export const call = async (method, path, request) => (await ask(method, path, request)).value;

/**
 * The service's answer: its JSON as `value` and as it came in `text`, and its ETag. `query` and `body` are objects; an
 * idempotency key makes a write safe to repeat. Throws Problem, and TypeError where the service cannot be reached.
 */
async function ask(method, path, { query = {}, body, idempotencyKey, signal } = {}) {
  const address = new URL(path, location.origin);
  address.search = new URLSearchParams(query);
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const answer = await fetch(address, {
    method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    credentials: "omit", cache: "no-store", redirect: "error",
  });
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Problem(answer.status, { detail: `the service answered ${answer.status} without JSON` });
  }
  if (!answer.ok) throw new Problem(answer.status, value);
  return { value, etag: answer.headers.get("ETag") ?? "", text };
}

/**
 * A window of a context: its figures, its messages or a provider's request in `data` unless figures are asked for, the
 * same to the digit from `exactData`, and the version that it is of, which its ETag says.
 */
export async function readWindow(id, query, signal) {
  const { value, etag, text } = await ask("GET", `${API}/${encodeURIComponent(id)}/window`, { query, signal });
  // To decide by, numbers as JavaScript has them will do; to read and to copy, they are as they were written.
  return { ...value, exactData: () => parseExactly(text).data, version: Number(/\d+/.exec(etag)?.[0]) };
}

/** The figures of a window, which cost no message. */
export const readFigures = (id, query, signal) => readWindow(id, { ...query, include: "figures" }, signal);

/** What `read` gives for each item, in order, with four of them under way at a time. Throws what the first of them throws. */
export async function each(items, read) {
  const found = [];
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        found[index] = await read(items[index]);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  return found;
}

/**
 * Pages of messages from a version on, outwards: before it with `order` desc, newest first, behind it with asc. It ends
 * at `most` messages, or behind 64 million characters. Each page is an array, oldest first.
 */
export async function* messagesFrom(id, version, order, most, signal) {
  let cursor = version;
  let room = MOST_CHARACTERS;
  for (let left = most; left > 0 && room > 0 && cursor !== null; ) {
    const query = { order, limit: Math.min(PAGE, left), cursor };
    const { text } = await ask("GET", `${API}/${encodeURIComponent(id)}/messages`, { query, signal });
    const { data, nextCursor } = parseExactly(text);
    left -= data.length;
    room -= text.length;
    cursor = nextCursor;
    if (data.length) yield order === "desc" ? data.reverse() : data;
  }
}

/** The context with this id, or else with this external id. Throws Problem. */
export async function findContext(name, signal) {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name)) {
    try {
      return (await call("GET", `${API}/${name}`, { signal })).data;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  const found = await call("GET", API, { query: { externalId: name }, signal });
  if (!found.data.length) throw new Problem(404, { detail: `no context has the id or externalId ${JSON.stringify(name)}` });
  return found.data[0];
}
