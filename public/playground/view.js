// What is looked at, in the address behind the #: a context, and the parameters of a window under the API's own names.
// A link holds all of the view, and never the key; what stands behind the # is not sent to any server.

import { useEffect, useRef, useState } from "./preact.js";

/** What a window's request may say of the policy: its members, and `policy` itself, as the API takes them. */
const POLICY = ["keepPreamble", "keepRequest", "startOn", "step", "clearToolResults", "compactionDue", "policy"];

const NAMES = ["context", "budget", "at", ...POLICY, "format", "message"];

/** The budget of a context whose policy has none, in tokens. */
export const DEFAULT_BUDGET = 8000;

/** The view in a fragment: the names it knows, once each; anything else is passed over. */
function parseView(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  return Object.fromEntries(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
}

/** The fragment of a view. */
export function fragmentOf(view) {
  return `#${new URLSearchParams(NAMES.filter((name) => view[name]).map((name) => [name, view[name]]))}`;
}

/** The query of a view's window. */
export function windowQuery(view) {
  return Object.fromEntries(["budget", "at", ...POLICY].filter((name) => view[name]).map((name) => [name, view[name]]));
}

// Milliseconds of quiet before the address follows: browsers refuse to write it a few hundred times in a row.
const QUIET = 300;

/**
 * The view, what changes members of it in place, and what opens a context, or none, as a new entry in the history.
 */
export function useView() {
  const [view, set] = useState(() => parseView(location.hash));
  const waiting = useRef();
  useEffect(() => {
    const moved = () => {
      clearTimeout(waiting.current);
      set(parseView(location.hash));
    };
    addEventListener("hashchange", moved);
    addEventListener("popstate", moved);
    return () => {
      removeEventListener("hashchange", moved);
      removeEventListener("popstate", moved);
    };
  }, []);
  const write = (next) => history.replaceState(null, "", fragmentOf(next));
  const change = (members) =>
    set((now) => {
      const next = parseView(fragmentOf({ ...now, ...members }));
      clearTimeout(waiting.current);
      waiting.current = setTimeout(write, QUIET, next);
      return next;
    });
  // What was set for one context is not meant for another, but for the shape that somebody reads.
  const open = (context, members = {}) => {
    clearTimeout(waiting.current);
    write(view);
    const next = parseView(fragmentOf({ format: view.format, ...members, context }));
    history.pushState(null, "", fragmentOf(next));
    set(next);
  };
  return [view, change, open];
}
