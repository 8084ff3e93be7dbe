// The only module that talks to the service, which is where this page comes from. The key lives in this variable alone:
// it is in no storage, no cookie, no address and no log, and is gone with the page.

let key = "";

export const API = "/api/v1/contexts";

// A page of a list holds this many, the most that the service gives at once.
const PAGE = 1000;

/** What the service refused: its problem document's code and detail, and what was wrong where. */
export class Problem extends Error {
  constructor(status, document) {
    const places = (document.errors ?? []).map((place) => `${place.pointer ?? ""} ${place.detail}`.trim());
    super([document.detail ?? `the service answered ${status}`, ...places].join("; "));
    this.status = status;
    this.code = document.code ?? "";
  }
}

/** Sends this key with every request from now on; an empty one is none. */
export function useKey(text) {
  key = text.trim();
}

/** Whether requests carry a key, which is all that others may know of it. */
export const hasKey = () => key !== "";

/** The service's JSON answer: that of `ask`, without its ETag. */
export const call = async (method, path, request) => (await ask(method, path, request)).value;

/**
 * The service's JSON answer and its ETag. `query` and `body` are objects; an idempotency key makes a write safe to
 * repeat. Throws Problem, and TypeError where the service cannot be reached.
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
  return { value, etag: answer.headers.get("ETag") ?? "" };
}

/**
 * A window of a context: its figures, its messages or a provider's request in `data` unless figures are asked for, and
 * the version that it is of, which its ETag says.
 */
export async function readWindow(id, query, signal) {
  const { value, etag } = await ask("GET", `${API}/${encodeURIComponent(id)}/window`, { query, signal });
  return { ...value, version: Number(/\d+/.exec(etag)?.[0]) };
}

/** The figures of windows, one for each query, `atOnce` requests at a time; in order, each given to `each` as it comes. */
export async function readFigures(id, queries, signal, each, atOnce = 4) {
  let next = 0;
  const read = async () => {
    while (next < queries.length && !signal.aborted) {
      const index = next++;
      each(index, await readWindow(id, { ...queries[index], include: "figures" }, signal));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, read));
}

/** Pages of messages before a version, newest first, until `most` have come; each as an array, oldest first. */
export async function* messagesBefore(id, version, most, signal) {
  let cursor = version;
  for (let left = most; left > 0 && cursor > 1; ) {
    const query = { order: "desc", limit: Math.min(PAGE, left), cursor };
    const page = await call("GET", `${API}/${encodeURIComponent(id)}/messages`, { query, signal });
    if (!page.data.length) return;
    left -= page.data.length;
    cursor = page.data.at(-1).version;
    yield page.data.reverse();
  }
}

/** The context with this id, or else with this external id. Throws Problem. */
export async function findContext(name, signal) {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name)) {
    return (await call("GET", `${API}/${name}`, { signal })).data;
  }
  const found = await call("GET", API, { query: { externalId: name }, signal });
  if (!found.data.length) throw new Problem(404, { detail: `no context has the id or externalId ${JSON.stringify(name)}` });
  return found.data[0];
}
