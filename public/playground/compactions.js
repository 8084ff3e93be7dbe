// The compactions of a context, which one is in force in the window that is shown, and when the next is due.

import { html, useEffect, useState } from "./preact.js";
import { Text, Trouble } from "./pieces.js";
import { API, call, readWindow } from "./service.js";
import { count, many } from "./words.js";

/** The newest compactions of a context: `{compactions, more, error}`. */
function useCompactions(id, turn) {
  const [state, set] = useState({});
  useEffect(() => {
    const control = new AbortController();
    set({});
    call("GET", `${API}/${id}/compactions`, { query: { limit: 50 }, signal: control.signal })
      .then(({ data, hasMore }) => set({ compactions: data, more: hasMore }))
      .catch((error) => !control.signal.aborted && set({ error }));
    return () => control.abort();
  }, [id, turn]);
  return state;
}

/** The tokens up to what a window's compaction covers, or else its preamble, once the service has said: `{tokens, error}`. */
function useCovered(id, answer) {
  const [state, set] = useState({});
  const base = answer.compaction?.throughVersion ?? answer.preambleCount;
  const asked = JSON.stringify([id, base]);
  useEffect(() => {
    const control = new AbortController();
    readWindow(id, { at: base, budget: 1, policy: "none", include: "figures" }, control.signal)
      .then(({ totalTokens }) => set({ asked, tokens: totalTokens }))
      .catch((error) => !control.signal.aborted && set({ asked, error }));
    return () => control.abort();
  }, [asked]);
  return state.asked === asked ? state : {};
}

function Due({ id, answer, shown, change }) {
  const { tokens: before, error } = useCovered(id, answer);
  const due = answer.policy.compactionDue;
  if (answer.compactionDue) {
    const { throughVersion, messages, tokens } = answer.compactionDue;
    return html`<p><strong>One is due now</strong>, up to message ${throughVersion}: a summary in the place of ${many(messages, "message")}, ${many(tokens, "token")}.</p>`;
  }
  if (!due) {
    return html`<p>The policy does not say when one is due. <button type="button" onClick=${() => change({ compactionDue: `0.8,${Math.max(Math.floor(answer.budget / 4), 1)}` })}>Let it say so</button></p>`;
  }
  if (error) return html`<${Trouble} error=${error} />`;
  if (before === undefined) return null;
  const head = shown.preamble + (shown.summary?.tokenCount ?? 0);
  const behind = head + answer.totalTokens - before;
  const limit = Math.floor(due.threshold * answer.budget);
  return behind > limit
    ? html`<p>None is due: there is no place for one, or it would save less than a tenth of the budget.</p>`
    : html`<p>The next is due in ${many(limit - behind + 1, "token")} at the earliest: beyond ${count(limit)} of the budget, of which ${count(behind)} are there, and once it saves a tenth of the budget.</p>`;
}

/** The section. */
export function Compactions({ id, answer, shown, turn, select, change }) {
  const { compactions, more, error } = useCompactions(id, turn);
  return html`<section aria-labelledby="compactions-title">
    <h2 id="compactions-title">Compactions</h2>
    <${Due} ...${{ id, answer, shown, change }} />
    ${error && html`<${Trouble} error=${error} />`}
    ${compactions && !compactions.length && html`<p>None has been made.</p>`}
    <ul class="cards">
      ${compactions?.map((made) => html`<li key=${made.number}>
        <strong>Compaction ${made.number}</strong>${made.number === answer.compaction?.number && html`${" "}<em class="badge">in force</em>`}${made.undoneAt && html`${" "}<em class="badge">undone</em>`}
        : a summary of ${many(made.tokenCount, "token")} for all up to <button type="button" class="link" onClick=${() => select(made.throughVersion)}>message ${made.throughVersion}</button>, made at version ${made.madeAtVersion}.
        <details><summary>Its summary</summary><${Text} text=${made.summary} label=${`Summary of compaction ${made.number}`} /></details>
      </li>`)}
    </ul>
    ${more && html`<p>There are older ones.</p>`}
  </section>`;
}
