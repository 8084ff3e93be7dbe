// The sum of a window: how much of the budget it uses, for what, and where its run opens.

import { html } from "./preact.js";
import { count, many } from "./words.js";

// What a window's tokens are of, and the kinds that give each its colour.
const PARTS = { preamble: "system", summary: "summary", request: "user", run: "assistant" };

/** The figures of a window, as a sentence, and what its tokens are of as a bar. */
export function Figures({ answer, thread, shown }) {
  const head = { preamble: shown.preamble, summary: shown.summary?.tokenCount ?? 0, request: shown.request };
  const tokens = { ...head, run: answer.usedTokens - head.preamble - head.summary - head.request };
  const parts = Object.keys(PARTS).filter((part) => tokens[part]);
  const said = [
    `${count(shown.versions.size)} of ${many(answer.version, "message")}${shown.summary ? " and a summary" : ""}${thread.first > 1 ? ` (${count(thread.messages.length)} loaded)` : ""}`,
    answer.firstVersion === null ? "the run is empty" : `the run is ${answer.firstVersion} to ${answer.lastVersion}`,
    answer.clearedCount && `${count(answer.clearedCount)} cleared`,
    answer.firstVersion !== null && answer.tokensToEdge && `it opens there for ${many(answer.tokensToEdge, "token")} more`,
  ].filter(Boolean);
  const share = (part) => ({ width: `${(100 * tokens[part]) / Math.max(answer.budget, answer.usedTokens)}%` });
  return html`<div class="figures">
    <p><strong>${count(answer.usedTokens)} of ${many(answer.budget, "token")}</strong>, ${said.join("; ")}.</p>
    <div class="bar" aria-hidden="true">${parts.map((part) => html`<span class=${`${PARTS[part]} in`} style=${share(part)}></span>`)}</div>
    <p class="parts">${parts.map((part) => html`<span><span class=${`swatch ${PARTS[part]} in`}></span>${part} ${count(tokens[part])}</span>`)}<span>free ${count(Math.max(answer.budget - answer.usedTokens, 0))}</span></p>
  </div>`;
}
