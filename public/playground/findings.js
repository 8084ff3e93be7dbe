// What somebody should know of a window before they send it, most urgent first, each with what would change it.

import { html } from "./preact.js";
import { leads } from "./why.js";
import { count, many } from "./words.js";

/** `{text, change?, words?}` of each finding; `change` is of the view. */
function findings(answer, thread, shown) {
  const found = [];
  const { policy, version } = answer;
  if (answer.overBudget) found.push({ text: "The newest unit does not fit the budget. It is sent all the same, as a window is never empty." });
  const request = thread.request(version);
  if (request && !shown.versions.has(request)) {
    found.push({
      text: `The task is lost: message ${request}, the newest user message, is not in this window, so the model does not know what it was asked.`,
      ...(!policy.keepRequest && { words: "Keep it: keepRequest", change: { keepRequest: "true" } }),
    });
  }
  if (version && leads(thread, 1) && !shown.versions.has(1)) {
    found.push({
      text: "The system messages that the history begins with are not in this window.",
      ...(!policy.keepPreamble && { words: "Keep them: keepPreamble", change: { keepPreamble: "true" } }),
    });
  }
  if (answer.pendingCalls.length) {
    found.push({ text: `${many(answer.pendingCalls.length, "call")} in this window ${answer.pendingCalls.length === 1 ? "is" : "are"} not answered yet: run ${answer.pendingCalls.length === 1 ? "this tool" : "these tools"} first.` });
  }
  if (answer.droppedCount) {
    found.push({ text: `${many(answer.droppedCount, "message")} ${answer.droppedCount === 1 ? "is" : "are"} neither in the window nor in a summary: the model will not know of them.` });
  }
  if (answer.compactionDue) {
    const { throughVersion, messages, tokens } = answer.compactionDue;
    found.push({ text: `A compaction is due, up to message ${throughVersion}: ${many(messages, "message")} of ${many(tokens, "token")}.` });
  }
  if (!policy.step && answer.tokensToEdge === 0) {
    const step = String(Math.max(Math.floor(answer.budget / 8), 1));
    found.push({
      text: "Without a step a full window opens with another message at almost every turn, and the provider's prompt cache is lost each time.",
      words: `Move on at once: step=${step}`,
      change: { step },
    });
  }
  return found;
}

/** The findings, with a button where a member of the policy changes one. */
export function Findings({ answer, thread, shown, change }) {
  const found = findings(answer, thread, shown);
  if (!found.length) return null;
  return html`<ul class="findings" aria-label="Findings">
    ${found.map(({ text, words, change: members }) => html`<li key=${text}>${text}${words && html`${" "}<button type="button" onClick=${() => change(members)}>${words}</button>`}</li>`)}
  </ul>`;
}

/** The figures of a window, as a sentence, and what its tokens are of as a bar. */
export function Figures({ answer, thread, shown }) {
  const kinds = {};
  for (const message of answer.data) {
    const part = message.compactionNumber ? "summary" : message.version <= answer.preambleCount ? "system" : message.version === answer.requestVersion ? "user" : "assistant";
    kinds[part] = (kinds[part] ?? 0) + message.tokenCount;
  }
  const names = { system: "preamble", summary: "summary", user: "request", assistant: "run" };
  const share = (tokens) => `${(100 * tokens) / Math.max(answer.budget, answer.usedTokens)}%`;
  const parts = Object.entries(names).filter(([part]) => kinds[part]);
  return html`<div class="figures">
    <p><strong>${count(answer.usedTokens)} of ${many(answer.budget, "token")}</strong>, ${count(shown.versions.size)} of ${many(answer.version, "message")}${shown.summary ? " and a summary" : ""}${thread.first > 1 ? ` (${count(thread.messages.length)} loaded)` : ""}${answer.firstVersion === null ? "; the run is empty" : `; the run is ${answer.firstVersion} to ${answer.lastVersion}`}${answer.clearedCount ? `; ${count(answer.clearedCount)} cleared` : ""}${answer.firstVersion !== null && answer.tokensToEdge ? `; it opens there for ${many(answer.tokensToEdge, "token")} more` : ""}.</p>
    <div class="bar" aria-hidden="true">${parts.map(([part]) => html`<span class=${`${part} in`} style=${{ width: share(kinds[part]) }}></span>`)}</div>
    <p class="parts">${parts.map(([part, name]) => html`<span><span class=${`swatch ${part} in`}></span>${name} ${count(kinds[part])}</span>`)}<span>free ${count(Math.max(answer.budget - answer.usedTokens, 0))}</span></p>
  </div>`;
}
