/**
 * Chats of Vercel's AI SDK, 6 and 7: a store of UI messages, and a prepareStep that sends the window.
 *
 * A UI message holds calls and their results, and a window holds whole units of both. So each is stored as the model
 * messages that it becomes, in the format ai-sdk, a result in each tool message. The last of them has the UI message in
 * its metadata: as text, as JSON takes more characters than the service does. Until that one is stored, the others are
 * no message of the chat: a save that finds such forks before them. Each has a digest of its UI message and all before
 * it, so the newest tells whether the chat begins as what is saved does, whatever ids messages have.
 */

// Must never import more than types of it.
import type { ModelMessage, SystemModelMessage, UIMessage } from "ai";
import type { Client } from "./client.js";
import type { GetWindowArguments, Message, NativeMessage, Policy, TaggedContext } from "./schema.js";

// Somebody else has written, branched or deleted: what is stored is read again. So often at most.
const RACES = ["version_conflict", "external_id_missing", "context_not_found"];
const MAX_ROUNDS = 100;

// Of a message, in bytes: what the service takes less its other members.
const MAX_BYTES = 4_300_000;

// A token has about four bytes of prose and three of JSON.
const BYTES_PER_TOKEN = 3;

// any: parts of every kind, from several versions of the SDK
type Part = Record<string, any>;
type Plain = { role: string; content: string | Part[]; providerOptions?: unknown };

export interface StoreOptions<UI extends UIMessage> {
  /** The SDK's own, or a function that calls it with your tools. */
  convertToModelMessages: (messages: UI[]) => ModelMessage[] | PromiseLike<ModelMessage[]>;
  /** Of chats that are made here. */
  policy?: Policy | undefined;
}

export interface KataStore<UI extends UIMessage> {
  /** The messages of a chat, equal to those that were saved; none where there is no chat. */
  load(chatId: string): Promise<UI[]>;
  /**
   * Makes a chat what the array is, and answers the id of its context. What is new is appended; where a message has
   * changed or is gone, a fork before it is made the same, and becomes the chat at once: what was there stays in the
   * old context.
   *
   * Of several at once the last counts, and none is stored twice. Rejects with KataError, RangeError for a message that
   * is too large, and TypeError for what is no id.
   */
  save(chatId: string, messages: readonly UI[]): Promise<string>;
}

/** A UI message as JSON, and what tells it and all before it. */
interface Item {
  text: string;
  digest: string;
}

