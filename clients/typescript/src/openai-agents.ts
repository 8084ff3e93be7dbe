/**
 * A session of OpenAI's Agents SDK for JavaScript: `run(agent, input, { session: new KataSession("ticket-2077") })`.
 *
 * It is stored as Python's KataSession stores it (openai_agents.py says how and why), so both go on with each other's:
 * items of OpenAI's API, of which each has what its way there and back would lose. What is taken back is sealed first,
 * in one append with a mark in the context's metadata; whoever finds the mark does the rest, with the same keys. Here
 * the append that seals may have items, the first `with` of which come behind what is kept: so a transaction is one
 * request, and what it was is in the metadata as well.
 */

import type {
  AgentInputItem,
  SessionHistoryTransaction,
  SessionHistoryTransactionArgs,
  SessionHistoryTransactionAwareSession,
} from "@openai/agents";

import { cuts } from "./appends.js";
import { Client } from "./client.js";
import { InvalidRequest, KataError, ProblemError, VersionConflict } from "./errors.js";
import {
  canonical,
  fromStored,
  type Item,
  json,
  lacksCalls,
  natives,
  OPAQUE,
  toOpaque,
  toStored,
} from "./openai-items.js";
import { dump, newKey } from "./requests.js";
import type { AppendMessagesArguments, Policy, TaggedContext } from "./schema.js";

const MARK = "openai-agents";
const OPERATIONS = "openai-agents-operations";
const FORMAT = "openai-responses";

// Says that something is taken back, where nothing is put in its place; never in a window, nor in a history.
const SEAL = { role: "assistant", content: "" } as const;

const PAGE = 1000; // messages; in bytes the service sees to it

// A result has no name but its call's: so many more messages are read at once, lest another page is needed for it.
const CALLS_BEHIND = 8;

// Operations that are remembered: 90 bytes each of the 65,536 that the metadata of a fork may have.
const MAX_OPERATIONS = 200;

// How often in a row a session is found sealed, and somebody goes on, before something must be wrong.
const ROUNDS = 50;

/** How much of a context is kept: the messages up to a version, and so many items of the one behind. */
interface Kept {
  to: number;
  items: number;
}

/** What a context's metadata says while something is on the way: a seal has `at`, a fork to be filled `from`. */
interface Mark extends Kept {
  /** The version of the seal. */
  at?: number;
  /** The context that was sealed, and the version of its seal. */
  from?: string;
  sealed?: number | undefined;
  /** How many of the items from the seal on come behind what is kept. */
  with?: number;
  key: string;
}

/** What operations were, and the versions that they were made at, by the hashes of their ids. */
type Operations = Record<string, { digest: string; at: number } | null>;

/** What a session is made with. */
export interface KataSessionOptions {
  /** Else one of KATA_CONTEXT_URL and KATA_CONTEXT_API_KEY. */
  client?: Client;
  /** Tokens of what runs begin with. */
  budget?: number;
  /** More about it, for a conversation that begins: another keeps its own. */
  policy?: Policy;
}

/** A conversation that Kata Context keeps. Calls reject with KataError, and with TypeError for what is no JSON. */
export class KataSession implements SessionHistoryTransactionAwareSession {
  readonly #id: string;
  readonly #client: Client;
  readonly #budget: number | undefined;
  readonly #policy: Policy | undefined;

  /**
   * Opens or begins the conversation of this id, 1 to 255 characters, with the first call.
   *
   * With neither a budget nor a policy, and none stored, runs begin with all items.
   */
  constructor(sessionId: string, { client = new Client(), budget, policy }: KataSessionOptions = {}) {
    this.#id = sessionId;
    this.#client = client;
    this.#budget = budget;
    this.#policy = policy ?? (budget ? { budget, keepPreamble: true, startOn: "user", step: budget >> 2 } : undefined);
  }

  async getSessionId(): Promise<string> {
    return this.#id;
  }

