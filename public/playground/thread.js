// The messages of a context as they are loaded, newest first, and what is known of them by their version.

import { useEffect, useMemo, useRef, useState } from "./preact.js";
import { findContext, messagesFrom } from "./service.js";

// Messages that are loaded unasked: as many as the longest run has.
const MOST = 11_000;

// Versions before an answer among which its call is looked for, as the service does.
export const CALL_REACH = 1000;

/** Messages without a gap: those from version `first` on, oldest first. */
class Thread {
  constructor(first, messages) {
    this.first = first;
    this.messages = messages;
    this.last = first + messages.length - 1;
    this.sums = new Float64Array(messages.length + 1);
    messages.forEach((message, index) => (this.sums[index + 1] = this.sums[index] + message.tokenCount));
  }

  /** The message of a version, if it is loaded. */
  at(version) {
    return this.messages[version - this.first];
  }

  /** The tokens of the messages of versions `from` to `to`, those that are loaded. */
  tokens(from, to) {
    const place = (version) => Math.min(Math.max(version - this.first, 0), this.messages.length);
    return Math.max(this.sums[place(to + 1)] - this.sums[place(from)], 0);
  }

  /** The version that the unit of a version begins with: the newest message up to it that is no tool message. */
  unit(version) {
    while (version > this.first && this.at(version)?.role === "tool") version--;
    return version;
  }

  /** The version of the newest user message up to a version, or undefined where none is loaded. */
  request(version) {
    for (let at = Math.min(version, this.last); at >= this.first; at--) if (this.at(at).role === "user") return at;
    return undefined;
  }

  /** The version of the call that a tool message answers: the newest before it with that id; undefined for none. */
  call(version) {
    const id = this.at(version)?.toolCallId;
    for (let at = version - 1; at >= Math.max(this.first, version - CALL_REACH); at--) {
      if (this.at(at).toolCalls?.some((call) => call.id === id)) return at;
    }
    return undefined;
  }
}

const EMPTY = new Thread(1, []);

/**
 * The context and its thread: `{name, context, thread, loading, error, older, newer}`. `older` loads as many again before
 * what is there, `newer` what has been appended since. `name` is what was asked for, a context's id or
 * external id. Another turn reads the same again, and shows what was there until the new is.
 */
export function useThread(name, turn) {
  const [state, set] = useState({ thread: EMPTY, loading: false });
  const running = useRef();

  const before = async (context, thread, signal, most = MOST) => {
    for await (const page of messagesFrom(context.id, thread.first, "desc", most, signal)) {
      thread = new Thread(page[0].version, [...page, ...thread.messages]);
      // Read again, what was there is shown until there is as much of it.
      set((now) => (now.context?.id === context.id && now.thread.first < thread.first ? now : { ...now, name, context, thread }));
    }
    set((now) => ({ ...now, name, context, thread, loading: false }));
  };
  const behind = async (context, thread, signal) => {
    for await (const page of messagesFrom(context.id, thread.last, "asc", MOST, signal)) {
      thread = new Thread(thread.messages.length ? thread.first : page[0].version, [...thread.messages, ...page]);
    }
    set((now) => ({ ...now, context: { ...context, latestVersion: thread.last }, thread, loading: false }));
  };

  const begin = (work) => {
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    set((now) => ({ ...now, loading: true, error: undefined }));
    work(signal).catch((error) => {
      if (!signal.aborted) set((now) => ({ ...now, loading: false, error }));
    });
  };

  useEffect(() => {
    if (!name) {
      running.current?.abort();
      set({ thread: EMPTY, loading: false });
      return undefined;
    }
    // A link by an external id goes on with the id, and what is loaded stays.
    if (state.context?.id === name && state.turn === turn) return undefined;
    if (state.context?.id !== name) set({ thread: EMPTY, loading: true });
    begin(async (signal) => {
      const context = await findContext(name, signal);
      const shown = state.context?.id === context.id ? state.thread.messages.length : 0;
      set((now) => ({ ...now, turn }));
      await before(context, new Thread(context.latestVersion + 1, []), signal, Math.max(MOST, shown));
    });
    return undefined;
  }, [name, turn]);
  useEffect(() => () => running.current?.abort(), []);

  return useMemo(
    () => ({
      ...state,
      older: () => begin((signal) => before(state.context, state.thread, signal)),
      newer: () => begin((signal) => behind(state.context, state.thread, signal)),
    }),
    [state],
  );
}