/** A store of chats, each a context whose externalId is the chat's id. */
export function kataStore<UI extends UIMessage = UIMessage>(client: Client, options: StoreOptions<UI>): KataStore<UI> {
  function load(chatId: string): Promise<UI[]> {
    return settled(chatId, async () => {
      const messages: UI[] = [];
      for await (const context of client.contexts({ externalId: chatId })) {
        for await (const stored of client.messages(context.id, { limit: 1000 })) {
          const { message } = ours(stored) ?? {};
          if (message !== undefined) messages.push(JSON.parse(message));
        }
      }
      return messages;
    });
  }

  async function save(chatId: string, messages: readonly UI[]): Promise<string> {
    const items = await chain(messages);
    return settled(chatId, async () => {
      const context = await client.createContext({ externalId: chatId, policy: options.policy ?? null });
      const { version, kept, cut } = await compare(context.id, items);
      const added = await Promise.all(items.slice(kept).map(converted));
      if (!cut) {
        await append(context.id, added, { expectedExternalId: chatId, expectedVersion: version });
        return context.id;
      }
      const draft = await branch(context, cut - 1);
      await append(draft.id, added);
      const holder = { contextId: context.id, expectedVersion: version };
      await client.updateContext(draft.id, { takeExternalIdFrom: holder }).catch(async (error) => {
        // Refused at once. Behind another attempt it may have become the chat.
        if (error.status === 409 && error.attempts === 1) await client.deleteContext(draft.id);
        throw error;
      });
      return draft.id;
    });
  }

  /**
   * What a context has of these: its latest version, how many of them it begins with, and the version that what else
   * was saved begins at, 0 for none.
   */
  async function compare(contextId: string, items: Item[]) {
    const places = new Map(items.map(({ digest }, place) => [digest, place + 1]));
    let [version, kept, cut] = [0, 0, 0];
    for await (const stored of client.messages(contextId, { order: "desc", limit: 20 })) {
      version ||= stored.version;
      const own = ours(stored);
      if (!own) continue; // somebody else's, such as a preamble
      kept = (own.message !== undefined && places.get(own.digest)) || 0;
      if (kept) break;
      cut = stored.version;
    }
    return { version, kept, cut };
  }

  async function converted({ text, digest }: Item) {
    const message: UI = JSON.parse(text);
    const parts = plain(await options.convertToModelMessages([message]));
    if (parts.length === 0) parts.push({ role: message.role, content: [] }); // which no window has
    const most = Math.max(...parts.map((part) => mostBytes(JSON.stringify(part)))) + bytes(JSON.stringify(text));
    if (most > MAX_BYTES) throw new RangeError(`a message of ${bytes(text)} bytes is too large to be stored`);
    return { digest, text, parts };
  }

  async function append(
    contextId: string,
    added: (Item & { parts: Plain[] })[],
    expected?: { expectedExternalId: string; expectedVersion: number },
  ): Promise<void> {
    for (const { digest, text, parts } of added) {
      const batches = [
        { messages: parts.slice(0, -1), aiSdk: { digest } },
        { messages: parts.slice(-1), aiSdk: { digest, message: text } },
      ];
      for (const { messages, aiSdk } of batches.filter(({ messages }) => messages.length)) {
        const args = { format: "ai-sdk", metadata: { aiSdk }, ...expected } as const;
        const stored = await client.append(contextId, messages, args);
        if (expected) expected.expectedVersion = stored.at(-1)!.version;
      }
    }
  }

  /** The chat as it was at a version: a fork, or a copy where the context has as many ancestors as one may have. */
  async function branch({ id, name, metadata, policy }: TaggedContext, version: number): Promise<TaggedContext> {
    try {
      return await client.fork(id, { version, name });
    } catch (error) {
      if ((error as { code?: string }).code !== "fork_too_deep") throw error;
    }
    const copy = await client.createContext({ name, metadata, policy });
    const pages = client.messages(id, { at: version, include: "native", limit: 1000 }).pages();
    for await (const page of pages) {
      for (const run of runs(page)) {
        const { nativeFormat: format, metadata, model } = run[0]!;
        const given = run.flatMap(({ native }) => native as object[]); // of some, a message is a list
        const tokenCounts = given.map((_, at) => run[at]?.tokenCount ?? 0);
        if (format) await client.append(copy.id, given, { format, metadata, model, tokenCounts });
        else await client.append(copy.id, run.map(kata));
      }
    }
    return copy;
  }

  return { load, save };
}

/** What attempt comes to, once nobody else is in its way. */
async function settled<T>(chatId: string, attempt: () => Promise<T>): Promise<T> {
  // undefined would be no filter: the chats of all others
  if (typeof chatId !== "string") throw new TypeError("the id of a chat is text");
  for (let round = 1; ; round++) {
    try {
      return await attempt();
    } catch (error) {
      if (round === MAX_ROUNDS || !RACES.includes((error as { code?: string }).code ?? "")) throw error;
    }
  }
}

/** Runs of messages that one append stores as they are: those of other providers alone, as neighbours may merge. */
function runs(stored: NativeMessage[]): NativeMessage[][] {
  const found: NativeMessage[][] = [];
  let last: string | undefined;
  for (const message of stored) {
    const { id, nativeFormat, metadata, model } = message;
    const kind = !nativeFormat ? "" : nativeFormat === "ai-sdk" ? JSON.stringify([metadata, model]) : id;
    if (kind !== last) found.push([]);
    last = kind;
    found.at(-1)!.push(message);
  }
  return found;
}

