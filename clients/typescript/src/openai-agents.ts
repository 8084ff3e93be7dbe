/**
 * A session of OpenAI's Agents SDK for JavaScript: `run(agent, input, { session: new KataSession("ticket-2077") })`.
 *
 * It is stored as Python's KataSession stores it (openai_agents.py says how and why), so both go on with each other's:
 * the session's id is a context's externalId, and messages are items of OpenAI's API, of which each has what its way
 * there and back would lose. What is taken back, a fork leaves out that takes the id along. Where a fork is not enough,
 * it is prepared without the id, and then takes it. So a call is done in one request or not at all, and who was slower
 * than another looks the session up again.
 */

import type {
  AgentInputItem,
  SessionHistoryTransaction,
  SessionHistoryTransactionArgs,
  SessionHistoryTransactionAwareSession,
} from "@openai/agents";

import { cuts } from "./appends.js";
import { Client } from "./client.js";
import { InvalidRequest, ProblemError } from "./errors.js";
import { callsBefore, canonical, fromStored, type Item, json, natives, OPAQUE } from "./openai-items.js";
import { toOpaque, toStored } from "./openai-items.js";
import { dump, newKey } from "./requests.js";
import type { AppendMessagesArguments, Policy, TaggedContext } from "./schema.js";

// Where the context's metadata has the newest operations, [id, what it was] of each as hashes, the oldest first.
const OPERATIONS = "openai-agents-operations";

// 70 bytes each of the 65,536 that an append may bring.
const MAX_OPERATIONS = 200;

const FORMAT = "openai-responses";

const PAGE = 1000; // messages; in bytes the service sees to it

// A result has no name but its call's: so many more messages are read at once, and all in all, to find it.
const [CALLS_BEHIND, CALLS_FAR] = [8, 2 * PAGE];

// What is refused where another has written, taken back or deleted meanwhile; so often in a row something is wrong.
const CONFLICTS = ["version_conflict", "external_id_missing", "context_not_found"];
const ROUNDS = 1000;

