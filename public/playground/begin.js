// Where a view begins: a context that is there, the sample, or a transcript that is pasted.

import { html, useEffect, useRef, useState } from "./preact.js";
import { Trouble } from "./pieces.js";
import { API, call } from "./service.js";
import { append, newKey, store } from "./transcripts.js";
import { fragmentOf } from "./view.js";
import { useStill } from "./windows.js";
import { FORMATS, count, many } from "./words.js";

// Characters of a transcript: the browser keeps it a few times over.
const MOST_PASTED = 50_000_000;

// Contexts that are listed.
const NEWEST = 20;

// The budget at which the sample has something to say.
const SAMPLE_BUDGET = 2000;

/**
 * Makes the sample, or finds it, or what of it was made before something failed: a context and a fork of it with a
 * compaction. Every step has a key, so that nothing is stored twice. Returns the context.
 */
async function makeSample() {
  const sample = await call("GET", "/playground/sample.json");
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
      if (text && file) throw new Error("There is a text and a file: take one of them away.");
      const size = file?.size ?? text.length;
      if (size > MOST_PASTED) throw new Error(`This has ${count(size)} characters, and this page takes ${count(MOST_PASTED)}: use scripts/load.py.`);
      const context = await store(file ? await file.text() : text, format, say);
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
  const [busy, work] = useState(false);
  const [said, say] = useState("");
  const there = useMounted();
  const { value, error, again } = useStill(`${turn}`, 0, (signal) => call("GET", API, { query: { limit: NEWEST }, signal }));
  const contexts = value?.data;
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
  return html`<div class="begin">
    <section>
      <h2>Take the sample</h2>
      <p>A real agent at work for an airline, 30 messages into its task, with a fork of it that went on and has a compaction.</p>
      <button type="button" class="main" disabled=${busy} onClick=${sample}>Load the sample</button>
      <p role="status">${said}</p>
    </section>
    <section>
      <h2>Open a context</h2>
      ${error && html`<${Trouble} error=${error} again=${again} />`}
      ${contexts && !contexts.length && html`<p>There is none yet.</p>`}
      <ul class="cards">
        ${contexts?.map(({ id, name, externalId, latestVersion, totalTokens }) => html`<li key=${id}>
          <a href=${fragmentOf({ context: id })}><bdi>${name ?? externalId ?? id}</bdi></a>
          ${" "}<small>${many(latestVersion, "message")}, ${many(totalTokens, "token")}</small>
        </li>`)}
      </ul>
      ${value?.hasMore && html`<p class="hint">These are the newest. Any other opens by its id above.</p>`}
    </section>
    <${Paste} opened=${opened} />
  </div>`;
}