function kata({ role, content, toolCalls, toolCallId, toolName, model, metadata, tokenCount }: NativeMessage) {
  return { role, content, toolCalls, toolCallId, toolName, model, metadata, tokenCount };
}

/** What the store has added to a message; others may use the name for something else. */
function ours({ metadata }: Message): { digest: string; message?: string } | undefined {
  const own = metadata["aiSdk"] as Part | null | undefined;
  return typeof own?.["digest"] === "string" ? (own as never) : undefined;
}

/** Messages with their JSON, and a digest of each and all before it, for which the order of members does not matter. */
async function chain(messages: readonly UIMessage[]): Promise<Item[]> {
  const items: Item[] = [];
  // All at once, as the caller may change them meanwhile.
  for (const text of messages.map((message) => JSON.stringify(message))) {
    const sorted = JSON.stringify(JSON.parse(text), (_, value) =>
      value instanceof Object && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
        : value,
    );
    const hash = await crypto.subtle.digest("SHA-256", encoder.encode(`${items.at(-1)?.digest}${sorted}`));
    const digest = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
    items.push({ text, digest });
  }
  return items;
}

const encoder = new TextEncoder();

function bytes(text: string): number {
  return encoder.encode(text).length;
}

/** What a part takes at most: as it was given, and once more as text where it is a result. */
function mostBytes(text: string): number {
  return bytes(text) + bytes(JSON.stringify(text));
}

/**
 * Model messages as the service takes them: links as text, as all versions read them, no characters that it refuses, a
 * result in each tool message, and nothing of approvals, which the SDK settles before a model is called.
 */
function plain(messages: ModelMessage[]): Plain[] {
  const text = JSON.stringify(messages).replace(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f]..)/g, "$1\ufffd");
  return (JSON.parse(text) as Plain[]).flatMap((message) => {
    if (typeof message.content === "string") return [message];
    const content = message.content
      .filter(({ type }) => type !== "tool-approval-request" && type !== "tool-approval-response")
      .map((part) => {
        if (part["data"]?.type === "url") return { ...part, data: part["data"].url };
        return part["type"] === "tool-call" ? { ...part, input: part["input"] ?? {} } : part;
      });
    return message.role === "tool"
      ? content.map((part) => ({ ...message, content: [part] }))
      : [{ ...message, content }];
  });
}

/** What a prepareStep is told: by 6 less than by 7. */
export interface Step {
  messages: ModelMessage[];
  steps: readonly { response: { messages: ModelMessage[] }; experimental_steeringMessages?: ModelMessage[] }[];
  initialInstructions?: Instructions | undefined;
  responseMessages?: ModelMessage[];
  experimental_steeringMessages?: ModelMessage[];
}

type Instructions = string | SystemModelMessage | SystemModelMessage[];

/** `budget` and all else that chooses a window; without any the context's policy counts. */
export interface PrepareStepOptions extends Omit<GetWindowArguments, "format" | "include" | "ifNoneMatch"> {
  client: Client;
  /** What save answers. It must have been said there what the model is to answer. */
  contextId: string;
  /** For the AI SDK 6, which does not tell a step the `system` of its call: the same again. 7 needs none. */
  system?: string | undefined;
  /** Tokens of a message of this run, which is not stored yet: estimated on the large side if absent. */
  countTokens?: ((message: ModelMessage) => number) | undefined;
}

/**
 * A prepareStep that sends the window, and behind it what this run has said so far, all within the budget.
 *
 * What a run says moves the window on as if it were stored: by the policy's step. A run that is longer than the budget
 * loses its oldest calls with their results. Keeps nothing between steps, so one may serve several runs.
 */
