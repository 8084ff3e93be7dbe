// Windows as the service chose them. Nothing here chooses: the service is asked again whenever something changes.

import { useEffect, useState } from "./preact.js";
import { readWindow } from "./service.js";
import { windowQuery } from "./view.js";

/**
 * What the newest request that was answered had: `{query, answer, error}`. A change asks at the next frame, and lets go
 * of the request before; until the answer is there, the one before is shown. Nothing is asked while `id` is missing.
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
        if (!control.signal.aborted) set({ id, query, answer });
      } catch (error) {
        if (!control.signal.aborted) set((now) => ({ ...(now.id === id ? now : {}), error }));
      }
    });
    return () => {
      cancelAnimationFrame(frame);
      control.abort();
    };
  }, [id, asked, turn]);
  return state.id === id || state.error ? state : {};
}

/** The window of a view, as messages of ours; `id` is the context's. */
export const useWindow = (id, view, turn) => useAnswer(id, windowQuery(view), turn);

/** Whether a version is in the window that these figures are of, as far as they tell: an answer's call must be, too. */
export function holds(figures, thread, version) {
  if (version <= figures.preambleCount || version === figures.requestVersion) return true;
  if (figures.firstVersion === null || version < figures.firstVersion || version > figures.lastVersion) return false;
  return thread.at(version)?.role !== "tool" || thread.call(version) >= figures.firstVersion;
}

/**
 * The versions that a window holds, of which some are cleared; its summary; and the tokens of the answers in the run's
 * range that it leaves out for want of their calls, which count in the budget all the same.
 */
export function shownIn(answer, thread) {
  const versions = new Set();
  const cleared = new Set();
  for (const message of answer.data) {
    if (message.version === null) continue;
    versions.add(message.version);
    if (message.cleared) cleared.add(message.version);
  }
  let leftOut = 0;
  for (let version = answer.firstVersion ?? Infinity; version <= answer.version; version++) {
    if (!versions.has(version)) leftOut += thread.at(version)?.tokenCount ?? 0;
  }
  return { versions, cleared, leftOut, summary: answer.data.find((message) => message.compactionNumber) };
}