  /**
   * The newest items, oldest first: exactly limit or all there are; without a limit those of the window.
   *
   * The window is the service's, of whole units, and mended where a model would refuse it. Where neither the session
   * nor its context has a budget, all items.
   */
  async getItems(limit?: number): Promise<AgentInputItem[]> {
    if (limit !== undefined && !(limit > 0)) return [];
    const context = await this.#open();
    const budget = this.#budget ?? context.policy.budget;
    if (limit !== undefined || !budget) return (await this.#newest(context, limit ?? Infinity)).items;
    const window = await this.#client.window(context.id, { at: context.latestVersion, format: FORMAT, budget });
    const { instructions, input } = window.data;
    return theirs([...(instructions ? [{ role: "system", content: instructions }] : []), ...input]);
  }

  /** Appends items, all or none of them; but more than one append takes, 1,000 or 4 MB, or an answer of 2, in parts. */
  async addItems(items: AgentInputItem[]): Promise<void> {
    const stored = await this.#stored(items);
    for (const [part, start] of starts(stored).entries())
      await this.#add(stored.slice(start, starts(stored)[part + 1]));
  }

  /** Takes the newest item back, and answers it. */
  async popItem(): Promise<AgentInputItem | undefined> {
    for (;;) {
      const context = await this.#open();
      const { items, kept } = await this.#newest(context, 1);
      if (!items.length || (await this.#seal(context, kept))) return items[0];
    }
  }

  /** Takes all items back. The service keeps them, in contexts that the session's id does not name any more. */
  async clearSession(): Promise<void> {
    for (;;) {
      const context = await this.#open();
      if (!context.latestVersion && !context.metadata[OPERATIONS]) return;
      if (await this.#seal(context, { to: 0, items: 0 }, [], null)) return;
    }
  }

  /** Appends it: the runner reads from the newest compaction on, and what is before it is not lost. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    await this.addItems(items);
  }

  /**
   * Appends items, or puts others in the place of the newest ones, once: the same operation again changes nothing.
   *
   * Rejects, and has changed nothing, where the operation was another transaction, where the newest items are others
   * than it expects, or where it has more than one append takes. The newest 200 operations are remembered.
   */
  async applyHistoryTransaction({ operationId, transaction }: SessionHistoryTransactionArgs): Promise<void> {
    if (typeof operationId !== "string" || !operationId.trim())
      throw new TypeError("an operationId is a text, not empty");
    const [expected, given] = sides(json(transaction));
    const stored = await this.#stored(given);
    if (starts(stored).length > 1)
      throw new RangeError("a transaction has at most what one append takes: 1,000 items or 4 MB");
    const [key, digest] = [await sha256(operationId), await sha256(canonical(transaction))];
    for (;;) {
      const context = await this.#open();
      const operations = (context.metadata[OPERATIONS] ?? {}) as Operations;
      const made = operations[key];
      if (made && made.digest !== digest)
        throw new Error("the operation was already applied with a different transaction");
      if (made) return;
      const { items, kept } = await this.#newest(context, expected.length);
      if (canonical(items) !== canonical(expected))
        throw new Error("the session's newest items are not the expected ones");
      const patch = { ...forgotten(operations), [key]: { digest, at: context.latestVersion } };
      if (expected.length) await this.#seal(context, kept, stored, patch);
      else await this.#record(context, stored, patch);
    }
  }

  /** The context that the session's id names now, once it is neither sealed nor to be filled. */
  async #open(): Promise<TaggedContext> {
    for (let round = 0; round < ROUNDS; round++) {
      const context = await this.#client.createContext({ externalId: this.#id, policy: this.#policy ?? null });
      if (!(MARK in context.metadata)) return context;
      await this.#goOn(context);
    }
    throw new Error("the session's id was given back to a context that was left: fork that one, without its metadata");
  }

  /** The newest items of a context, and what is kept of it without them. */
  async #newest({ id, latestVersion }: TaggedContext, limit: number): Promise<{ items: AgentInputItem[]; kept: Kept }> {
    const read: Item[][] = []; // newest first
    const args = {
      order: "desc",
      at: latestVersion,
      include: "native",
      limit: Math.min(limit + CALLS_BEHIND, PAGE),
    } as const;
    const kept = { to: latestVersion, items: 0 };
    let count = 0;
    for await (const message of latestVersion && limit ? this.#client.messages(id, args) : []) {
      const found = natives(message);
      if (count < limit)
        Object.assign(kept, { to: message.version - 1, items: Math.max(count + found.length - limit, 0) });
      read.push(found);
      count += found.length;
      if (count >= limit && (message.version <= kept.to - PAGE || !lacksCalls([...read].reverse().flat()))) break;
    }
    return { items: limit ? theirs(read.reverse().flat()).slice(-limit) : [], kept };
  }

  /** Items as they are stored. */
  async #stored(items: AgentInputItem[]): Promise<Item[]> {
    const given: Item[] = json(items);
    const before: Item[] = lacksCalls(given) ? (await this.#newest(await this.#open(), PAGE)).items : [];
    const names = new Map<string, string>();
    return [...before, ...given].map((item) => toStored(item, names)).slice(before.length);
  }

  /** Appends what one request takes, and again where the context had been sealed. */
  async #add(items: Item[]): Promise<void> {
    const idempotencyKey = newKey();
    for (;;) {
      const context = await this.#open();
      let version: number;
      try {
        version = await this.#append(context, items, { idempotencyKey });
      } catch (error) {
        // The items of one answer are one message, which has a limit of its own.
        if (items.length < 2 || !is(error, "payload_too_large")) throw error;
        const half = items.length >> 1;
        await this.#add(items.slice(0, half));
        return this.#add(items.slice(half));
      }
      if (version === context.latestVersion + 1) return;
      const { [MARK]: seal } = (await this.#client.getContext(context.id)).metadata as { [MARK]?: Mark };
      if (!seal?.at || version < seal.at) return;
    }
  }

  /** Appends to a context, and answers the first version. What the service does not take is stored as JSON text. */
  async #append({ id }: { id: string }, items: Item[], args: AppendMessagesArguments): Promise<number> {
    for (;;) {
      try {
        return (await this.#client.append(id, items, { ...args, format: FORMAT }))[0]!.version;
      } catch (error) {
        const places = error instanceof InvalidRequest ? error.errors.map(({ pointer }) => pointer?.split("/")[2]) : [];
        if (!items.some((item, place) => item["type"] !== OPAQUE && places.includes(`${place}`))) throw error;
        items = items.map((item, place) => (places.includes(`${place}`) ? toOpaque(item) : item));
      }
    }
  }

  /** Keeps so much of a context, and puts others behind it; false where somebody was faster. */
  async #seal(
    context: TaggedContext,
    kept: Kept,
    others: Item[] = [],
    operations?: Operations | null,
  ): Promise<boolean> {
    const at = context.latestVersion + 1;
    const mark: Mark = { at, ...kept, ...(others.length && { with: others.length }), key: newKey() };
    const contextMetadata = { [MARK]: mark, ...(operations !== undefined && { [OPERATIONS]: operations }) };
    const args = { expectedVersion: at - 1, contextMetadata };
    try {
      await (others.length ? this.#append(context, others, args) : this.#client.append(context.id, [SEAL], args));
    } catch (error) {
      if (error instanceof VersionConflict) return false;
      throw error;
    }
    try {
      await this.#goOn(
        operations === undefined
          ? { ...context, metadata: { ...context.metadata, [MARK]: mark } }
          : await this.#client.getContext(context.id),
      );
    } catch (error) {
      if (!(error instanceof KataError)) throw error; // it is done: what is left to do somebody else will do as well
    }
    return true;
  }

  /** Appends items and remembers the operation, unless somebody was faster. */
  async #record({ id, latestVersion, etag }: TaggedContext, items: Item[], operations: Operations): Promise<void> {
    const metadata = { [OPERATIONS]: operations };
    try {
      if (items.length)
        await this.#append({ id }, items, { expectedVersion: latestVersion, contextMetadata: metadata });
      else await this.#client.updateContext(id, { metadata, ifMatch: etag });
    } catch (error) {
      if (!(error instanceof VersionConflict)) throw error;
    }
  }

