/** The client: every endpoint as a method, sent again where that is safe. */

import { parts } from "./appends.js";
import { ConnectionFailed, ContextNotFound, KataError } from "./errors.js";
import { at, CONTEXTS, data, type Page, page, path, pause, request, type Request } from "./requests.js";
import { result, tagged, taggedData, whole } from "./requests.js";
import type * as types from "./schema.js";

const VERSION = "0.1.0";

// Scheme, host or IPv6 address, port and path.
const URL_OF_SERVICE = /^https?:\/\/(\[[\da-f:.]+\]|[^\s/?#@\\:[\]]+)(:\d{1,5})?(\/[^\s?#\\]*)?$/i;

// Characters; the service's are of 4.5 MB at most.
const LONGEST_ANSWER = 16_000_000;

// Milliseconds: a longer timer would be over at once.
const LONGEST_TIMER = 2 ** 31 - 1;

/** What a client is made with. */
export interface ClientOptions {
  /** Where the service is: else KATA_CONTEXT_URL, else what `make dev` serves. */
  url?: string | undefined;
  /** The service's key: else KATA_CONTEXT_API_KEY. */
  apiKey?: string | undefined;
  /** Milliseconds for each request, and not for the call: 30,000 if absent. */
  timeoutMs?: number | undefined;
  /** How often a request is sent again at most: 4 times if absent. */
  maxRetries?: number | undefined;
  /** What is called in place of the global fetch. */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
}

// any: what a provider's own package calls messages, which this one does not depend on
type Theirs = any[];

/** What to send to a model, by the format of the window. */
export interface WindowData {
  kata: (types.Message | types.ClearedMessage | types.Summary)[];
  "openai-chat": { messages: Theirs };
  "openai-responses": { instructions?: string; input: Theirs };
  anthropic: { system?: string | Theirs; messages: Theirs };
  gemini: { systemInstruction?: { parts: Theirs }; contents: Theirs };
  "ai-sdk": { system?: string; messages: Theirs };
}

type Options = Pick<types.GetHealthArguments, "signal" | "timeoutMs">;

/** A window in a format, and figures of it. */
export type Window<F extends types.Format = "kata"> = types.Figures & { data: WindowData[F] };

/** The items of a list, read page by page while you iterate. */
export class Pages<T> implements AsyncIterable<T> {
  readonly #send: (request: Request<Page<T>>) => Promise<Page<T>>;
  readonly #first: Request<Page<T>>;

  constructor(send: (request: Request<Page<T>>) => Promise<Page<T>>, first: Request<Page<T>>) {
    [this.#send, this.#first] = [send, first];
  }

  /** Its pages, which may be shorter than limit, or empty. */
  async *pages(): AsyncGenerator<T[], void, undefined> {
    for (let request: Request<Page<T>> | undefined = this.#first; request; ) {
      const page: Page<T> = await this.#send(request);
      yield page.data;
      request = page.hasMore ? at(request, page.nextCursor) : undefined;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const items of this.pages()) yield* items;
  }
}

/** Calls the service. Calls reject with KataError, and with TypeError for what cannot be sent at all. */
export class Client {
  readonly url: string;
  readonly timeoutMs: number;
  readonly maxRetries: number;
  readonly #headers: Record<string, string> = {};
  readonly #fetch: NonNullable<ClientOptions["fetch"]>;

  /** Throws TypeError for a url or a key that is none. */
  constructor({ url, apiKey, timeoutMs = 30_000, maxRetries = 4, fetch }: ClientOptions = {}) {
    const { process } = globalThis as { process?: { env?: Record<string, string>; versions?: { node?: string } } };
    this.url = (url || process?.env?.["KATA_CONTEXT_URL"] || "http://127.0.0.1:3000").trim().replace(/\/+$/, "");
    if (!URL_OF_SERVICE.test(this.url)) {
      throw new TypeError("the service's URL is http:// or https:// and a host, without a user and a query");
    }
    const key = (apiKey || process?.env?.["KATA_CONTEXT_API_KEY"] || "").trim();
    if (!/^[\x20-\x7e]*$/.test(key)) throw new TypeError("the API key has characters that no header takes");
    if (key) this.#headers["Authorization"] = `Bearer ${key}`;
    if (process?.versions?.node) this.#headers["User-Agent"] = `kata-context-typescript/${VERSION}`; // no browser
    [this.timeoutMs, this.maxRetries] = [timeoutMs, maxRetries];
    this.#fetch = fetch ?? ((to, init) => globalThis.fetch(to, init));
  }

  /** Makes a context, or gets the one that has this externalId. */
  async createContext(args: types.CreateContextArguments = {}): Promise<types.TaggedContext> {
    return this.#send(request("POST", CONTEXTS, taggedData<types.Context>, args), args);
  }

  /** Reads a context. */
  async getContext(contextId: string, args: types.GetContextArguments = {}): Promise<types.TaggedContext> {
    return this.#send(request("GET", path(contextId), taggedData<types.Context>, args), args);
  }

  /** Changes the members that are given; null clears one. metadata and policy are merge patches. */
  async updateContext(contextId: string, args: types.UpdateContextArguments): Promise<types.TaggedContext> {
    return this.#send(request("PATCH", path(contextId), taggedData<types.Context>, args), args);
  }

  /** Deletes a context and answers what it was; null where a request without an answer had done so before. */
  async deleteContext(contextId: string, args: types.DeleteContextArguments = {}): Promise<types.Context | null> {
    return this.#send(request("DELETE", path(contextId), data<types.Context>, args), args).catch((error) => {
      if (error instanceof ContextNotFound && error.attempts > 1) return null;
      throw error;
    });
  }

  /** Lists contexts, newest first, those that all filters fit. limit is of a page. */
  contexts(args: types.ListContextsArguments = {}): Pages<types.Context> {
    return this.#list(CONTEXTS, args);
  }

  /** Lists messages, oldest first. limit is of a page. */
  messages(contextId: string, args: types.ListMessagesArguments & { include: "native" }): Pages<types.NativeMessage>;
  messages(contextId: string, args?: types.ListMessagesArguments): Pages<types.Message>;
  // any: of the one kind or the other
  messages(contextId: string, args: types.ListMessagesArguments = {}): Pages<any> {
    return this.#list(path(contextId, "messages"), args);
  }

  /**
   * Appends messages, and answers how they are stored.
   *
   * What is more than the service takes at once goes in several requests, each of which is stored whole and once.
   * Where one fails, the same call with the error's idempotencyKey stores what is missing.
   */
  async append<F extends types.Format = "kata">(
    contextId: string,
    messages: Iterable<F extends "kata" ? types.NewMessage : object>,
    args: types.AppendMessagesArguments & { format?: F } = {},
  ): Promise<types.Message[]> {
    const stored: types.Message[] = [];
    for (const part of parts(contextId, messages, args, stored)) stored.push(...(await this.#send(part, args)));
    return stored;
  }

  /** Chooses what to send to a model next: `data`, in the shape of format; with include figures alone. */
  window(contextId: string, args: types.GetWindowArguments & { include: "figures" }): Promise<types.Figures>;
  window<F extends types.Format = "kata">(
    contextId: string,
    args?: types.GetWindowArguments & { format?: F },
  ): Promise<Window<F>>;
  async window(contextId: string, args: types.GetWindowArguments = {}): Promise<types.Figures> {
    return this.#send(request("GET", path(contextId, "window"), tagged<types.Figures>, args), args);
  }

  /** Puts a summary in the place of all messages up to a version, in windows. */
  async compact(
    contextId: string,
    throughVersion: number,
    summary: string,
    args: types.MakeCompactionArguments = {},
  ): Promise<types.Compaction> {
    const members = { throughVersion, summary, ...args };
    return this.#send(request("POST", path(contextId, "compactions"), data<types.Compaction>, members), args);
  }

  /** Lists compactions, newest first. limit is of a page. */
  compactions(contextId: string, args: types.ListCompactionsArguments = {}): Pages<types.Compaction> {
    return this.#list(path(contextId, "compactions"), args);
  }

  /** Reads a compaction. */
  async getCompaction(
    contextId: string,
    number: number,
    args: types.GetCompactionArguments = {},
  ): Promise<types.Compaction> {
    return this.#send(request("GET", path(contextId, "compactions", number), data<types.Compaction>, args), args);
  }

  /** Makes windows as if it had never been. */
  async undoCompaction(
    contextId: string,
    number: number,
    args: types.UndoCompactionArguments = {},
  ): Promise<types.Compaction> {
    return this.#send(request("DELETE", path(contextId, "compactions", number), data<types.Compaction>, args), args);
  }

  /** Makes a context that shares this one's history up to a version. */
  async fork(contextId: string, args: types.ForkContextArguments = {}): Promise<types.TaggedContext> {
    return this.#send(request("POST", path(contextId, "forks"), taggedData<types.Context>, args), args);
  }

  /** Lists the forks of a context, newest first. limit is of a page. */
  forks(contextId: string, args: types.ListForksArguments = {}): Pages<types.Context> {
    return this.#list(path(contextId, "forks"), args);
  }

  /** Says whether the service can serve: also what it says with 503, which is not sent again. */
  async health(args: types.GetHealthArguments = {}): Promise<types.Health> {
    return this.#send({ ...request("GET", "/api/health", whole<types.Health>, args), expects: [200, 503] }, args);
  }

  #list<T>(where: string, args: Options): Pages<T> {
    return new Pages((request) => this.#send(request, args), request("GET", where, page<T>, args));
  }

  async #send<T>(request: Request<T>, { signal, timeoutMs = this.timeoutMs }: Options): Promise<T> {
    if (!(timeoutMs > 0)) throw new TypeError("timeoutMs is a number of milliseconds above 0");
    const late = () => Promise.reject(new Error(`no answer within ${timeoutMs} ms`));
    for (let attempts = 1; ; attempts++) {
      signal?.throwIfAborted();
      const stop = new AbortController();
      const outcomes = [this.#ask(request, stop.signal), wait(timeoutMs, signal, stop.signal).then(late)];
      try {
        const [response, text] = await Promise.race(outcomes).finally(() => stop.abort());
        return result(request, response, text, attempts);
      } catch (error) {
        signal?.throwIfAborted();
        const failure = error instanceof KataError ? error : new ConnectionFailed(`${this.url}: ${why(error)}`, error);
        failure.idempotencyKey = request.key;
        const ms = attempts <= this.maxRetries ? pause(failure, attempts) : undefined;
        if (ms === undefined) throw failure;
        await wait(ms, signal);
      }
    }
  }

  async #ask(request: Request<unknown>, signal: AbortSignal): Promise<[Response, string]> {
    const { method, path, query, headers, body } = request;
    const fetch = this.#fetch; // which browsers refuse to call as a method of anything
    const search = Object.keys(query).length ? `?${new URLSearchParams(query)}` : "";
    const sent = { method, headers: { ...this.#headers, ...headers }, ...(body && { body }) };
    const response = await fetch(this.url + path + search, { ...sent, redirect: "manual", signal });
    return [response, await read(response)];
  }
}

/** The text of an answer, cut off where it is longer than any of the service's. */
async function read(response: Response): Promise<string> {
  if (!response.body) return response.text(); // not every fetch has streams
  const [reader, decoder] = [response.body.getReader(), new TextDecoder()];
  let text = "";
  for (let piece; text.length <= LONGEST_ANSWER && !(piece = await reader.read()).done; ) {
    text += decoder.decode(piece.value, { stream: true });
  }
  return text + decoder.decode();
}

/** Waits for ms, or until one of the signals is aborted. */
function wait(ms: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      for (const signal of signals) signal?.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, Math.min(ms, LONGEST_TIMER));
    for (const signal of signals) signal?.addEventListener("abort", over);
  });
}

// any: whatever a fetch may reject with
function why(error: any): string {
  return [error, error?.cause].map((each) => each?.message || each?.code || each).filter(Boolean).join(": ");
}
