// The compactions of a context, which one is in force in the window that is shown, and when the next is due.

import { html } from "./preact.js";
import { Text, Trouble } from "./pieces.js";
import { API, call, readFigures } from "./service.js";
import { useStill } from "./windows.js";
import { count, many } from "./words.js";

// Compactions that are listed.
const MOST = 50;

/** When the next compaction is due, by the window that is shown. */
function Due({ id, answer, shown, change }) {
  if (answer.compactionDue) {
    const { throughVersion, messages, tokens } = answer.compactionDue;
    return html`<p><strong>One is due now</strong>, up to message ${throughVersion}: a summary in the place of ${many(messages, "message")}, ${many(tokens, "token")}.</p>`;
  }
  if (answer.policy.compactionDue) return html`<${DueIn} id=${id} answer=${answer} shown=${shown} />`;
  const proposed = `0.8,${Math.max(Math.floor(answer.budget / 4), 1)}`;
  return html`<p>The policy does not say when one is due. <button type="button" onClick=${() => change({ compactionDue: proposed })}>Let it say so</button></p>`;
}

/** In how many tokens it is due: what lies behind the compaction in force, or the preamble, counts towards a threshold. */
function DueIn({ id, answer, shown }) {
  const base = answer.compaction?.throughVersion ?? answer.preambleCount;
  const { value: covered, error, stale, again } = useStill(JSON.stringify([id, base]), 0, async (signal) =>
    (await readFigures(id, { at: base, budget: 1, policy: "none" }, signal)).totalTokens,
  );
  if (stale) return null;
  if (error) return html`<${Trouble} error=${error} again=${again} />`;
  const behind = shown.preamble + (shown.summary?.tokenCount ?? 0) + answer.totalTokens - covered;
  // 0.29 of 100 is 29, and not the 28.999… of floating point.
  const limit = Math.floor(Number((answer.policy.compactionDue.threshold * answer.budget).toPrecision(15)));
  return behind > limit
    ? html`<p>None is due: there is no place for one, or it would save less than a tenth of the budget.</p>`
    : html`<p>The next is due in ${many(limit - behind + 1, "token")} at the earliest: beyond ${count(limit)} of the budget, of which ${count(behind)} are there, and once it saves a tenth of the budget.</p>`;
}

/** The section. */
export function Compactions({ id, answer, shown, turn, select, change }) {
  const { value, error, again } = useStill(JSON.stringify([id, turn]), 0, (signal) =>
    call("GET", `${API}/${id}/compactions`, { query: { limit: MOST }, signal }),
  );
  const compactions = value?.data;
  return html`<section aria-labelledby="compactions-title">
    <h2 id="compactions-title">Compactions</h2>
    <${Due} ...${{ id, answer, shown, change }} />
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${compactions && !compactions.length && html`<p>None has been made.</p>`}
    <ul class="cards">
      ${compactions?.map((made) => html`<li key=${made.number}>
        <strong>Compaction ${made.number}</strong>${made.number === answer.compaction?.number && html`${" "}<em class="badge">in force</em>`}${made.undoneAt && html`${" "}<em class="badge">undone</em>`}
        : a summary of ${many(made.tokenCount, "token")} for all up to <button type="button" class="link" onClick=${() => select(made.throughVersion)}>message ${made.throughVersion}</button>, made at version ${made.madeAtVersion}.
        <details><summary>Its summary</summary><${Text} text=${made.summary} label=${`Summary of compaction ${made.number}`} /></details>
      </li>`)}
    </ul>
    ${value?.hasMore && html`<p>There are older ones.</p>`}
  </section>`;
}