  /** Does what a context's mark says; twice, or at once with others, is as once. */
  async #goOn(context: TaggedContext): Promise<void> {
    const mark = context.metadata[MARK] as Mark;
    try {
      const fork = mark.at ? await this.#fork(context, mark) : context;
      if (MARK in fork.metadata) await this.#fill(fork, fork.metadata[MARK] as Mark);
    } catch (error) {
      if (!is(error, "external_id_missing", "idempotency_key_reused")) throw error; // else somebody else has gone on
    }
  }

  /** The fork that takes the place of a sealed context; at 0 where it would have too many ancestors. */
  async #fork(
    { id, name, metadata }: Pick<TaggedContext, "id" | "name" | "metadata">,
    seal: Mark,
    version = seal.to,
  ): Promise<TaggedContext> {
    const { at, ...rest } = seal;
    const isFull = version === seal.to && !seal.items && !seal.with;
    const mark = isFull ? undefined : { from: id, ...rest, ...(seal.with && { sealed: at }) };
    const args = { version, name, metadata: { ...metadata, [MARK]: mark }, moveExternalId: true };
    try {
      return await this.#client.fork(id, { ...args, idempotencyKey: `${seal.key}.${version}` });
    } catch (error) {
      if (!version || !is(error, "fork_too_deep")) throw error;
      return this.#fork({ id, name, metadata }, seal, 0);
    }
  }

  /** Appends to a fork what it lacks of the context that was sealed. */
  async #fill({ id, forkVersion }: TaggedContext, mark: Mark): Promise<void> {
    const { from = "", to, items: kept, sealed = 0, with: others = 0, key } = mark;
    const last = to + (kept ? 1 : 0);
    const items: Item[] = [];
    const lacking = { cursor: forkVersion ?? 0, at: last, include: "native", limit: PAGE } as const;
    for await (const message of last > lacking.cursor ? this.#client.messages(from, lacking) : []) {
      items.push(...natives(message).slice(0, message.version > to ? kept : undefined));
    }
    const end = items.length + others;
    const behind = { cursor: sealed - 1, include: "native", limit: PAGE } as const;
    for await (const message of others ? this.#client.messages(from, behind) : []) {
      if (items.push(...natives(message)) >= end) break;
    }
    const args = { format: FORMAT, idempotencyKey: key, contextMetadata: { [MARK]: null } } as const;
    await this.#client.append(id, items.slice(0, end), args);
  }
}

