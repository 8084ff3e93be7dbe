// What somebody should know of a window before they send it, most urgent first, each with what would change it.

import { html } from "./preact.js";
import { leads } from "./why.js";
import { many } from "./words.js";

/** `{text, change?, words?}` of each finding; `change` is of the view. */
function findings(answer, thread, shown) {
  const found = [];
  const { policy, version } = answer;
  if (answer.overBudget) found.push({ text: "The newest unit does not fit the budget. It is sent all the same, as a window is never empty." });
  const request = thread.request(version);
  if (request && !shown.versions.has(request)) {
    const covered = request <= (answer.compaction?.throughVersion ?? 0);
    const lost = `The task is lost: message ${request}, the newest user message, is not in this window, so the model does not know what it was asked.`;
    const summed = `The task, message ${request}, the newest user message, is in the summary alone.`;
    found.push({
      text: covered ? summed : lost,
      ...(!policy.keepRequest && { words: "Keep it: keepRequest", change: { keepRequest: "true" } }),
    });
  }
  if (version && leads(thread, 1) && !shown.versions.has(1)) {
    found.push({
      text: "The system messages that the history begins with are not in this window.",
      ...(!policy.keepPreamble && { words: "Keep them: keepPreamble", change: { keepPreamble: "true" } }),
    });
  }
  const pending = answer.pendingCalls.length;
  if (pending) found.push({ text: `${many(pending, "call")} in this window ${pending === 1 ? "is" : "are"} not answered yet: run ${pending === 1 ? "its tool" : "their tools"} first.` });
  const dropped = answer.droppedCount;
  if (dropped) found.push({ text: `${many(dropped, "message")} ${dropped === 1 ? "is" : "are"} neither in the window nor in a summary: the model will not know of ${dropped === 1 ? "it" : "them"}.` });
  if (answer.compactionDue) {
    const { throughVersion, messages, tokens } = answer.compactionDue;
    found.push({ text: `A compaction is due, up to message ${throughVersion}: ${many(messages, "message")} of ${many(tokens, "token")}.` });
  }
  if (!policy.step && answer.tokensToEdge === 0) {
    const step = String(Math.max(Math.floor(answer.budget / 4), 1));
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