export function kataPrepareStep({ client, contextId, system, countTokens = estimate, ...args }: PrepareStepOptions) {
  const read = (more: GetWindowArguments) => client.window(contextId, { ...args, ...more, format: "ai-sdk" });
  return async (step: Step): Promise<{ messages?: ModelMessage[]; instructions?: Instructions; system?: string }> => {
    let window = await read({});
    const { budget, policy } = window;
    const units = unitsOf(newlySaid(step), countTokens);
    const tokens = units.reduce((sum, unit) => sum + unit.tokens, 0);
    const edge = window.tokensToEdge ?? 0;
    if (tokens > edge) {
      window = await read({ budget: Math.max(1, budget - edge - stepped(tokens - edge, policy.step)), step: 0 });
      let over = stepped(window.usedTokens + tokens - budget, policy.step);
      while (over > 0 && units.length > 1) over -= units.shift()!.tokens;
    }
    const said = units.flatMap(({ messages }) => messages);
    const messages = [...unanswered(window.data.messages, said), ...said];
    if (messages.length === 0) return {}; // the service has nothing yet: what the call was given
    const instructions = joined(step.initialInstructions ?? system, window.data.system);
    return { messages, ...(instructions && { [step.responseMessages ? "instructions" : "system"]: instructions }) };
  };
}

/** Tokens in whole steps, if there are steps. */
function stepped(tokens: number, step: number): number {
  return step ? Math.ceil(tokens / step) * step : tokens;
}

/** What the run has said until this step, and what was said to it: results first, where calls had waited for it. */
function newlySaid({ steps, responseMessages, messages, experimental_steeringMessages = [] }: Step): ModelMessage[] {
  // In 6 each step has what those before it said; before the first, only results may be new.
  if (!responseMessages)
    return steps.at(-1)?.response.messages ?? messages.slice(-1).filter(({ role }) => role === "tool");
  const said = steps.flatMap(({ response }) => response.messages);
  const first = responseMessages.slice(0, responseMessages.length - said.length);
  const later = steps.flatMap((each) => [...(each.experimental_steeringMessages ?? []), ...each.response.messages]);
  return [...first, ...later, ...experimental_steeringMessages];
}

/** Each message that is no tool message, with the tool messages behind it: they are never parted. */
function unitsOf(messages: ModelMessage[], countTokens: (message: ModelMessage) => number) {
  const units: { messages: ModelMessage[]; tokens: number }[] = [];
  for (const message of messages) {
    if (message.role !== "tool" || !units.length) units.push({ messages: [], tokens: 0 });
    const unit = units.at(-1)!;
    unit.messages.push(message);
    unit.tokens += countTokens(message);
  }
  return units;
}

/** A window without the results that the run begins with: the service answers calls that wait, or has them, in 6. */
function unanswered(window: ModelMessage[], said: ModelMessage[]): ModelMessage[] {
  const spoken = said.findIndex(({ role }) => role !== "tool");
  const first = spoken < 0 ? said : said.slice(0, spoken);
  const answered = new Set(first.flatMap(({ content }) => (content as Part[]).map(({ toolCallId }) => toolCallId)));
  const kept = [...window];
  for (let place = kept.length - 1; place >= 0 && answered.size; place--) {
    const message = kept[place]!;
    if (message.role !== "tool") continue;
    const content = message.content.filter((part) => part.type !== "tool-result" || !answered.delete(part.toolCallId));
    kept.splice(place, 1, ...(content.length ? [{ ...message, content }] : []));
  }
  return kept;
}

function joined(first: Instructions | undefined, stored: string | undefined): Instructions | undefined {
  if (!first || !stored) return first || stored;
  return typeof first === "string" ? `${first}\n\n${stored}` : [...[first].flat(), { role: "system", content: stored }];
}

/** About as many tokens as the service would count, or more: it counts no media, and nothing of the provider's own. */
function estimate(message: ModelMessage): number {
  const text = JSON.stringify(message, (name, value) => {
    if (name === "providerOptions") return undefined;
    return value?.mediaType || value?.type === "image" ? value.type : value;
  });
  return Math.ceil(bytes(text) / BYTES_PER_TOKEN);
}
