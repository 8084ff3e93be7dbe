// Transcripts as people have them, into contexts: what they are is told by their members, and they are stored whole.

import { API, call, parseExactly } from "./service.js";
import { count, many } from "./words.js";

// What the service takes at once, with room for what it counts besides.
const MOST_MESSAGES = 1000;
const MOST_BYTES = 4_000_000;

// Also where the page is served without TLS, so that the browser has no crypto.randomUUID.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Appends messages of a format in as many requests as it takes; each under a key of its own, so it may be repeated. */
export async function append(id, format, messages, key, told) {
  let batch = [];
  let bytes = 0;
  let sent = 0;
  const send = async () => {
    const body = { ...(format !== "kata" && { format }), messages: batch };
    try {
      await call("POST", `${API}/${id}/messages`, { body, idempotencyKey: `${key}-${sent}` });
    } catch (error) {
      // The service counts from the first message of the request.
      if (sent) error.message = `${error.message} (counted from message ${count(sent + 1)} on)`;
      throw error;
    }
    sent += batch.length;
    told?.(sent);
    [batch, bytes] = [[], 0];
  };
  for (const message of messages) {
    const size = new TextEncoder().encode(JSON.stringify(message)).length;
    if (batch.length && (batch.length === MOST_MESSAGES || bytes + size > MOST_BYTES)) await send();
    batch.push(message);
    bytes += size + 1;
  }
  if (batch.length) await send();
}

// What a message of this API's answers has that an append takes; the rest is the service's to say.
const APPENDED = ["role", "content", "toolCalls", "toolCallId", "toolName", "model", "metadata", "tokenCount", "createdAt"];

/**
 * What was pasted: `{system, messages, format}` of JSON, or of a JSON value in each line; `format` is what it seems to
 * be of. Throws an error for what is no transcript.
 */
function parsePasted(text) {
  let value;
  try {
    value = parseExactly(text);
  } catch (error) {
    value = parseLines(text, error);
  }
  let messages = Array.isArray(value) ? value : (value?.messages ?? value?.contents ?? value?.input ?? value?.data);
  if (typeof messages === "string") messages = [{ role: "user", content: messages }];
  if (!Array.isArray(messages) || !messages.length || !messages.every((message) => message && typeof message === "object" && !Array.isArray(message))) {
    throw new Error("This is no transcript: it must be a list of messages, or an object with one as messages, contents or input.");
  }
  const format = formatOf(value, messages);
  if (format === "kata") messages = messages.map((message) => Object.fromEntries(APPENDED.filter((name) => message[name] != null).map((name) => [name, message[name]])));
  const system = value.system ?? value.instructions ?? value.systemInstruction ?? value.system_instruction;
  const parts = typeof system === "string" ? [system] : [system?.parts ?? system].flat().map((part) => part?.text);
  return { system: parts.filter((part) => typeof part === "string").join("\n"), messages, format };
}

/** The JSON values of a text that has one in each line. Throws `error` where it is no such text either. */
function parseLines(text, error) {
  const lines = text.split("\n").map((line, index) => [line, index + 1]).filter(([line]) => line.trim());
  const values = lines.map(([line, number], index) => {
    try {
      return parseExactly(line);
    } catch (reason) {
      throw new Error(index ? `This is no JSON: line ${number}: ${reason.message}` : `This is no JSON: ${error.message}`);
    }
  });
  return values.length === 1 ? values[0] : values;
}

/** The format that a transcript seems to be of: by members and parts that only one provider has. */
function formatOf(value, messages) {
  const has = (...names) => messages.some((message) => names.some((name) => message[name]));
  const some = (test) => messages.some(({ content }) => Array.isArray(content) && content.some((one) => one && test(one)));
  const part = (...types) => some(({ type }) => types.includes(type));
  if (messages.some(({ parts }) => Array.isArray(parts) && parts.some((one) => typeof one?.type === "string"))) {
    throw new Error("These are messages of a user interface: convert them with the AI SDK's convertToModelMessages first.");
  }
  if (value.contents || has("parts")) return "gemini";
  if (value.data || has("toolCalls", "toolCallId")) return "kata";
  if (has("tool_calls", "tool_call_id")) return "openai-chat";
  if (part("tool-call", "tool-result", "reasoning")) return "ai-sdk";
  if (value.input || messages.some(({ type }) => typeof type === "string" && type !== "message") || part("input_text", "output_text")) return "openai-responses";
  if (value.system || part("tool_use", "tool_result", "thinking", "redacted_thinking", "document") || some(({ type, source }) => type === "image" && source)) return "anthropic";
  return "openai-chat";
}

/**
 * Makes a context of a transcript, of a format or of the one that it seems to be of. Should an append fail, the context
 * is deleted, lest half a transcript pass for one. `told` takes words on how far it is. Throws what is to be said.
 */
export async function store(text, chosen, told) {
  const { system, messages, format } = parsePasted(text);
  const { data: context } = await call("POST", API, { body: { name: "Pasted" }, idempotencyKey: newKey() });
  try {
    if (system) await append(context.id, "kata", [{ role: "system", content: system }], newKey());
    await append(context.id, chosen || format, messages, newKey(), (sent) => told(`${count(sent)} of ${many(messages.length, "message")} …`));
  } catch (error) {
    await call("DELETE", `${API}/${context.id}`).catch(() => {
      error.message = `${error.message}. A part of it is stored, and could not be deleted: context ${context.id}`;
    });
    throw error;
  }
  return context;
}
