// The window as the provider gets it, what had to be changed for that, and the request for it in three languages.

import { html, useEffect, useState } from "./preact.js";
import { API, hasKey } from "./service.js";
import { Text } from "./message.js";
import { windowQuery } from "./view.js";
import { useAnswer } from "./windows.js";
import { FORMATS, count, many } from "./words.js";

const REPAIRS = 100;

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const literal = (value, yes, no) => (value === "true" ? yes : value === "false" ? no : /^\d+$/.test(value) ? value : JSON.stringify(value));

// For a shell between single quotes, where only a single quote means anything.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The request for a window in each language. The key is never in it, only where it is taken from. */
export function snippets(id, query) {
  const { origin } = location;
  const members = Object.entries(query);
  const address = `${origin}${API}/${id}/window?${new URLSearchParams(query)}`;
  const key = hasKey() ? ' \\\n  -H "Authorization: Bearer $KATA_CONTEXT_API_KEY"' : "";
  const named = members.map(([name, value]) => `, ${snake(name)}=${literal(value, "True", "False")}`).join("");
  const object = members.map(([name, value]) => `${name}: ${literal(value, "true", "false")}`).join(", ");
  return {
    curl: `curl -s ${quoted(address)}${key}`,
    Python: `from kata_context import Client\n\nkata = Client(${JSON.stringify(origin)})${hasKey() ? "  # the key is in KATA_CONTEXT_API_KEY" : ""}\nwindow = kata.window(${JSON.stringify(id)}${named})`,
    TypeScript: `import { Client } from "kata-context";\n\nconst kata = new Client({ url: ${JSON.stringify(origin)} });${hasKey() ? " // the key is in KATA_CONTEXT_API_KEY" : ""}\nconst window = await kata.window(${JSON.stringify(id)}${object && `, { ${object} }`});`,
  };
}

/** A button that copies a text, and says so. */
export function Copy({ text, words }) {
  const [said, say] = useState("");
  useEffect(() => say(""), [text]);
  const copy = () => navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("The browser does not allow it: select the text"));
  return html`<span class="copy"><button type="button" onClick=${copy}>${words}</button> <span role="status">${said}</span></span>`;
}

/** The request in a language of choice. */
function Snippets({ id, query }) {
  const [language, choose] = useState("curl");
  const text = snippets(id, query)[language];
  return html`<div class="snippets">
    <label><span>Ask for this window with</span>
      <select value=${language} onChange=${(event) => choose(event.target.value)}>${["curl", "Python", "TypeScript"].map((name) => html`<option value=${name}>${name}</option>`)}</select>
    </label>
    <pre tabindex="0" role="region" aria-label=${`The request in ${language}`}>${text}</pre>
    <${Copy} text=${text} words="Copy" />
  </div>`;
}

/** The section; `window` is the answer in the service's own shape. */
export function Request({ id, view, window, turn, select, change }) {
  const format = view.format ?? "kata";
  const query = { ...windowQuery(view), ...(format !== "kata" && { format }) };
  const { answer: theirs, error } = useAnswer(format === "kata" ? undefined : id, query, turn);
  const answer = format === "kata" ? window : theirs;
  return html`<section aria-labelledby="request-title">
    <h2 id="request-title">The request as the provider gets it</h2>
    <label><span>Format</span>
      <select value=${format} onChange=${(event) => change({ format: event.target.value === "kata" ? "" : event.target.value })}>${FORMATS.map((name) => html`<option value=${name}>${name}</option>`)}</select>
    </label>
    ${error && format !== "kata" && html`<p class="problem">${error.message}</p>`}
    ${answer && html`<${Repairs} answer=${answer} format=${format} select=${select} />
      <details><summary>The members of the request</summary><${Data} data=${answer.data} /></details>`}
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

function Data({ data }) {
  const text = JSON.stringify(data, null, 2);
  return html`<${Text} text=${text} label="The members of the request" /><${Copy} text=${text} words="Copy the request" />`;
}
