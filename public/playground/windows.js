// Windows as the service chose them. Nothing here chooses: the service is asked again whenever something changes.

import { useEffect, useState } from "./preact.js";
import { readFigures, readWindow } from "./service.js";
import { windowQuery } from "./view.js";

/**
 * What the newest request that was answered had: `{answer, query, error, stale}`. A change asks at the next frame, and
 * lets go of the request before; until the answer is there the one before is shown, as stale. Nothing is asked while
 * `id` is missing.
 */
export function useAnswer(id, query, turn) {
  const [state, set] = useState({});
  const asked = JSON.stringify(query);
  useEffect(() => {
    if (!id) return undefined;
    const control = new AbortController();
    const frame = requestAnimationFrame(async () => {
      try {
        const answer = await readWindow(id, query, control.signal);
        if (!control.signal.aborted) set({ id, asked, query, answer });
      } catch (error) {
        if (!control.signal.aborted) set((now) => ({ ...(now.id === id ? now : { id }), error }));
      }
    });
    return () => {
      cancelAnimationFrame(frame);
      control.abort();
    };
  }, [id, asked, turn]);
  return state.id === id ? { ...state, stale: state.asked !== asked } : {};
}

/** The window of a view, as messages of ours; `id` is the context's. */
export const useWindow = (id, view, turn) => useAnswer(id, windowQuery(view), turn);

/** Whether a version is in the window that these figures are of, as far as they tell: an answer's call must be, too. */
export function holds(figures, thread, version) {
  if (version <= figures.preambleCount || version === figures.requestVersion) return true;
  if (figures.firstVersion === null || version < figures.firstVersion || version > figures.lastVersion) return false;
  return thread.at(version)?.role !== "tool" || thread.call(version) >= figures.firstVersion;
}

/** The versions that a window holds, of which some are cleared; its summary, and the tokens of its preamble. */
export function shownIn(answer) {
  const versions = new Set();
  const cleared = new Set();
  let preamble = 0;
  for (const message of answer.data) {
    if (message.version === null) continue;
    versions.add(message.version);
    if (message.cleared) cleared.add(message.version);
    if (message.version <= answer.preambleCount) preamble += message.tokenCount;
  }
  return { versions, cleared, preamble, summary: answer.data.find((message) => message.compactionNumber) };
}

// The largest budget that the service takes, in tokens.
const MOST_TOKENS = 2_147_483_647;

/**
 * The least budget above that of an answer at which `holding` is true of a window's figures, or undefined if it is not
 * even where everything fits. Found by asking: a guess first, then halves. At one token less it is false.
 */
export async function leastBudget(id, query, answer, guess, holding, signal) {
  const is = async (budget) => holding(await readFigures(id, { ...query, budget }, signal));
  const all = Math.min(2 * answer.totalTokens + answer.usedTokens + answer.budget, MOST_TOKENS);
  let [low, high] = [answer.budget, Math.min(Math.max(guess, answer.budget + 1), all)];
  if (high <= low) return undefined;
  if (await is(high)) {
    if (high - 1 > low && !(await is(high - 1))) low = high - 1;
  } else {
    low = high;
    high = all;
    if (high <= low || !(await is(high))) return undefined;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await is(middle)) high = middle;
    else low = middle;
  }
  return high;
}
