// What several sections show: a long text, a button that copies, what went wrong.

import { html, useEffect, useRef, useState } from "./preact.js";
import { hasKey } from "./service.js";
import { count } from "./words.js";

// Characters of a text that are shown unasked: the browser lays out a megabyte in seconds.
const MOST = 8000;

/** A text as it is, cut until somebody wants all of it. */
export function Text({ text, label }) {
  const [whole, all] = useState();
  const box = useRef();
  const cut = text.length > MOST && whole !== text;
  const show = () => {
    all(text);
    box.current.focus();
  };
  return html`<pre ref=${box} tabindex="0" role="region" aria-label=${label}>${cut ? text.slice(0, MOST) : text}</pre>
    ${cut && html`<p><button type="button" onClick=${show}>Show all ${count(text.length)} characters</button></p>`}`;
}

/** A button that copies a text, and says so. */
export function Copy({ text, words }) {
  const [said, say] = useState("");
  useEffect(() => say(""), [text]);
  const copy = async () => {
    try {
      // Where the page is served without TLS there is no clipboard at all.
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("The browser does not allow it: select the text");
    }
  };
  return html`<span class="copy"><button type="button" onClick=${copy}>${words}</button> <span role="status">${said}</span></span>`;
}

/** What went wrong, and what to do: `again` tries once more, where that can help. It is read out at once. */
export function Trouble({ error, again }) {
  const key = hasKey() ? "The service does not take this key: type another above." : "This service wants a key: type it above.";
  return html`<p class="problem" role="alert">
    ${error.status === 401 ? key : error.message}
    ${again && error.status !== 401 && html`${" "}<button type="button" onClick=${again}>Try again</button>`}
  </p>`;
}
