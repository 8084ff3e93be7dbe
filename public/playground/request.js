// The window as the provider gets it, what had to be changed for that, and the request for it in three languages.

import { html, useMemo, useState } from "./preact.js";
import { hasKey } from "./service.js";
import { Copy, Text, Trouble } from "./pieces.js";
import { snippets } from "./snippets.js";
import { windowQuery } from "./view.js";
import { useAnswer } from "./windows.js";
import { FORMATS, count, many } from "./words.js";

const REPAIRS = 100;

const LANGUAGES = ["curl", "Python", "TypeScript"];

/** The request in a language of choice. */
function Snippets({ id, query }) {
  const [language, choose] = useState("curl");
  const text = snippets(location.origin, id, query, hasKey())[language];
  return html`<div class="snippets">
    <label><span>Ask for this window with</span>
      <select value=${language} onChange=${(event) => choose(event.target.value)}>${LANGUAGES.map((name) => html`<option value=${name}>${name}</option>`)}</select>
    </label>
    <pre tabindex="0" role="region" aria-label=${`The request in ${language}`}>${text}</pre>
    <${Copy} text=${text} words="Copy" />
  </div>`;
}

/** The section; `answer` is the window in the service's own shape. */
export function Request({ id, view, answer: window, waiting, turn, select, change }) {
  const format = view.format ?? "kata";
  const query = { ...windowQuery(view), ...(format !== "kata" && { format }) };
  const theirs = useAnswer(format === "kata" ? undefined : id, query, turn);
  // What was answered for another format is no answer for this one.
  const answer = format === "kata" ? window : theirs.query?.format === format ? theirs.answer : undefined;
  return html`<section aria-labelledby="request-title">
    <h2 id="request-title">The request as the provider gets it</h2>
    <label><span>Format</span>
      <select value=${format} onChange=${(event) => change({ format: event.target.value === "kata" ? "" : event.target.value })}>${FORMATS.map((name) => html`<option value=${name}>${name}</option>`)}</select>
    </label>
    ${format !== "kata" && theirs.error && !waiting && html`<${Trouble} error=${theirs.error} />`}
    ${answer && html`<${Repairs} answer=${answer} format=${format} select=${select} />
      <${Data} answer=${answer} />`}
    <${Snippets} id=${id} query=${query} />
  </section>`;
}

function Repairs({ answer, format, select }) {
  if (format === "kata") return html`<p>These are messages as they are stored. Choose a provider to see its request, and what had to be repaired for it.</p>`;
  if (!answer.repairCount) return html`<p>Nothing had to be repaired.</p>`;
  return html`<p>${many(answer.repairCount, "repair")}, without which the provider would refuse this or lose something:</p>
    <ul class="cards">
      ${answer.repairs.slice(0, REPAIRS).map(({ version, code, detail }) => html`<li>
        ${version ? html`<button type="button" class="link" onClick=${() => select(version)}>Message ${version}</button>` : "The window"}: <code>${code}</code>, <bdi>${detail}</bdi>
      </li>`)}
    </ul>
    ${answer.repairCount > REPAIRS && html`<p>and ${count(answer.repairCount - REPAIRS)} more.</p>`}`;
}

/** The members of a request, which may have megabytes: they are written out once somebody wants to see them. */
function Data({ answer }) {
  const [open, toggle] = useState(false);
  const text = useMemo(() => open && JSON.stringify(answer.exactData(), null, 2), [answer, open]);
  return html`<details onToggle=${(event) => toggle(event.target.open)}>
    <summary>The members of the request</summary>
    ${text && html`<${Text} text=${text} label="The members of the request" /><${Copy} text=${text} words="Copy the request" />`}
  </details>`;
}
