// Where a view begins: a context that is there, the sample, or a transcript that is pasted.

import { html, useEffect, useRef, useState } from "./preact.js";
import { Trouble } from "./pieces.js";
import { API, call, parseExactly } from "./service.js";
import { fragmentOf } from "./view.js";
import { FORMATS, count, many } from "./words.js";

// What the service takes at once, with room for what it counts besides.
const MOST_MESSAGES = 1000;
const MOST_BYTES = 4_000_000;

// Characters of a transcript: the browser keeps it a few times over.
const MOST_PASTED = 50_000_000;

// The budget at which the sample has something to say.
const SAMPLE_BUDGET = 2000;

// Also where the page is served without TLS, so that the browser has no crypto.randomUUID.
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Appends messages of a format in as many requests as it takes; each under a key of its own, so it may be repeated. */
async function append(id, format, messages, key, each) {
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
    each?.(sent);
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

/**
 * Makes the sample, or finds it, or what of it was made before something failed: a context and a fork of it with a
 * compaction. Every step has a key, so that nothing is stored twice. Returns the context.
 */
export async function makeSample() {
  const sample = await (await fetch("/playground/sample.json")).json();
  const { data: context } = await call("POST", API, { body: sample.context });
  const key = `sample-${context.id}`;
  await append(context.id, "openai-chat", sample.messages, key);
  try {
    await forkSample(context, sample, key);
  } catch (error) {
    // The fork that this key stands for has been deleted: make another.
    if (error.status !== 404) throw error;
    await forkSample(context, sample, newKey());
  }
  return context;
}

async function forkSample(context, sample, key) {
  const body = { ...sample.fork.context, version: sample.messages.length };
  const { data: fork } = await call("POST", `${API}/${context.id}/forks`, { body, idempotencyKey: key });
  await append(fork.id, "openai-chat", sample.fork.messages, key);
  await call("POST", `${API}/${fork.id}/compactions`, { body: sample.fork.compaction, idempotencyKey: key });
}

// What a message of this API's answers has that an append takes; the rest is the service's to say.
const APPENDED = ["role", "content", "toolCalls", "toolCallId", "toolName", "model", "metadata", "tokenCount", "createdAt"];

/**
 * What was pasted: `{system, messages, format}` of JSON, or of a JSON value in each line; `format` is what it seems to
 * be of. Throws an error for what is no transcript.
 */
export function parsePasted(text) {
  let value;
  try {
    value = parseExactly(text);
  } catch (error) {
    try {
      value = text.split("\n").filter((line) => line.trim()).map((line) => parseExactly(line));
    } catch {
      throw new Error(`This is no JSON: ${error.message}`);
    }
    if (value.length === 1) [value] = value;
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

/** The format that a transcript seems to be of: by members and parts that only one provider has. */
function formatOf(value, messages) {
  const has = (...names) => messages.some((message) => names.some((name) => message[name]));
  const part = (...types) => messages.some(({ content }) => Array.isArray(content) && content.some((one) => types.includes(one?.type)));
  if (messages.some(({ parts }) => Array.isArray(parts) && parts.some((one) => typeof one?.type === "string"))) {
    throw new Error("These are messages of a user interface: convert them with the AI SDK's convertToModelMessages first.");
  }
  if (value.contents || has("parts")) return "gemini";
  if (value.data || has("toolCalls", "toolCallId")) return "kata";
  if (has("tool_calls", "tool_call_id")) return "openai-chat";
  if (part("tool-call", "tool-result", "reasoning")) return "ai-sdk";
  if (value.input || messages.some(({ type }) => typeof type === "string" && type !== "message") || part("input_text", "output_text")) return "openai-responses";
  if (value.system || part("tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document")) return "anthropic";
  return "openai-chat";
}

/** Makes a context of what was pasted. Should an append fail, the context is deleted: all is stored, or nothing. */
async function store(text, chosen, each) {
  const { system, messages, format } = parsePasted(text);
  const { data: context } = await call("POST", API, { body: { name: "Pasted" }, idempotencyKey: newKey() });
  try {
    if (system) await append(context.id, "kata", [{ role: "system", content: system }], newKey());
    await append(context.id, chosen || format, messages, newKey(), (sent) => each(`${count(sent)} of ${many(messages.length, "message")} …`));
  } catch (error) {
    await call("DELETE", `${API}/${context.id}`).catch(() => {
      error.message = `${error.message}. A part of it is stored, and could not be deleted: context ${context.id}`;
    });
    throw error;
  }
  return context;
}

/** Whether a component is still there: who has gone on to something else is not taken back. */
function useMounted() {
  const there = useRef(true);
  useEffect(() => () => (there.current = false), []);
  return there;
}

function Paste({ opened }) {
  const [text, write] = useState("");
  const [file, take] = useState();
  const [format, choose] = useState("");
  const [said, say] = useState("");
  const [busy, work] = useState(false);
  const there = useMounted();
  const submit = async (event) => {
    event.preventDefault();
    work(true);
    say("Storing …");
    try {
      const given = text || ((await file?.text()) ?? "");
      if (given.length > MOST_PASTED) throw new Error(`This has ${count(given.length)} characters, and this page takes ${count(MOST_PASTED)}: use scripts/load.py.`);
      const context = await store(given, format, say);
      if (there.current) opened(context);
    } catch (error) {
      say(error.message);
    }
    work(false);
  };
  return html`<form onSubmit=${submit}>
    <h2>Paste a transcript</h2>
    <label><span>A list of messages as JSON, or a provider's request</span>
      <textarea rows="6" spellcheck=${false} value=${text} onInput=${(event) => write(event.target.value)}></textarea>
    </label>
    <label><span>or a file of it, quicker where it is large</span><input type="file" onChange=${(event) => take(event.target.files[0])} /></label>
    <label><span>Format</span>
      <select value=${format} onChange=${(event) => choose(event.target.value)}>
        <option value="">told by its members</option>
        ${FORMATS.map((name) => html`<option value=${name}>${name}</option>`)}
      </select>
    </label>
    <button disabled=${busy}>Store it as a new context</button>
    <p role="status">${said}</p>
  </form>`;
}

/** What is shown while no context is chosen. `opened` takes a context, and members of the view. */
export function Begin({ opened, turn }) {
  const [state, set] = useState({});
  const [busy, work] = useState(false);
  const [said, say] = useState("");
  const there = useMounted();
  useEffect(() => {
    const control = new AbortController();
    call("GET", API, { query: { limit: 20 }, signal: control.signal })
      .then(({ data }) => set({ contexts: data }))
      .catch((error) => !control.signal.aborted && set({ error }));
    return () => control.abort();
  }, [turn]);
  const sample = async () => {
    work(true);
    say("Making the sample …");
    try {
      const context = await makeSample();
      if (there.current) opened(context, { budget: String(SAMPLE_BUDGET) });
    } catch (error) {
      say(error.message);
    }
    work(false);
  };
  const { contexts, error } = state;
  return html`<div class="begin">
    <section>
      <h2>Take the sample</h2>
      <p>A real agent at work for an airline, 30 messages into its task, with a fork of it that went on and has a compaction.</p>
      <button type="button" class="main" disabled=${busy} onClick=${sample}>Load the sample</button>
      <p role="status">${said}</p>
    </section>
    <section>
      <h2>Open a context</h2>
      ${error && html`<${Trouble} error=${error} />`}
      ${contexts && !contexts.length && html`<p>There is none yet.</p>`}
      <ul class="cards">
        ${contexts?.map((context) => html`<li key=${context.id}><a href=${fragmentOf({ context: context.id })}><bdi>${context.name ?? context.externalId ?? context.id}</bdi></a> <small>${many(context.latestVersion, "message")}, ${many(context.totalTokens, "token")}</small></li>`)}
      </ul>
    </section>
    <${Paste} opened=${opened} />
  </div>`;
}
