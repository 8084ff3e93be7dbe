// One message: what is stored of it, why it is in the window or out of it, and what would keep it in.

import { html } from "./preact.js";
import { Text, Trouble } from "./pieces.js";
import { each, readFigures } from "./service.js";
import { fragmentOf, windowQuery } from "./view.js";
import { orphan, reach, remedies } from "./why.js";
import { budgetFor, holds, useStill } from "./windows.js";
import { KINDS, count, kindOf, many } from "./words.js";

/** What would keep a version in: each asked of the service, so that what is shown is what would be. */
function Remedies({ id, view, answer, waiting, thread, version, change }) {
  const query = windowQuery(view);
  const tried = remedies(answer, thread, version);
  const asked = !waiting && JSON.stringify([id, version, query, answer.version, answer.firstVersion]);
  const holding = (figures) => holds(figures, thread, version);
  const guess = answer.usedTokens + reach(answer, thread, version);
  const { value, error, stale, again } = useStill(asked, 150, async (signal) => {
    const figures = await each(tried, (remedy) => readFigures(id, { ...query, ...remedy.change }, signal));
    const budget = await budgetFor(id, query, answer, guess, holding, signal);
    return { helping: tried.filter((_, index) => holding(figures[index])), budget };
  });
  if (stale) return html`<p class="hint">Asking what would keep it in …</p>`;
  if (error) return html`<${Trouble} error=${error} again=${again} />`;
  const { helping, budget } = value;
  if (!helping.length && !budget) return html`<p>None of the changes that were tried would keep it in, nor would the largest budget.</p>`;
  return html`<p>What would keep it in:</p>
    <ul class="remedies">
      ${helping.map(({ words, change: members }) => html`<li key=${words}><button type="button" onClick=${() => change(members)}>${words}</button></li>`)}
      ${budget && html`<li><button type="button" onClick=${() => change({ budget: `${budget}` })}>a budget of ${count(budget)}</button> (one token less is not enough)</li>`}
    </ul>`;
}

/** The message of a version, and where it stands. */
export function Message({ id, view, answer, waiting, thread, version, stand, select, change }) {
  const message = thread.at(version);
  const standing = stand(version);
  const content = typeof message.content === "string" ? message.content : JSON.stringify(message.content, null, 2);
  const call = message.role === "tool" ? thread.call(version) : undefined;
  const out = standing.place === "out";
  const where = out || standing.place === "covered" ? "Not in this window" : standing.place === "later" ? "Not yet there" : "In this window";
  return html`<section class="message" aria-labelledby="message-title">
    <h2 id="message-title">Message ${version}: ${KINDS[kindOf(message)] ?? message.role}</h2>
    <p class=${`standing ${standing.place}`}><strong>${where}.</strong> ${standing.why}</p>
    ${out && html`<${Remedies} ...${{ id, view, answer, waiting, thread, version, change }} />`}
    <dl>
      <dt>Tokens</dt><dd>${count(message.tokenCount)}</dd>
      <dt>Stored</dt><dd><time datetime=${message.createdAt}>${message.createdAt.replace("T", " ").slice(0, 19)} UTC</time></dd>
      ${message.model && html`<dt>Model</dt><dd><bdi>${message.model}</bdi></dd>`}
      ${message.role === "tool" && html`<dt>Answers</dt><dd>${call ? html`<button type="button" class="link" onClick=${() => select(call)}>message ${call}</button>` : orphan(thread, version) ? "no call" : "a call that is not loaded, or none"}${message.toolName && html`, <bdi>${message.toolName}</bdi>`}</dd>`}
      ${message.contextId !== id && html`<dt>Shared</dt><dd>from <a href=${fragmentOf({ context: message.contextId })}>the context it was appended to</a></dd>`}
    </dl>
    ${content !== "null" && content !== "" && html`<h3>Content</h3><${Text} text=${content} label="Content of the message" />`}
    ${message.toolCalls && html`<h3>${many(message.toolCalls.length, "tool call")}</h3><${Text} text=${JSON.stringify(message.toolCalls, null, 2)} label="Tool calls of the message" />`}
    ${Object.keys(message.metadata).length > 0 && html`<h3>Metadata</h3><${Text} text=${JSON.stringify(message.metadata, null, 2)} label="Metadata of the message" />`}
  </section>`;
}
