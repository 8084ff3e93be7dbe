/** An append as the requests that it takes. Nothing here does I/O. */

import { dump, list, newKey, path, request, type Request } from "./requests.js";
import type { AppendMessagesArguments, Message } from "./schema.js";

// What the service takes at once: 1,000 messages and, with 400 bytes of the answer for each, 4,500,000 bytes; less
// here, as a body has other members too.
const [MAX_MESSAGES, MAX_BYTES, ANSWER_BYTES] = [1000, 4_300_000, 400];

// The service takes keys of 255 characters; each part behind the first has a number behind the key.
const MAX_KEY = 240;

// any: a message of some provider, in whatever shape
type Given = Record<string, any>;

/**
 * The requests of an append, each to be sent once stored has what those before it have stored.
 *
 * Those behind the first have keys made of the call's, and expect what the one before has left if the caller expects
 * anything; the last has contextMetadata. Throws TypeError for what is no JSON, before the first.
 */
export function* parts(
  contextId: string,
  messages: Iterable<object>,
  args: AppendMessagesArguments,
  stored: readonly Message[],
): Generator<Request<Message[]>> {
  const { idempotencyKey, ifMatch, contextMetadata, tokenCounts, ...members } = args;
  const given = [...messages];
  if (!given.every((message) => typeof message === "object" && message)) throw new TypeError("messages are objects");
  const texts = given.map((message) => dump(message));
  const key = `${idempotencyKey ?? newKey()}`;
  const starts = [0, ...cuts(given, texts, members)];
  if (starts.length > 1 && key.length > MAX_KEY) {
    throw new TypeError(`more messages than one append takes need a key of at most ${MAX_KEY} characters`);
  }
  if (tokenCounts && tokenCounts.length !== given.length) throw new TypeError("tokenCounts has one for each message");
  for (const [part, start] of starts.entries()) {
    const end = starts[part + 1] ?? given.length;
    if (part && (ifMatch ?? members.expectedVersion) != null) members.expectedVersion = stored.at(-1)!.version;
    const own = {
      ...members,
      idempotencyKey: part ? `${key}.${start}` : key,
      ...(!part && "ifMatch" in args && { ifMatch }),
      tokenCounts: tokenCounts?.slice(start, end),
      contextMetadata: end === given.length ? contextMetadata : undefined,
    };
    const text = `[${texts.slice(start, end).join(",")}]`;
    yield { ...request("POST", path(contextId, "messages"), list<Message>, own, text), key };
  }
}

/** Where parts start: before the last turn of a user that begins in one, so that a turn stays together, if it can. */
export function* cuts(given: Given[], texts: string[], args: AppendMessagesArguments): Generator<number> {
  const each = ANSWER_BYTES + bytes(dump([args.metadata ?? null, args.model ?? null]));
  const [many, much] = [[0], [0]]; // of the first n messages
  let [start, turn] = [0, 0];
  for (const [end, message] of given.entries()) {
    const count = (args.format ?? "kata") === "kata" ? 1 : most(message);
    many.push(many[end]! + count);
    much.push(much[end]! + bytes(texts[end]!) + count * each);
    if (beginsTurn(message)) turn = end;
    while (end > start && (many[end + 1]! - many[start]! > MAX_MESSAGES || much[end + 1]! - much[start]! > MAX_BYTES)) {
      start = turn > start ? turn : end;
      yield start;
    }
  }
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

function blocks(message: Given): Given[] {
  const found = message["content"] || message["parts"];
  return Array.isArray(found) ? found : [];
}

/** How many messages may come of a provider's one: a call and a result of each block, and one for the rest. */
function most(message: Given): number {
  return 1 + 2 * blocks(message).length;
}

/** Whether it is said by a user, and is no result of a tool. */
function beginsTurn(message: Given): boolean {
  const results = ["functionResponse", "function_response"];
  const ofTool = (block: Given) => block?.["type"] === "tool_result" || results.some((name) => block?.[name]);
  return message["role"] === "user" && !blocks(message).some(ofTool);
}
