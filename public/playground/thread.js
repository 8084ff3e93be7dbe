// The messages of a context as they are loaded, newest first, and what is known of them by their version.

import { useEffect, useMemo, useRef, useState } from "./preact.js";
import { findContext, messagesBefore } from "./service.js";

// Messages that are loaded unasked: as many as the longest window has, so that every window is shown whole.
const MOST = 11_000;

// Versions before an answer among which its call is looked for, as the service does.
const CALL_REACH = 1000;

/** Messages without a gap: those from version `first` on, oldest first. */
export class Thread {
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
 * The context and its thread: `{context, thread, loading, error, older, refresh}`. `older` loads as many again before
 * what is there; `refresh` begins anew. `id` is a context's id or external id; what was asked for last is shown.
 */
export function useThread(id, turn) {
  const [state, set] = useState({ thread: EMPTY, loading: false });
  const [round, again] = useState(0);
  const running = useRef();

  const load = async (context, thread, signal) => {
    for await (const page of messagesBefore(context.id, thread.first, MOST, signal)) {
      thread = new Thread(page[0].version, [...page, ...thread.messages]);
      set((now) => ({ ...now, context, thread }));
    }
    set((now) => ({ ...now, context, thread, loading: false }));
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
    if (!id) {
      set({ thread: EMPTY, loading: false });
      return undefined;
    }
    begin(async (signal) => {
      set({ thread: EMPTY, loading: true });
      const context = await findContext(id, signal);
      await load(context, new Thread(context.latestVersion + 1, []), signal);
    });
    return () => running.current?.abort();
  }, [id, turn, round]);

  return useMemo(
    () => ({
      ...state,
      older: () => begin((signal) => load(state.context, state.thread, signal)),
      refresh: () => again((number) => number + 1),
    }),
    [state],
  );
}