/** How much of a context is kept: the messages up to a version, and so many items of the one behind. */
interface Kept {
  to: number;
  items: number;
}

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
  #seen: TaggedContext | undefined;

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
    return this.#now(async (context) => {
      const budget = this.#budget ?? context.policy.budget;
      if (limit !== undefined || !budget) return (await this.#newest(context, limit ?? Infinity)).items;
      const window = await this.#client.window(context.id, { at: context.latestVersion, format: FORMAT, budget });
      const { instructions, input } = window.data;
      return fromStored([...(instructions ? [{ role: "system", content: instructions }] : []), ...input]);
    }) as Promise<AgentInputItem[]>;
  }

  /** Appends items, all or none of them. */
  async addItems(items: AgentInputItem[]): Promise<void> {
    const given: Item[] = json(items);
    if (!given.length) return;
    const idempotencyKey = newKey();
    const needsCalls = callsBefore(given).size > 0;
    const add = async (context: TaggedContext) => {
      const { names } = await this.#newest(context, 0, given);
      const stored = given.map((item) => toStored(item, names));
      const expectedVersion = needsCalls ? context.latestVersion : null; // as a call may be taken back
      await this.#append(context, stored, { idempotencyKey, expectedVersion });
    };
    await this.#now(add, needsCalls ? undefined : this.#seen);
  }

  /** Takes the newest item back, and answers it. */
  async popItem(): Promise<AgentInputItem | undefined> {
    return this.#now(async (context) => {
      const { items, kept } = await this.#newest(context, 1);
      if (items.length) await this.#replace(context, kept);
      return items[0] as AgentInputItem | undefined;
    });
  }

  /** Takes all items back. The service keeps them, in contexts that the session's id does not name any more. */
  async clearSession(): Promise<void> {
    await this.#now(async (context) => {
      const forgets = OPERATIONS in context.metadata ? { [OPERATIONS]: null } : undefined;
      if (context.latestVersion || forgets) await this.#replace(context, { to: 0, items: 0 }, [], forgets);
    });
  }

  /** Appends it: the runner reads from the newest compaction on, and what is before it is not lost. */
  async replaceHistoryWithCompaction(items: AgentInputItem[]): Promise<void> {
    await this.addItems(items);
  }

  /**
   * Appends items, or puts others in the place of the newest ones, once: the same operation again changes nothing.
   *
   * Rejects, and has changed nothing, where the operation was another transaction, or where the newest items are others
   * than it expects. The newest 200 operations are remembered.
   */
  async applyHistoryTransaction({ operationId, transaction }: SessionHistoryTransactionArgs): Promise<void> {
    if (typeof operationId !== "string" || !operationId.trim())
      throw new TypeError("an operationId is a text, not empty");
    const [expected, given] = sides(json(transaction));
    const [operation, digest] = [await sha256(operationId), await sha256(canonical(transaction))];
    await this.#now(async (context) => {
      const { [OPERATIONS]: known } = context.metadata;
      const operations: unknown[] = Array.isArray(known) ? known : [];
      const made = operations.find((each) => Array.isArray(each) && each[0] === operation) as string[] | undefined;
      if (made && made[1] !== digest)
        throw new Error("the operation was already applied with a different transaction");
      if (made) return;
      const { items, kept, names } = await this.#newest(context, expected.length, given);
      if (canonical(items) !== canonical(expected))
        throw new Error("the session's newest items are not the expected ones");
      const stored = given.map((item) => toStored(item, names));
      const contextMetadata = { [OPERATIONS]: [...operations, [operation, digest]].slice(-MAX_OPERATIONS) };
      if (expected.length || !stored.length) await this.#replace(context, kept, stored, contextMetadata);
      else await this.#append(context, stored, { expectedVersion: context.latestVersion, contextMetadata });
    });
  }

  /** Acts on the context that the session's id names, or the one seen last; again where it names another meanwhile. */
  async #now<T>(act: (context: TaggedContext) => Promise<T>, seen?: TaggedContext): Promise<T> {
    for (let round = 0; ; round++) {
      const open = { externalId: this.#id, policy: this.#policy ?? null };
      this.#seen = (round === 0 && seen) || (await this.#client.createContext(open));
      try {
        return await act(this.#seen);
      } catch (error) {
        if (round === ROUNDS || !is(error, ...CONFLICTS)) throw error;
      }
    }
  }

  /**
   * The newest items of a context, what is kept of it without them, and the names of the calls in that.
   *
   * Names as far as they are needed: for the items, and for others that are to come behind what is kept.
   */
  async #newest({ id, latestVersion: at }: TaggedContext, limit: number, others: Item[] = []) {
    const read: Item[][] = []; // newest first
    const needed = callsBefore(others);
    const kept: Kept = { to: at, items: 0 };
    let count = 0;
    const page = Math.min(limit + CALLS_BEHIND, PAGE);
    const messages = this.#client.messages(id, { order: "desc", at, include: "native", limit: page });
    for await (const message of at && (limit || needed.size) ? messages : []) {
      const found = natives(message);
      if (count < limit)
        Object.assign(kept, { to: message.version - 1, items: Math.max(count + found.length - limit, 0) });
      read.push(found);
      count += found.length;
      callsBefore(found, needed);
      if (count >= limit && (!needed.size || message.version <= kept.to - CALLS_FAR)) break;
    }
    const [all, cut, names] = [read.reverse().flat(), Math.max(count - limit, 0), new Map<string, string>()];
    fromStored(all.slice(0, cut), names);
    return { items: fromStored(all.slice(cut), new Map(names)), kept, names };
  }

  /** Appends items, all or none. Rejects with a conflict where the context has the session's id no more. */
  async #append(context: TaggedContext, items: Item[], args: AppendMessagesArguments): Promise<void> {
    if (starts(items).length === 1) {
      try {
        return await this.#send(context.id, items, { ...args, expectedExternalId: this.#id });
      } catch (error) {
        // The items of one answer are one message, which has a limit of its own.
        if (items.length === 1 || !is(error, "payload_too_large")) throw error;
      }
    }
    await this.#replace(context, { to: context.latestVersion, items: 0 }, items, args.contextMetadata ?? undefined);
  }

  /**
   * Keeps so much of a context, and puts others behind it, in a fork that takes the session's id.
   *
   * Rejects with a conflict where somebody was faster.
   */
  async #replace(context: TaggedContext, kept: Kept, others: Item[] = [], metadata?: Item): Promise<void> {
    const { id, name, latestVersion: expectedVersion } = context;
    const moves = !kept.items && !others.length && !metadata && { moveExternalId: true, expectedVersion };
    const fork = await this.#client.fork(id, { version: kept.to, name, ...moves }).catch((error: unknown) => {
      if (!is(error, "fork_too_deep")) throw error;
      return this.#client.fork(id, { version: 0, name }); // has no ancestors to speak of
    });
    if (fork.externalId !== null) return;
    try {
      await this.#fill(fork, id, kept, others);
      const takeExternalIdFrom = { contextId: id, expectedVersion };
      await this.#client.updateContext(fork.id, { takeExternalIdFrom, ...(metadata && { metadata }) });
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status >= 500) throw error;
      if (error.attempts > 1 && (await this.#took(fork.id))) return;
      await this.#client.deleteContext(fork.id).catch(() => {}); // else it stays, and nothing leads to it
      throw error;
    }
  }

  /** Appends to a fork what it lacks of what is kept of another context, and others behind it. */
  async #fill({ id, forkVersion }: TaggedContext, from: string, { to, items: kept }: Kept, others: Item[]) {
    const [cursor, at] = [forkVersion ?? 0, to + (kept && 1)];
    const lacking = this.#client.messages(from, { cursor, at, include: "native", limit: PAGE });
    let items: Item[] = [];
    for await (const page of at > cursor ? lacking.pages() : []) {
      await this.#put(id, items);
      items = page.flatMap((message) => natives(message).slice(0, message.version > to ? kept : undefined));
    }
    await this.#put(id, [...items, ...others]);
  }

  /** Whether a fork got the id, where a request was sent again: has it, or had it, as who finds it then forks it. */
  async #took(id: string): Promise<boolean> {
    if ((await this.#client.getContext(id)).externalId === this.#id) return true;
    for await (const _ of this.#client.forks(id, { limit: 1 })) return true;
    return false;
  }

  /** Appends any number of items to a context that nobody else knows. */
  async #put(id: string, items: Item[]): Promise<void> {
    const cut = starts(items);
    const parts = cut.map((start, part) => items.slice(start, cut[part + 1]));
    for (const part of parts) {
      try {
        await this.#send(id, part);
      } catch (error) {
        if (part.length === 1 || !is(error, "payload_too_large")) throw error;
        await this.#put(id, part.slice(0, part.length >> 1));
        await this.#put(id, part.slice(part.length >> 1));
      }
    }
  }

  /** Appends what one request takes. What the service refuses is stored as JSON text. */
  async #send(id: string, items: Item[], args: AppendMessagesArguments = {}): Promise<void> {
    try {
      await this.#client.append(id, items, { ...args, format: FORMAT });
    } catch (error) {
      const places = error instanceof InvalidRequest ? error.errors.map(({ pointer }) => pointer.split("/")[2]) : [];
      const isRefused = (item: Item, place: number) => item["type"] !== OPAQUE && places.includes(`${place}`);
      if (!items.some(isRefused)) throw error;
      await this.#send(id, items.map((item, place) => (isRefused(item, place) ? toOpaque(item) : item)), args);
    }
  }
}

/** What a transaction expects, and what it puts in the place of that. */
function sides(transaction: SessionHistoryTransaction): [Item[], Item[]] {
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

function is(error: unknown, ...codes: string[]): boolean {
  return error instanceof ProblemError && codes.includes(error.code);
}

async function sha256(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
