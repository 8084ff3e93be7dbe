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

/**
 * What `work` gave for what is asked, once that has not changed for some milliseconds: `{value, error, stale}`. A change
 * lets go of the work before, whose signal is then aborted; until there is something new the one before is shown, as
 * stale. `again` works once more. There is nothing to do while `asked` is false.
 */
export function useStill(asked, milliseconds, work) {
  const [state, set] = useState({});
  const [turn, next] = useState(0);
  const key = `${turn} ${asked}`;
  useEffect(() => {
    if (!asked) return undefined;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const value = await work(control.signal);
        if (!control.signal.aborted) set({ key, value });
      } catch (error) {
        if (!control.signal.aborted) set({ key, error });
      }
    }, milliseconds);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key]);
  return { ...state, stale: state.key !== key, again: () => next(turn + 1) };
}

/** The window of a view, as messages of ours; `id` is the context's. */
export const useWindow = (id, view, turn) => useAnswer(id, windowQuery(view), turn);

/** Whether a version is in the window that these figures are of, as far as they tell: an answer's call must be, too. */
export function holds(figures, thread, version) {
  if (version <= figures.preambleCount || version === figures.requestVersion) return true;
  if (figures.firstVersion === null || version < figures.firstVersion || version > figures.lastVersion) return false;
  return thread.at(version)?.role !== "tool" || thread.call(version) >= figures.firstVersion;
}

/** The versions that a window holds, of which some are cleared; its summary, and the tokens of its head. */
export function shownIn(answer) {
  const versions = new Set();
  const cleared = new Set();
  let preamble = 0;
  let request = 0;
  for (const message of answer.data) {
    if (message.version === null) continue;
    versions.add(message.version);
    if (message.cleared) cleared.add(message.version);
    if (message.version <= answer.preambleCount) preamble += message.tokenCount;
    if (message.version === answer.requestVersion) request += message.tokenCount;
  }
  const summary = answer.data.find((message) => message.compactionNumber);
  return { versions, cleared, preamble, request, summary };
}

// The largest budget that the service takes, in tokens.
const MOST_TOKENS = 2_147_483_647;

/**
 * A budget above that of an answer at which `holding` is true of a window's figures, and at one token less is not; or
 * undefined if it is not even where everything fits. Found by asking: a guess first, then halves.
 */
export async function budgetFor(id, query, answer, guess, holding, signal) {
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
