// What each call of the model was sent, as a sawtooth over the versions, and where the provider's prompt cache was lost.

import { html, useMemo } from "./preact.js";
import { Trouble } from "./pieces.js";
import { each, readFigures } from "./service.js";
import { windowQuery } from "./view.js";
import { useStill } from "./windows.js";
import { count, many } from "./words.js";

// Calls that are asked for: each is a request for figures, of about two milliseconds.
const MOST = 100;

// What providers charge for input that they have in their cache, as a part of the price.
const CACHED_PRICE = 0.1;

// The chart's units: a call's width, and the height of a full budget.
const WIDTH = 8;
const HEIGHT = 100;

/**
 * The versions at which the model was called up to a version, those before an assistant's message, and that version
 * itself, for the call that would be the next: `{versions, more}`, the newest of them, and whether there are others.
 */
function callsUpTo(thread, version) {
  const versions = version && version >= thread.first - 1 ? [version] : [];
  let at = Math.min(version, thread.last) - 1;
  for (; at >= Math.max(thread.first, 1) && versions.length < MOST; at--) {
    if (thread.at(at + 1).role === "assistant") versions.push(at);
  }
  return { versions: versions.reverse(), more: thread.first > 1 || (at >= 1 && versions.length === MOST) };
}

/**
 * Of each call its figures, whether its window begins with all of the one before, and the tokens that the provider has
 * in its cache from that: all of it, or else at least the preamble and the summary that both begin with. kept is null
 * for the first. `head` has the tokens of the preamble and of the summary in the window that is shown.
 */
function cachedOf(calls, head) {
  return calls.map((figures, index) => {
    const before = calls[index - 1];
    if (!before) return { figures, kept: null, cached: 0 };
    const preamble = before.preambleCount === figures.preambleCount;
    const summary = preamble && before.compaction?.number === figures.compaction?.number;
    const run = before.firstVersion === null || (before.firstVersion === figures.firstVersion && before.clearedCount === figures.clearedCount);
    const kept = summary && before.requestVersion === figures.requestVersion && run;
    const common = (preamble && figures.preambleCount === head.count ? head.preamble : 0) + (summary && figures.compaction?.number === head.number ? head.summary : 0);
    return { figures, kept, cached: kept ? before.usedTokens : common };
  });
}

/** The section; `answer` is the window that is shown. */
export function History({ id, view, thread, answer, waiting, shown, turn, ready, change }) {
  const { version } = answer;
  const { versions, more } = ready ? callsUpTo(thread, version) : { versions: [] };
  const query = { ...windowQuery(view), at: "" };
  const { value: calls, error, stale, again } = useStill(!waiting && JSON.stringify([id, query, versions, turn]), 250, (signal) =>
    each(versions, (at) => readFigures(id, { ...query, at }, signal)),
  );
  const head = { count: answer.preambleCount, preamble: shown.preamble, number: answer.compaction?.number, summary: shown.summary?.tokenCount ?? 0 };
  // Made once for an answer: a slider that moves renders this page a hundred times.
  const chart = useMemo(() => calls?.length && html`<${Chart} calls=${cachedOf(calls, head)} more=${more} change=${change} />`, [calls, more, ...Object.values(head)]);
  return html`<section aria-labelledby="history-title" aria-busy=${String(stale)}>
    <h2 id="history-title">What each model call was sent</h2>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${ready && !versions.length && html`<p>${version ? "These messages are not loaded." : "No call so far."}</p>`}
    ${versions.length > 0 && !calls?.length && !error && html`<p class="hint">Asking …</p>`}
    ${versions.length > 0 && chart && html`<div class=${stale ? "stale" : ""}>${chart}</div>`}
  </section>`;
}

function Chart({ calls, more, change }) {
  const sent = calls.reduce((sum, { figures }) => sum + figures.usedTokens, 0);
  const cached = calls.reduce((sum, call) => sum + call.cached, 0);
  const lost = calls.filter(({ kept }) => kept === false).length;
  const kept = calls.filter(({ kept: was }) => was).length;
  const paid = sent - cached * (1 - CACHED_PRICE);
  const most = Math.max(...calls.map(({ figures }) => Math.max(figures.usedTokens, figures.budget)));
  const height = (tokens) => (HEIGHT * tokens) / most;
  const summary = [
    `${more ? "The newest " : ""}${many(calls.length, "call")}, the next one among them, ${calls.length === 1 ? "has" : "have"} ${many(sent, "token")}.`,
    `The prompt cache was kept ${many(kept, "time")} and lost ${many(lost, "time")};`,
    `with cached input at a tenth they cost about as much as ${many(Math.round(paid), "token")}.`,
  ].join(" ");
  return html`<p>${summary}</p>
    <svg class="sawtooth" viewBox=${`0 0 ${calls.length * WIDTH} ${HEIGHT + 6}`} preserveAspectRatio="none" role="img" aria-label=${`Tokens sent by each call. ${summary}`}>
      ${calls.map(({ figures, cached: part, kept: was }, index) => {
        const top = HEIGHT + 6 - height(figures.usedTokens);
        return html`<g class="call" onClick=${() => change({ at: String(figures.version) })}>
          <title>${`version ${figures.version}: ${many(figures.usedTokens, "token")}, ${was === null ? "the first shown" : was ? "cache kept" : "cache lost"}`}</title>
          <rect class="all" x=${index * WIDTH} y="0" width=${WIDTH} height=${HEIGHT + 6} />
          <rect class="new" x=${index * WIDTH + 1} y=${top} width=${WIDTH - 2} height=${height(figures.usedTokens - part)} />
          <rect class="cached" x=${index * WIDTH + 1} y=${top + height(figures.usedTokens - part)} width=${WIDTH - 2} height=${height(part)} />
          ${was === false && html`<rect class="lost" x=${index * WIDTH + 1} y="0" width=${WIDTH - 2} height="4" />`}
        </g>`;
      })}
    </svg>
    <ul class="legend">
      <li><span class="swatch cached"></span>in the cache from the call before</li>
      <li><span class="swatch new"></span>paid in full</li>
      <li><span class="swatch lost"></span>the window begins anew: cache lost</li>
    </ul>
    <details>
      <summary>As a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Calls">
        <table>
          <thead><tr><th scope="col">Version</th><th scope="col">Sent</th><th scope="col">Run from</th><th scope="col">Cache</th></tr></thead>
          <tbody>${calls.map(({ figures, kept: was, cached: part }) => html`<tr>
            <td><button type="button" class="link" onClick=${() => change({ at: String(figures.version) })}>${figures.version}</button></td>
            <td>${count(figures.usedTokens)}</td>
            <td>${figures.firstVersion ?? "none"}</td>
            <td>${was === null ? "first" : was ? `kept, ${count(part)}` : part ? `lost but for ${count(part)} or more` : "lost"}</td>
          </tr>`)}</tbody>
        </table>
      </div>
    </details>`;
}