/** What a transaction expects, and what it puts in the place of that. */
function sides(transaction: SessionHistoryTransaction): [AgentInputItem[], AgentInputItem[]] {
  if (transaction?.type === "append_items" && Array.isArray(transaction.items)) return [[], transaction.items];
  if (transaction?.type === "replace_suffix") {
    const { expectedSuffix, replacement } = transaction;
    if (Array.isArray(expectedSuffix) && Array.isArray(replacement)) return [expectedSuffix, replacement];
  }
  throw new TypeError("a transaction appends items, or replaces a suffix");
}

/** Where appends of items start, as one takes 1,000 of them or 4 MB. */
function starts(items: Item[]): number[] {
  return items.length ? [0, ...cuts(items, items.map(dump), { format: FORMAT })] : [];
}

/** What is to be forgotten of operations, lest they become more and more: the oldest. */
function forgotten(operations: Operations): Operations {
  const newestFirst = Object.entries(operations).sort(([, one], [, other]) => other!.at - one!.at);
  return Object.fromEntries(newestFirst.slice(MAX_OPERATIONS - 1).map(([key]) => [key, null]));
}

function theirs(items: Item[]): AgentInputItem[] {
  return fromStored(items) as AgentInputItem[];
}

function is(error: unknown, ...codes: string[]): boolean {
  return error instanceof ProblemError && codes.includes(error.code);
}

async function sha256(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
