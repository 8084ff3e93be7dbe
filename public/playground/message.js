// One message: all that is stored of it, why it is in the window or out of it, and what would keep it in.

import { html, useEffect, useState } from "./preact.js";
import { Text } from "./pieces.js";
import { readFigures } from "./service.js";
import { windowQuery } from "./view.js";
import { remedies } from "./why.js";
import { holds } from "./windows.js";
import { KINDS, count, kindOf, many } from "./words.js";

/** What would keep a version in: each asked of the service, so that what is shown is what would be. */
function Remedies({ id, view, answer, shown, thread, version, change }) {
  const [kept, keep] = useState({});
  const tried = remedies(answer, shown, thread, version, view);
  const asked = JSON.stringify([id, version, windowQuery(view), tried]);
  useEffect(() => {
    const control = new AbortController();
    keep({});
    const queries = tried.map((remedy) => ({ ...windowQuery(view), ...remedy.change }));
    const found = new Map();
    readFigures(id, queries, control.signal, (index, figures) => found.set(index, figures))
      .then(() => !control.signal.aborted && keep({ asked, found }))
      .catch(() => !control.signal.aborted && keep({ asked, found: new Map() }));
    return () => control.abort();
  }, [asked]);
  if (kept.asked !== asked) return html`<p>Asking what would keep it in …</p>`;
  const helping = tried.map((remedy, index) => ({ ...remedy, figures: kept.found.get(index) })).filter(({ figures }) => figures && holds(figures, thread, version));
  if (!helping.length) return html`<p>No single member of a policy keeps it in, and no budget near this one.</p>`;
  return html`<p>What would keep it in:</p>
    <ul class="remedies">
      ${helping.map(({ words, change: members, figures }) => html`<li>
        <button type="button" onClick=${() => change(members)}>${words}</button>
        ${" "}${count(figures.usedTokens)} of ${count(figures.budget)} tokens
      </li>`)}
    </ul>`;
}

/** The message of a version, and where it stands. */
export function Message({ id, view, answer, shown, thread, version, stand, select, change }) {
  const message = thread.at(version);
  const standing = stand(version);
  const content = typeof message.content === "string" ? message.content : JSON.stringify(message.content, null, 2);
  const call = message.role === "tool" ? thread.call(version) : undefined;
  const out = standing.place === "out";
  return html`<section class="message" aria-labelledby="message-title">
    <h2 id="message-title">Message ${version}: ${KINDS[kindOf(message)] ?? message.role}</h2>
    <p class=${`standing ${standing.place}`}><strong>${out || standing.place === "covered" ? "Not in this window" : standing.place === "later" ? "Not yet there" : "In this window"}.</strong> ${standing.why}</p>
    ${out && html`<${Remedies} ...${{ id, view, answer, shown, thread, version, change }} />`}
    <dl>
      <dt>Tokens</dt><dd>${count(message.tokenCount)}</dd>
      <dt>Stored</dt><dd><time datetime=${message.createdAt}>${message.createdAt.replace("T", " ").slice(0, 19)} UTC</time></dd>
      ${message.model && html`<dt>Model</dt><dd><bdi>${message.model}</bdi></dd>`}
      ${message.role === "tool" && html`<dt>Answers</dt><dd>${call ? html`<button type="button" class="link" onClick=${() => select(call)}>message ${call}</button>` : "no call"}${message.toolName && html`, <bdi>${message.toolName}</bdi>`}</dd>`}
      ${message.contextId !== id && html`<dt>Shared</dt><dd>from <a href=${`#context=${message.contextId}`}>the context it was appended to</a></dd>`}
    </dl>
    ${content !== "null" && content !== "" && html`<h3>Content</h3><${Text} text=${content} label="Content of the message" />`}
    ${message.toolCalls && html`<h3>${many(message.toolCalls.length, "tool call")}</h3><${Text} text=${JSON.stringify(message.toolCalls, null, 2)} label="Tool calls of the message" />`}
    ${Object.keys(message.metadata).length > 0 && html`<h3>Metadata</h3><${Text} text=${JSON.stringify(message.metadata, null, 2)} label="Metadata of the message" />`}
  </section>`;
}
